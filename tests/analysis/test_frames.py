"""What every operation does with spectra as observed, in the rest frame, and with relative fluxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from campfire import (
    Photometry,
    SpectrumData,
    calibrate_and_stack,
    calibrate_to_photometry,
    measure_lines,
    resample_spectrum,
    stack_spectra,
)
from campfire.analysis.frames import OPERATIONS, Frame, frame_of
from campfire.analysis.photometry import band_photometry
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.lsf import resolving_power
from campfire.units import FNU_UNIT, RELATIVE

Z = 2.0
WAVE = np.linspace(0.6, 5.3, 400)
BANDS = ["f200w", "f277w", "f356w"]
PHOT = Photometry(BANDS, [2.0, 2.0, 2.0], [0.5, 0.5, 0.5], [1.989, 2.776, 3.568])
GRID = np.linspace(0.7, 1.6, 60)


def observed(name: str = "a") -> SpectrumData:
    line = 5 * np.exp(-0.5 * ((WAVE - 0.656461 * (1 + Z)) / 0.02) ** 2)
    return SpectrumData(WAVE, 1 + line, np.full(400, 0.05), {}, "PRISM", name, redshift=Z)


def rest(name: str = "a") -> SpectrumData:
    found: SpectrumData = observed(name).to_xarray().campfire.to_restframe(Z).campfire.to_spectrum()
    return found


def rest_stack(name: str = "a") -> SpectrumData:
    return stack_spectra([observed(), observed("b")], redshift=Z, object_id=name)


def relative(name: str = "a") -> SpectrumData:
    return stack_spectra([observed(), observed("b")], normalize=(3.0, 4.0), object_id=name)


SPECTRA: dict[str, Callable[[str], SpectrumData]] = {
    "observed": observed,
    "rest": rest,
    "rest stack": rest_stack,
    "relative": relative,
}


def collection(make: Callable[[str], SpectrumData]) -> xr.Dataset:
    """Return two spectra as a collection on one grid."""
    rows = []
    for name in "ab":
        ds = make(name).to_xarray().drop_vars(["n_used", "rejected", "fnu_cov", "fnu_modes"], errors="ignore")
        rows.append(ds.drop_vars(["resolving_power", "mode_sign", "measurement"], errors="ignore"))
    joined: xr.Dataset = xr.concat(rows, "spectrum", coords="different", compat="equals")
    names = np.array(["a", "b"])
    gratings = np.array(["PRISM", "PRISM"])
    return joined.assign_coords(spectrum_id=("spectrum", names), grating=("spectrum", gratings))


def tree(ds: xr.Dataset) -> xr.DataTree:
    return xr.DataTree.from_dict({"/": xr.Dataset(), "/PRISM": ds})


CONTAINERS: dict[str, Callable[[Callable[[str], SpectrumData]], Any]] = {
    "SpectrumData": lambda make: make("a"),
    "Dataset": lambda make: make("a").to_xarray(),
    "collection": collection,
    "lazy collection": lambda make: collection(make).chunk({"spectrum": 1}),
    "tree": lambda make: tree(collection(make)),
}


def faces(container: Any, name: str, single: Callable[[Any], Any], *args: Any, **options: Any) -> Any:
    """Call an operation as a container offers it: by its accessor, or the function of single spectra."""
    if isinstance(container, SpectrumData):
        return single(container)
    return getattr(container.campfire, name)(*args, **options)


ACTIONS: dict[str, Callable[[Any], Any]] = {
    "calibration": lambda c: faces(c, "calibrate", lambda s: calibrate_to_photometry(s, PHOT), PHOT),
    "synthetic photometry": lambda c: faces(
        c, "synthetic_photometry", lambda s: band_photometry(s, BANDS), BANDS
    ),
    "resampling": lambda c: faces(c, "resample", lambda s: resample_spectrum(s, GRID), GRID),
    "lines": lambda c: measure_lines(c, ["Hα"]),
    "lines with a redshift": lambda c: measure_lines(c, ["Hα"], redshift=Z),
    "stacking": lambda c: stack_spectra(c),
    "stacking with a redshift": lambda c: stack_spectra(c, redshift=Z),
}

REFUSED = {
    ("calibration", "rest"): "rest frame",
    ("calibration", "relative"): "relative",
    ("synthetic photometry", "rest"): "rest frame",
    ("lines with a redshift", "rest"): "redshift other than 0",
    ("stacking with a redshift", "rest"): "redshift other than 0",
}


@pytest.mark.filterwarnings("ignore:the resolving power")
@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("state", SPECTRA)
@pytest.mark.parametrize("action", ACTIONS)
def test_operations_take_the_frames_and_units_they_can_and_refuse_the_others(
    action: str, state: str, container: str
) -> None:
    spectra = CONTAINERS[container](SPECTRA[state])
    message = REFUSED.get((action, state.split()[0]))
    if message:
        with pytest.raises(ValidationError, match=message):
            ACTIONS[action](spectra)
        return
    redshift: Any = {"redshift": Z} if action == "lines" and state in ("observed", "relative") else {}
    result = measure_lines(spectra, ["Hα"], **redshift) if redshift else ACTIONS[action](spectra)
    in_rest = state.startswith("rest") or action == "stacking with a redshift"
    for found in results(result):
        if action.startswith("lines"):
            assert found["flux"].attrs["units"] == (RELATIVE if state == "relative" else "erg s-1 cm-2")
            assert ("level" in found["flux"].attrs["long_name"]) == (state == "relative")
            continue
        flux = "flux" if action == "synthetic photometry" else "fnu"
        units = found.fnu_units if isinstance(found, SpectrumData) else found[flux].attrs["units"]
        assert units == (RELATIVE if state == "relative" else FNU_UNIT)
        if action != "synthetic photometry":
            assert frame_of(found).rest == in_rest


def results(result: Any) -> list[Any]:
    if isinstance(result, xr.DataTree):
        return [node.to_dataset() for node in result.leaves]
    return [getattr(result, "spectrum", result) if not isinstance(result, xr.Dataset) else result]


def test_every_operation_of_the_table_is_tested() -> None:
    # below, in test_noise, test_redshifts and tests/handoffs
    elsewhere = {"to_restframe", "noise", "redshifts", "this hand-off"}
    assert {name.removesuffix(" with a redshift") for name in ACTIONS} | elsewhere == set(OPERATIONS) | {
        "resampling"
    }


@pytest.mark.parametrize("state", ["rest", "rest stack"])
def test_stacks_of_collections_in_the_rest_frame_are_there_too(state: str) -> None:
    ds = collection(SPECTRA[state])
    stacked = ds.campfire.stack()
    assert frame_of(stacked).rest
    assert stacked.attrs["redshift"] == 0
    assert frame_of(ds.campfire.stack(redshift=0.0)).rest
    assert frame_of(ds.campfire.resample(GRID)).rest
    with pytest.raises(ValidationError, match="redshift other than 0"):
        ds.campfire.stack(redshift=Z)
    with pytest.raises(ValidationError, match="resolving powers"):
        ds.campfire.stack(match_resolution=True)


def test_stacks_of_relative_collections_are_relative() -> None:
    ds = collection(relative)
    for made in (ds.campfire.stack(), ds.campfire.resample(WAVE[::2])):
        for name in ("fnu", "fnu_err", "flam", "flam_err", "fnu_cov"):
            assert made[name].attrs["units"] == RELATIVE, name
    assert {s.fnu_units for s in ds.campfire.to_spectra()} == {RELATIVE}


def test_calibrating_and_stacking_refuses_what_calibrating_does() -> None:
    for make, word in ((rest, "rest frame"), (relative, "relative")):
        with pytest.raises(ValidationError, match=word):
            calibrate_and_stack([observed(), make("b")], PHOT)


def test_lines_of_the_rest_frame_are_those_as_observed() -> None:
    there = measure_lines(rest(), ["Hα"])
    here = measure_lines(observed(), ["Hα"])
    assert float(there.redshift[0]) == 0
    for name in ("flux", "flux_err", "equivalent_width", "equivalent_width_err"):
        np.testing.assert_allclose(there[name], here[name], rtol=1e-9)


def test_lines_of_the_rest_frame_need_no_redshift_in_the_file() -> None:
    moved = rest()
    moved.redshift = None
    np.testing.assert_allclose(measure_lines(moved, ["Hα"]).flux, measure_lines(observed(), ["Hα"]).flux)
    moved.redshift = Z  # of the source: what a catalogue says
    np.testing.assert_allclose(measure_lines(moved, ["Hα"]).flux, measure_lines(observed(), ["Hα"]).flux)


def test_spectra_of_both_frames_are_stacked_where_told_how() -> None:
    both = [observed("a"), rest("b")]
    with pytest.raises(ValidationError, match=r"others as observed.*redshift="):
        stack_spectra(both)
    with pytest.raises(ValidationError, match="redshift other than 0"):
        stack_spectra(both, redshift=Z)
    found, same = (
        stack_spectra(both, redshift=[Z, 0.0]),
        stack_spectra([observed(), observed("b")], redshift=Z),
    )
    np.testing.assert_allclose(found.fnu, same.fnu, rtol=1e-12)
    np.testing.assert_allclose(found.fnu_err, same.fnu_err, rtol=1e-12)
    assert found.header["STACKZLO"] == found.header["STACKZHI"] == Z
    power = found.resolving_power
    assert power is not None
    np.testing.assert_allclose(power, resolving_power("PRISM", found.wavelength * (1 + Z)), rtol=1e-3)


def test_normalised_and_other_spectra_do_not_go_together() -> None:
    for action in (stack_spectra, lambda s: measure_lines(s, ["Hα"], redshift=Z)):
        with pytest.raises(ValidationError, match="some of the spectra are normalised"):
            action([observed("a"), relative("b")])


@pytest.mark.parametrize("state", SPECTRA)
def test_frame_and_unit_survive_every_way_round(state: str, tmp_path: Path) -> None:
    spec = SPECTRA[state]("a")
    expected = frame_of(spec)
    spec.write(tmp_path / "a_spec.fits")
    spec.to_xarray().to_zarr(tmp_path / "a.zarr", consolidated=False)
    round_trips = {
        "xarray": SpectrumData.from_xarray(spec.to_xarray()),
        "table": SpectrumData.from_table(spec.to_table()),
        "specutils": SpectrumData.from_specutils(spec.to_specutils()),
        "FITS": SpectrumData.from_fits(tmp_path / "a_spec.fits"),
        "Zarr": SpectrumData.from_xarray(xr.open_zarr(tmp_path / "a.zarr", consolidated=False)),
        "accessor": spec.to_xarray().campfire.to_spectrum(),
        "engine": SpectrumData.from_xarray(xr.open_dataset(tmp_path / "a_spec.fits", engine="campfire")),
    }
    assert {name: frame_of(found) for name, found in round_trips.items()} == dict.fromkeys(
        round_trips, expected
    )
    assert frame_of(spec.to_xarray()) == expected
    assert frame_of(collection(SPECTRA[state])) == expected
    for row in collection(SPECTRA[state]).campfire.to_spectra():
        assert frame_of(row)[:2] == expected[:2]


def test_frames_are_read_from_headers() -> None:
    assert frame_of(rest()) == Frame(True, False, Z)
    assert frame_of(rest_stack()) == Frame(True, False, Z)
    assert frame_of(relative()) == Frame(False, True, 0.0)
    spread = stack_spectra([observed("a"), observed("b")], redshift=[1.9, 2.1])
    assert frame_of(spread) == Frame(True, False, None)


def test_fluxes_without_a_unit_are_said_to_be_taken_for_microjansky() -> None:
    ds = collection(observed)
    ds["fnu"].attrs.clear()
    with pytest.warns(CampfireWarning, match=r"fnu has no unit.*uJy"):
        ds.campfire.synthetic_photometry("f277w")
