"""Statements checked: ``Dataset.campfire`` forwards, and keeps labels, mask bits and history."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import astropy.units as u
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import campfire
from campfire.accessors import dataset_functions, install
from campfire.errors import ValidationError
from campfire.kernels.lsf import resolving_power
from campfire.models import Photometry, SpectrumData
from campfire.schema import PixelDQ, validate
from campfire.units import SPEED_OF_LIGHT

WAVE = np.linspace(0.6, 5.3, 400)


def spectrum(**changes: Any) -> SpectrumData:
    sound: dict[str, Any] = {
        "wavelength": WAVE,
        "fnu": 1 + 0.3 * np.sin(3 * WAVE),
        "fnu_err": np.full(WAVE.size, 0.05),
        "header": {"EFFEXPTM": 5.0},
        "grating": "PRISM",
        "spectrum_id": "demo_1",
        "redshift": 2.0,
    }
    return SpectrumData(**(sound | changes))


def dataset(**changes: Any) -> xr.Dataset:
    return spectrum(**changes).to_xarray()


def collection() -> xr.Dataset:
    rows = [dataset(spectrum_id=f"demo_{i}") for i in range(3)]
    ds = xr.concat(
        rows,
        "spectrum",
        data_vars="all",
        coords="different",
        compat="equals",
        join="override",
        combine_attrs="drop_conflicts",
    )
    return ds.assign_coords(
        object_id=("spectrum", np.array(["a", "a", "b"])),
        signal_to_noise=("spectrum", [3.0, 9.0, 20.0]),
    )


PHOT = Photometry(["f150w", "f277w", "f444w"], [2.0, 2.2, 2.4], [0.02, 0.02, 0.02], [1.5, 2.8, 4.4], "demo")


def test_way_back_is_exact() -> None:
    ds = dataset()
    assert ds.campfire.to_spectrum() == spectrum()
    assert ds.campfire.to_spectra() == [spectrum()]
    assert SpectrumData.from_specutils(ds.campfire.to_specutils()) == spectrum()
    assert SpectrumData.from_table(ds.campfire.to_table()) == spectrum()


def test_accessor_keeps_no_state() -> None:
    ds = dataset()
    before = ds.copy(deep=True)
    ds.campfire.to_restframe(1.0)
    ds.campfire.resample(WAVE[::2])
    ds.campfire.good("CLIPPED")
    xr.testing.assert_identical(ds, before)
    ds["fnu"] = ds.fnu.copy(data=ds.fnu.values * 2)
    assert ds.campfire.to_spectrum().fnu[0] == 2 * spectrum().fnu[0]


@given(st.lists(st.integers(0, 31), min_size=400, max_size=400), st.integers(0, 31))
def test_good_is_the_bit_formula(bits: list[int], ignore: int) -> None:
    ds = dataset()
    ds["dq"] = ds.dq.copy(data=np.array(bits, dtype=np.uint8))
    expected = [(b & ~ignore) == 0 for b in bits]
    assert ds.campfire.good(ignore).values.tolist() == expected
    names = [str(bit.name).lower() for bit in PixelDQ if bit & ignore]
    assert ds.campfire.good(names).values.tolist() == expected
    assert ds.chunk().campfire.good(names).chunks is not None
    members = [bit for bit in PixelDQ if bit & ignore]
    assert ds.campfire.good(members).values.tolist() == expected
    assert ds.campfire.good(PixelDQ(ignore)).values.tolist() == expected


@pytest.mark.parametrize("ignore", ["DEAD", ["CLIPPED", "x"], -1, 256, [300], [True], None, 1.5])
def test_unknown_bits_are_refused(ignore: Any) -> None:
    with pytest.raises(ValidationError):
        dataset().campfire.good(ignore)


def test_good_without_mask_looks_at_the_pixels() -> None:
    ds = dataset(fnu=np.where(WAVE > 5, np.nan, 1.0)).drop_vars("dq")
    np.testing.assert_array_equal(ds.campfire.good().values, WAVE <= 5)


@given(st.floats(-0.9, 20))
def test_restframe_keeps_the_integrated_flux(z: float) -> None:
    ds = dataset()
    rest = ds.campfire.to_restframe(z)
    validate(rest)
    np.testing.assert_allclose(rest.wavelength, WAVE / (1 + z))
    np.testing.assert_allclose(
        np.trapezoid(rest.flam, rest.wavelength), np.trapezoid(ds.flam, ds.wavelength), rtol=1e-12
    )
    frequency = [SPEED_OF_LIGHT / d.wavelength.values for d in (rest, ds)]
    np.testing.assert_allclose(
        np.trapezoid(rest.fnu, frequency[0]), np.trapezoid(ds.fnu, frequency[1]), rtol=1e-12
    )
    np.testing.assert_allclose(rest.fnu / rest.fnu_err, ds.fnu / ds.fnu_err)
    np.testing.assert_allclose(rest.campfire.to_spectrum().flam, rest.flam, rtol=1e-12)


def test_restframe_keeps_labels_dtype_laziness_and_says_so() -> None:
    ds = dataset(fnu=np.ones(400, np.float32)).chunk()
    rest = ds.campfire.to_restframe(np.float64(1.5))
    assert rest.fnu.dtype == np.float32
    assert rest.fnu.chunks is not None
    assert rest.attrs["history"] == "to the rest frame of z = 1.5"
    assert rest.attrs["redshift"] == 0
    assert rest.fnu.attrs == ds.fnu.attrs
    assert rest.wavelength.attrs["units"] == "um"
    xr.testing.assert_identical(rest.dq.drop_vars("wavelength"), ds.dq.drop_vars("wavelength"))


@pytest.mark.parametrize("z", [-1.0, np.nan, np.inf, [1.0], np.ones(1), "high", None, 1 * u.um])
def test_restframe_refuses_other_redshifts(z: Any) -> None:
    with pytest.raises(ValidationError, match="z="):
        dataset().campfire.to_restframe(z)


def test_resample_agrees_with_the_function_and_marks_pixels_outside() -> None:
    mask = (WAVE > 3) & (WAVE < 3.5)
    ds = dataset(mask=mask).assign_coords(object_id="J0")
    grid = np.arange(0.3, 6.0, 0.02)
    out = ds.campfire.resample(grid)
    reference = campfire.resample_spectrum(ds.campfire.to_spectrum(), grid)
    validate(out)
    np.testing.assert_array_equal(out.fnu, reference.fnu)
    np.testing.assert_array_equal(out.fnu_err, reference.fnu_err)
    np.testing.assert_array_equal(out.dq != 0, reference.mask)
    outside = (grid < 0.55) | (grid > 5.35)
    assert (out.dq.values[outside] & PixelDQ.OUTSIDE).all()
    assert not (out.dq.values[(grid > 3.1) & (grid < 3.4)] & PixelDQ.OUTSIDE).any()
    assert (out.dq.values[(grid > 3.1) & (grid < 3.4)] & PixelDQ.FLAGGED_IN_FILE).all()
    assert out.attrs["history"] == f"resampled onto {grid.size} pixels, 0.3 to 5.98 um, flux conserving"
    assert (out.object_id.item(), out.spectrum_id.item(), out.attrs["redshift"]) == ("J0", "demo_1", 2.0)
    assert "fnu_cov" not in out


def test_resample_with_covariance() -> None:
    out = dataset().campfire.resample(np.linspace(1, 5, 150), covariance=True)
    assert out.fnu_cov.dims == ("wavelength", "lag")
    np.testing.assert_allclose(out.fnu_cov.isel(lag=0), out.fnu_err**2, rtol=1e-12)
    again = out.campfire.to_spectrum()
    assert again.covariance is not None
    xr.testing.assert_allclose(again.to_xarray().fnu_cov, out.fnu_cov)


def test_synthetic_photometry_agrees_with_the_function() -> None:
    out = dataset().campfire.synthetic_photometry(["f277w", "f770w"])
    assert out.flux.dims == ("band",)
    assert out.band.values.tolist() == ["f277w", "f770w"]
    spec = spectrum()
    flux, err = campfire.synthetic_photometry(spec.wavelength, spec.fnu, spec.fnu_err, "f277w")
    np.testing.assert_allclose([out.flux[0], out.flux_err[0]], [flux, err])
    assert np.isnan(out.flux[1])
    assert out.coverage[1] == 0
    assert out.attrs["history"] == "synthetic photometry in f277w, f770w"
    assert out.spectrum_id.item() == "demo_1"


def test_calibrate_agrees_with_the_function_and_keeps_bits() -> None:
    ds = dataset()
    ds["dq"] = ds.dq.copy(data=np.where(WAVE < 0.7, PixelDQ.CLIPPED.value, 0).astype(np.uint8))
    out = ds.campfire.calibrate(PHOT, degree=1)
    reference = campfire.calibrate_to_photometry(ds.campfire.to_spectrum(), PHOT, degree=1)
    np.testing.assert_allclose(out.fnu, reference.spectrum.fnu)
    np.testing.assert_allclose(out.multiplier, reference.multiplier)
    np.testing.assert_allclose(out.multiplier_err, reference.multiplier_err)
    assert (out.calibration_chi2.item(), out.n_bands.item()) == (reference.chi2, 3)
    assert (out.dq.values[WAVE < 0.7] & PixelDQ.CLIPPED).all()
    assert not (out.dq.values & PixelDQ.FLAGGED_IN_FILE).any()
    assert out.attrs["history"] == "calibrated to demo, chebyshev of degree 1, dof 1, in f150w, f277w, f444w"
    own = ds.assign_coords(object_id="J0").campfire.calibrate({"J0": PHOT}, degree=1)
    np.testing.assert_array_equal(own.fnu, out.fnu)
    with pytest.raises(ValidationError, match="no photometry of object 'J1'"):
        ds.assign_coords(object_id="J1").campfire.calibrate({"J0": PHOT})


def test_history_grows_line_by_line() -> None:
    out = dataset().campfire.calibrate(PHOT, "flat").campfire.resample(WAVE[::3]).campfire.to_restframe(2)
    lines = out.attrs["history"].splitlines()
    assert [line.split()[0] for line in lines] == ["calibrated", "resampled", "to"]


def test_plot_forwards() -> None:
    assert dataset().campfire.plot(flux_unit="flam").get_title() == "demo_1  PRISM"


def test_dataset_of_a_collection_goes_to_the_lazy_functions() -> None:
    ds = collection()
    assert [s.spectrum_id for s in ds.campfire.to_spectra()] == ["demo_0", "demo_1", "demo_2"]
    assert ds.campfire.select(min_snr=5).sizes["spectrum"] == 2
    assert ds.campfire.resample(WAVE[::2]).fnu.dims == ("spectrum", "wavelength")
    assert ds.campfire.synthetic_photometry("f277w").flux.dims == ("spectrum", "band")
    assert ds.campfire.calibrate({"a": PHOT, "b": PHOT}).multiplier.dims == ("spectrum", "wavelength")
    assert ds.campfire.stack().fnu.dims == ("wavelength",)
    assert ds.campfire.resample(WAVE).fnu_cov.dims == ("spectrum", "wavelength", "lag")
    matched = ds.campfire.stack(match_resolution=True)
    xr.testing.assert_equal(matched, ds.campfire.stack())
    assert ds.campfire.plot().get_xlabel()
    assert ds.campfire.good().dims == ("spectrum", "wavelength")


def test_what_belongs_to_the_other_kind_is_refused() -> None:
    many, one = collection(), dataset()
    with pytest.raises(ValidationError, match="3 spectra"):
        many.campfire.to_restframe(1.0)
    with pytest.raises(ValidationError, match="3 spectra"):
        many.campfire.to_spectrum()
    with pytest.raises(ValidationError, match="one spectrum"):
        one.campfire.stack()
    with pytest.raises(ValidationError, match="one spectrum"):
        one.campfire.select(min_snr=3)
    with pytest.raises(ValidationError, match="common"):
        one.campfire.resample("common")
    with pytest.raises(ValidationError, match="str"):
        one.campfire.calibrate("f444w")
    with pytest.raises(ValidationError, match="not a campfire Dataset"):
        xr.Dataset({"x": 1}).campfire.good()


def test_functions_are_usable_without_the_accessor() -> None:
    ds = dataset()
    xr.testing.assert_identical(dataset_functions.to_restframe(ds, 1.0), ds.campfire.to_restframe(1.0))
    xr.testing.assert_identical(dataset_functions.resample(ds, WAVE[::2]), ds.campfire.resample(WAVE[::2]))


def test_installing_twice_does_nothing() -> None:
    install()
    assert dataset().campfire.to_spectrum() == spectrum()


@pytest.mark.parametrize(
    "first", ["import campfire\nimport xarray as xr", "import xarray as xr\nimport campfire"]
)
def test_accessor_works_in_both_import_orders(first: str) -> None:
    _run(
        f"{first}\nimport numpy as np\nfrom campfire import SpectrumData\n"
        "ds = SpectrumData([1.0, 2.0], [1.0, 2.0], [0.1, 0.1], {}, 'PRISM', 'a').to_xarray()\n"
        "assert ds.campfire.good().values.all()\n"
        "assert xr.__spec__.loader is xr.__loader__ and not hasattr(xr.__loader__, '_loader')\n"
        "assert xr.DataTree.campfire"
    )


def test_registration_imports_nothing_heavy() -> None:
    _run("""
        import sys
        import campfire.accessors
        loaded = {"xarray", "numpy", "pandas", "astropy", "specutils"} & set(sys.modules)
        assert not loaded, loaded
    """)


def test_hook_leaves_no_trace_once_the_module_is_loaded() -> None:
    _run("""
        import importlib, importlib.resources, importlib.util, sys
        from campfire.import_hooks import after_import
        before, calls = list(sys.meta_path), []
        after_import("wsgiref", lambda: calls.append("first"))
        after_import("wsgiref", lambda: calls.append(sys.modules["wsgiref"].__doc__ is not None))
        assert importlib.util.find_spec("wsgiref").submodule_search_locations  # only looked for: no call
        assert not calls
        import wsgiref.util, wsgiref
        assert calls == ["first", True], calls
        assert sys.meta_path == before
        assert wsgiref.__loader__ is wsgiref.__spec__.loader
        assert type(wsgiref.__loader__).__module__ != "campfire.import_hooks"
        assert importlib.resources.files("wsgiref").joinpath("util.py").is_file()
        importlib.reload(wsgiref)
        assert len(calls) == 2
    """)


def test_module_that_is_not_there_still_cannot_be_imported() -> None:
    _run("""
        import importlib.util
        from campfire.import_hooks import after_import
        after_import("no_such_module", print)
        assert importlib.util.find_spec("no_such_module") is None
        try:
            import no_such_module
        except ModuleNotFoundError:
            raise SystemExit(0)
        raise SystemExit("imported")
    """)


def _run(program: str) -> None:
    code = textwrap.dedent(program)
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_resolving_power_is_a_coordinate_that_stays_right() -> None:
    """R(wavelength) of a known grating travels with a spectrum; in the rest frame it is the observed one."""
    ds = spectrum().to_xarray()
    np.testing.assert_array_equal(ds.resolving_power.values, resolving_power("PRISM", WAVE))
    grid = np.linspace(1.0, 5.0, 60)
    resampled = ds.campfire.resample(grid)
    np.testing.assert_array_equal(resampled.resolving_power.values, resolving_power("PRISM", grid))
    rest = ds.campfire.to_restframe(2.0)
    np.testing.assert_array_equal(rest.resolving_power.values, resolving_power("PRISM", WAVE))
    again = rest.campfire.to_spectrum().to_xarray()
    np.testing.assert_array_equal(again.resolving_power.values, resolving_power("PRISM", WAVE))
    assert ds.campfire.to_spectrum().resolving_power is None  # that of the disperser
    binned = rest.campfire.resample(grid / 3).resolving_power.values
    np.testing.assert_allclose(binned, resolving_power("PRISM", grid), rtol=0.01)
    assert "resolving_power" not in spectrum(grating="G395M+PRISM").to_xarray().coords
    assert validate(rest) == validate(resampled) == ("wavelength",)
    assert SpectrumData.from_xarray(ds).to_xarray().identical(ds)
