"""Statement: the recipes for clusters run as they stand, with workers here in the place of theirs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import xarray as xr

distributed = pytest.importorskip("distributed")
PAGE = Path(__file__).parents[2] / "docs" / "clusters.md"


@pytest.mark.parametrize(
    ("package", "place", "name"),
    [
        ("dask_jobqueue", "dask_jobqueue", "SLURMCluster"),
        ("dask_kubernetes", "dask_kubernetes.operator", "KubeCluster"),
    ],
)
def test_recipe_runs(monkeypatch: pytest.MonkeyPatch, package: str, place: str, name: str) -> None:
    class Here:
        def __init__(self, **given: Any) -> None:
            asked.update(given)
            self.workers = distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
            )

        def scale(self, jobs: int) -> None:
            asked["jobs"] = jobs

    asked: dict[str, Any] = {}
    for module in {package, place}:
        monkeypatch.setitem(sys.modules, module, ModuleType(module))
    setattr(sys.modules[place], name, Here)
    (code,) = re.findall(rf"```python {package}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"Client": lambda cluster: distributed.Client(cluster.workers)}
    exec(code, names)
    with names["cluster"].workers, names["client"]:
        ds = xr.Dataset({"fnu": (("spectrum", "wavelength"), np.ones((4, 3)))}).chunk({"spectrum": 2})
        assert ds.fnu.sum().compute() == 12
        assert asked["jobs"] == 4 if name == "SLURMCluster" else asked["n_workers"] == 16
