"""Statement checked: every example runs as it stands, against a served archive."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
ARGUMENTS = {
    "calibrate_and_stack.py": ["ember_uds_p4_123456"],
    "composite_spectrum.py": ["2", "8"],
    "specutils_line.py": ["gleam_gn_p1_prism_clear_350405", "4.91683"],
}
PRINTED = {
    "calibrate_and_stack.py": "wrote stack.png",
    "composite_spectrum.py": "stack:PRISM:",
    "specutils_line.py": "Hα expected at 3.88",
}


def test_every_example_is_run() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_example_runs(name: str, archive_url: str, tmp_path: Path) -> None:
    env = os.environ | {
        "CAMPFIRE_API_URL": archive_url,
        "CAMPFIRE_API_KEY": "sk_live_any",
        "CAMPFIRE_ROOT": str(tmp_path / "campfire"),
        "MPLBACKEND": "agg",
    }
    prepare = subprocess.run(
        [sys.executable, "-m", "campfire", "sync"], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert prepare.returncode == 0, prepare.stderr
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *ARGUMENTS[name]],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert PRINTED[name] in run.stdout
