"""Every operation reaches the same kernels, whether it is asked of a spectrum, a list or a collection."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
import xarray as xr

import campfire.calibration
from campfire import (
    Photometry,
    SpectrumData,
    calibrate_and_stack,
    calibrate_to_photometry,
    measure_lines,
    resample_spectrum,
    schema,
    stack_spectra,
    synthetic_photometry,
)
from campfire.analysis.photometry import band_photometry

WAVE = np.linspace(0.6, 5.3, 400)
GRID = np.linspace(0.8, 5.0, 150)
BANDS = ["f200w", "f277w", "f356w"]
PHOT = Photometry(BANDS, [2.0, 2.0, 2.0], [0.1, 0.1, 0.1], [1.989, 2.776, 3.568])


def spectra(n: int = 2) -> list[SpectrumData]:
    rng = np.random.default_rng(0)
    # one row has pixels of its own, so that none is treated as one of a common grid
    return [
        SpectrumData(
            WAVE + 1e-4 * k, rng.normal(1, 0.05, 400), np.full(400, 0.05), {}, "PRISM", str(k), redshift=2.0
        )
        for k in range(n)
    ]


def collection(many: list[SpectrumData]) -> xr.Dataset:
    def rows(name: str) -> Any:
        values = np.stack([np.asarray(getattr(s, name)) for s in many])
        return (schema.NATIVE, values, schema.attrs_of(name))

    dq = np.zeros((len(many), 400), dtype=np.uint8)
    return xr.Dataset(
        {"fnu": rows("fnu"), "fnu_err": rows("fnu_err"), "dq": (schema.NATIVE, dq, schema.attrs_of("dq"))},
        {
            "wavelength": rows("wavelength"),
            "spectrum_id": ("spectrum", [s.spectrum_id for s in many]),
            "grating": ("spectrum", [s.grating for s in many]),
            "redshift": ("spectrum", [2.0] * len(many)),
        },
        {"campfire_schema": schema.SCHEMA_VERSION},
    )


def tree(ds: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(), "/PRISM": ds})


ALGORITHMS = {
    "resample.resample",
    "resample.combined_lags",
    "bandpass.band_fluxes",
    "calibration_curve.fit_curve",
    "calibration_curve.CurveFit.calibrated",
    "line_integration.line_fluxes",
    "line_fitting.profile_fluxes",
    "combine.Combiner.__call__",
    "combine.sigma_clip",
}
"""Kernels that make results of pixels."""


def called(face: Callable[[], Any]) -> dict[str, list[list[str]]]:
    """Return which algorithms a call reaches, and the functions of campfire on the way, nearest first."""
    found: dict[str, list[list[str]]] = {}

    def name_of(frame: FrameType) -> str:
        return f"{frame.f_globals.get('__name__', '')}.{frame.f_code.co_qualname}"

    def watch(frame: FrameType, event: str, arg: object) -> None:
        name = name_of(frame).removeprefix("campfire.kernels.")
        if event != "call" or name not in ALGORITHMS:
            return
        way, at = [], frame.f_back
        while at is not None:
            if name_of(at).startswith("campfire."):
                way.append(name_of(at))
            at = at.f_back
        if not way[0].startswith("campfire.kernels."):
            found.setdefault(name, []).append(way)

    sys.setprofile(watch)
    try:
        face()
    finally:
        sys.setprofile(None)
    return found


MANY = spectra()
ONE = MANY[:1]
RESAMPLED = resample_spectrum(MANY[1], WAVE[1:-1], covariance=True)
OPERATIONS: dict[str, list[Callable[[], Any]]] = {
    "resample": [
        lambda: resample_spectrum(MANY[0], GRID, covariance=True),
        lambda: MANY[0].to_xarray().campfire.resample(GRID, covariance=True),
        lambda: collection(ONE).campfire.resample(GRID),
        lambda: tree(collection(MANY)).campfire.resample(GRID),
    ],
    "synthetic_photometry": [
        lambda: synthetic_photometry(MANY[0].wavelength, MANY[0].fnu, MANY[0].fnu_err, "f200w"),
        lambda: band_photometry(MANY[0], BANDS),
        lambda: MANY[0].to_xarray().campfire.synthetic_photometry(BANDS),
        lambda: tree(collection(MANY)).campfire.synthetic_photometry(BANDS),
    ],
    "calibrate": [
        lambda: calibrate_to_photometry(MANY[0], PHOT),
        lambda: MANY[0].to_xarray().campfire.calibrate(PHOT),
        lambda: tree(collection(MANY)).campfire.calibrate(PHOT),
    ],
    "measure_lines": [
        lambda: measure_lines(MANY[0], ["Hα"]),
        lambda: measure_lines(MANY, ["Hα"]),
        lambda: measure_lines(tree(collection(MANY)), ["Hα"]),
        lambda: collection(MANY).campfire.measure_lines(["Hα"]),
        lambda: tree(collection(MANY)).campfire.measure_lines(["Hα"]),
    ],
    "stack": [
        lambda: stack_spectra(MANY, sigma_clip=3.0),
        lambda: calibrate_and_stack(MANY, sigma_clip=3.0),
        lambda: stack_spectra([*ONE, RESAMPLED], sigma_clip=3.0),
        lambda: collection(MANY).campfire.stack(sigma_clip=3.0),
        lambda: tree(collection(MANY)).campfire.stack(sigma_clip=3.0),
    ],
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_all_faces_of_an_operation_reach_the_same_algorithms(operation: str) -> None:
    first, *others = (set(called(face)) for face in OPERATIONS[operation])
    assert first
    assert others == [first] * len(others)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_algorithm_is_called_in_one_place(operation: str) -> None:
    """By whatever face: so that nothing around it can be done in two ways."""
    places: dict[str, set[str]] = {}
    for face in OPERATIONS[operation]:
        for name, ways in called(face).items():
            places.setdefault(name, set()).update(way[0] for way in ways)
    assert {name: len(callers) for name, callers in places.items()} == dict.fromkeys(places, 1), places


def test_stacks_are_not_far_from_their_kernels() -> None:
    ways = [way for face in OPERATIONS["stack"] for many in called(face).values() for way in many]
    assert max(map(len, ways)) <= 5


def test_every_public_operation_is_compared() -> None:
    public = {name for name in campfire.calibration.__all__ if name[0].islower()}
    assert {name.split("_")[0] for name in public | {"measure_lines"}} == {
        name.split("_")[0] for name in OPERATIONS
    }
