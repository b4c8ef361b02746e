"""Statement checked: importing campfire, and asking the command line for help, loads no heavy library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "numpy",
    "xarray",
    "pandas",
    "astropy",
    "requests",
    "dask",
    "zarr",
    "obstore",
    "scipy",
    "matplotlib",
    "plotly",
    "specutils",
    "fastapi",
    "rich",
]


def _loaded_after(code: str) -> set[str]:
    program = f"{code}\nimport json, sys\nprint(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_campfire_loads_nothing_heavy() -> None:
    assert _loaded_after("import campfire; campfire.CampfireError") == set()


def test_help_of_the_command_line_loads_nothing_heavy() -> None:
    assert _loaded_after("from campfire.cli import main\nassert main(['--help']) == 0") == set()


def test_client_is_built_without_xarray_dask_or_network_library() -> None:
    loaded = _loaded_after("import campfire\ncampfire.Campfire(data_dir='/nonexistent')")
    assert not loaded & {"xarray", "dask", "zarr", "scipy", "matplotlib", "plotly", "specutils", "fastapi"}


def test_units_and_flags_need_numpy_alone() -> None:
    assert _loaded_after("import campfire; campfire.DQFlags; campfire.convert_flux_units") <= {"numpy"}


@pytest.mark.parametrize(
    "first", ["import campfire\nimport xarray as xr", "import xarray as xr\nimport campfire"]
)
def test_accessor_is_there_in_both_import_orders(first: str) -> None:
    program = f"{first}\nassert hasattr(xr.Dataset, 'campfire') and hasattr(xr.DataTree, 'campfire')"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_lazy_names_and_their_stub_agree() -> None:
    """Every public name is in the stub that type checkers read, and can be imported."""
    import ast
    from pathlib import Path

    import campfire

    stub = Path(campfire.__file__).with_suffix(".pyi")
    names = {
        alias.asname
        for node in ast.parse(stub.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert names == set(campfire.__all__) - {"__version__"}
    for name in campfire.__all__:
        assert getattr(campfire, name) is not None
    assert set(campfire.__all__) <= set(dir(campfire))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = campfire.nonsense  # type: ignore[attr-defined]
