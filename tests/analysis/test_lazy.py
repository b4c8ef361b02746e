"""Statements: lazy in, lazy out; any chunking gives the numpy answer; rows give what single spectra give;
masked values never leak; every step is in the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from campfire.analysis.calibration import calibrate_collection, calibrate_to_photometry
from campfire.analysis.collection_summary import (
    collection_spectra,
    plot_collection,
    select_spectra,
    summarise,
)
from campfire.analysis.photometry import band_photometry, collection_photometry
from campfire.analysis.resampling import resample_collection, resample_spectrum
from campfire.analysis.stack_collections import stack_collection
from campfire.analysis.stacking import stack_spectra
from campfire.collection.blockwise import flam_of
from campfire.convert.header_json import load_header
from campfire.errors import CampfireWarning, ValidationError
from campfire.flags import DQFlags
from campfire.kernels.bandpass import Bandpass
from campfire.kernels.lsf import resolving_power
from campfire.models import Photometry
from campfire.schema import GRIDDED, NATIVE, PixelDQ, attrs_of, validate
from campfire.text import text_variable

BOX = Bandpass("box", np.array([1.2, 1.4, 2.0, 2.2]), np.array([0.0, 1.0, 1.0, 0.0]))
RED = Bandpass("red", np.array([2.6, 3.8]), np.array([1.0, 1.0]))
GRID = np.linspace(0.8, 4.0, 31)


def make(n: int = 9, seed: int = 0, width: int = 60, gaps: float = 0.08) -> xr.Dataset:
    """A native collection in memory: ragged rows, masked pixels, garbage beneath masks and padding."""
    rng = np.random.default_rng(seed)
    shape = (n, width)
    wave, fnu, err = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    dq = np.full(shape, PixelDQ.OUTSIDE, dtype=np.uint8)
    count = np.array([width - (5 * k) % 13 for k in range(n)], dtype=np.int32)
    for k, m in enumerate(count):
        wave[k, :m] = np.linspace(0.6, 4.5, m) * (1 + 0.003 * rng.random())
        fnu[k, :m] = 2 + 0.1 * rng.normal(size=m) + k * 0.1
        err[k, :m] = 0.1 + 0.05 * rng.random(m)
        bad = rng.random(m) < gaps
        dq[k, :m] = np.where(bad, PixelDQ.FLAGGED_IN_FILE, 0)
        fnu[k, :m][bad] = 1e6
    coords = {
        "spectrum_id": text_variable("spectrum", [f"s{k}" for k in range(n)]),
        "object_id": text_variable("spectrum", [f"o{k // 2}" for k in range(n)]),
        "redshift": ("spectrum", np.where(np.arange(n) == 4, np.nan, 0.05 * np.arange(n))),
        "redshift_quality": ("spectrum", np.arange(n) % 5),
        "signal_to_noise": ("spectrum", np.arange(n) * 1.0),
        "dq_flags": ("spectrum", np.arange(n) % 4),
        "grating": text_variable((), "PRISM"),
        "wavelength": (NATIVE, wave, attrs_of("wavelength")),
    }
    values = {
        "fnu": fnu,
        "fnu_err": err,
        "flam": flam_of(fnu, wave),
        "flam_err": flam_of(err, wave),
        "dq": dq,
    }
    data = {name: (NATIVE, v, attrs_of(name)) for name, v in values.items()}
    ds = xr.Dataset(data | {"n_pixels": ("spectrum", count)}, coords, attrs={"history": "made"})
    return ds.set_xindex("spectrum_id")


MEMORY = make()
SINGLE = collection_spectra(MEMORY)
WHOLE = make(gaps=0.0)
CHUNKS = st.builds(
    lambda rows, pixels: {"spectrum": tuple(rows), "pixel": pixels},
    st.sampled_from([(9,), (1,) * 9, (4, 5), (2, 3, 4), (8, 1), (3, 3, 3)]),
    st.sampled_from([-1, 60, 7, 31]),
)
PHOT = {
    "o0": Photometry(["f150w", "f200w", "f277w"], [3.0, 4.0, 4.0], [0.1, 0.1, 0.1], [1.5, 2.0, 2.8]),
    "o1": Photometry(["f150w", "f277w"], [2.0, 1.0], [0.1, 0.2], [1.5, 2.8]),
    "o3": Photometry(["f200w"], [5.0], [0.1], [2.0]),
    "o4": Photometry(["f200w"], [np.nan], [np.nan], [2.0]),
}


def close(lazy: xr.Dataset, eager: xr.Dataset) -> None:
    assert set(lazy.variables) == set(eager.variables)
    assert lazy.attrs == eager.attrs
    lazy = lazy.compute()
    if "fnu_cov" in eager:  # far from the diagonal it is a difference
        scale = float(eager["fnu_cov"].max())
        np.testing.assert_allclose(lazy["fnu_cov"], eager["fnu_cov"], rtol=1e-11, atol=1e-12 * scale)
        lazy, eager = lazy.drop_vars("fnu_cov"), eager.drop_vars("fnu_cov")
    if (
        "fnu_modes" in eager
    ):  # each is known up to its sign, and alike ones up to a rotation: not so their sum
        one, two = (
            np.einsum("...im,...m,...jm->...ij", modes, ds["mode_sign"].values, modes)
            for ds in (lazy.compute(), eager)
            for modes in [ds["fnu_modes"].values]
        )
        np.testing.assert_allclose(one, two, atol=1e-11 * np.abs(two).max())
        lazy, eager = (ds.drop_vars(["fnu_modes", "mode_sign"]) for ds in (lazy, eager))
    xr.testing.assert_allclose(lazy, eager, rtol=1e-11, atol=0)
    for name in ("dq", "n_used", "rejected", "n_bands"):
        if name in eager:
            np.testing.assert_array_equal(lazy[name].values, eager[name].values)


def all_lazy(ds: xr.Dataset, *names: str) -> None:
    assert all(ds[name].chunks is not None for name in names)


@given(chunks=CHUNKS)
def test_resample_for_any_chunks(chunks: Any) -> None:
    lazy = resample_collection(MEMORY.chunk(chunks), GRID)
    assert validate(lazy) == GRIDDED
    all_lazy(lazy, "fnu", "fnu_err", "flam", "flam_err", "dq")
    close(lazy, resample_collection(MEMORY, GRID))


@given(chunks=CHUNKS)
def test_photometry_for_any_chunks(chunks: Any) -> None:
    lazy = collection_photometry(MEMORY.chunk(chunks), [BOX, RED])
    all_lazy(lazy, "flux", "flux_err", "coverage")
    close(lazy, collection_photometry(MEMORY, [BOX, RED]))


STACKS: list[dict[str, Any]] = [
    {},
    {"method": "mean"},
    {"method": "median"},
    {"redshift": 0.5},
    {"normalize": (1.0, 1.5)},
    {"sigma_clip": 1.5},
    {"method": "median", "rng": 3},
    {"method": "mean", "grid": GRID, "normalize": (1.0, 2.0), "redshift": list(0.1 * np.arange(9))},
]


@given(options=st.sampled_from(STACKS), chunks=CHUNKS)
def test_stack_for_any_chunks(options: dict[str, Any], chunks: Any) -> None:
    lazy = stack_collection(MEMORY.chunk(chunks), **options)
    all_lazy(lazy, "fnu", "fnu_err", "flam", "flam_err", "dq", "n_used")
    assert validate(lazy) == ("wavelength",)
    close(lazy, stack_collection(MEMORY, **options))


@settings(max_examples=4)
@given(chunks=CHUNKS)
def test_calibrate_for_any_chunks(chunks: Any) -> None:
    with pytest.warns(CampfireWarning, match="2 of 9 spectra have no photometry"):
        lazy = calibrate_collection(WHOLE.chunk(chunks), PHOT, degree=0)
    with pytest.warns(CampfireWarning):
        eager = calibrate_collection(WHOLE, PHOT, degree=0)
    all_lazy(lazy, "fnu", "fnu_err", "flam", "dq", "multiplier", "n_bands")
    assert eager.n_bands.values.tolist() == [3, 3, 2, 2, 0, 0, 1, 1, 0]
    close(lazy, eager)


@pytest.mark.parametrize("options", STACKS, ids=lambda o: "-".join(o) or "plain")
def test_stack_equals_that_of_single_spectra(options: dict[str, Any]) -> None:
    given_options = dict(options)
    given_options["wavelength_grid"] = given_options.pop("grid", None)
    single = stack_spectra(SINGLE, **given_options).to_xarray()
    # single spectra do not say of which object they are, and are drawn one by one
    alone = MEMORY.drop_vars("object_id") if "rng" in options else MEMORY
    many = stack_collection(alone, **options)
    for name in ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "dq"):
        np.testing.assert_allclose(many[name].values, single[name].values, rtol=1e-9, err_msg=name)
    assert many.spectrum_id.item() == single.spectrum_id.item()
    assert many.attrs.get("redshift") == single.attrs.get("redshift")


def test_resample_equals_that_of_single_spectra() -> None:
    many = resample_collection(MEMORY, GRID)
    for k, spectrum in enumerate(SINGLE):
        single = resample_spectrum(spectrum, GRID)
        np.testing.assert_allclose(many.fnu.values[k], single.fnu, rtol=1e-12)
        np.testing.assert_allclose(many.fnu_err.values[k], single.fnu_err, rtol=1e-12)
        np.testing.assert_array_equal(many.dq.values[k] != 0, single.mask)


def test_photometry_equals_that_of_single_spectra() -> None:
    many = collection_photometry(MEMORY, [BOX, RED], min_coverage=0.5)
    for k, spectrum in enumerate(SINGLE):
        single = band_photometry(spectrum, [BOX, RED], min_coverage=0.5)
        for name in ("flux", "flux_err", "coverage"):
            np.testing.assert_allclose(many[name].values[k], single[name].values, rtol=1e-12)


@pytest.mark.filterwarnings("ignore:the calibration curve of .* goes through all")
def test_calibration_equals_that_of_single_spectra() -> None:
    """Rows that cannot be calibrated are masked throughout, and say so."""
    with pytest.warns(CampfireWarning):
        many = calibrate_collection(WHOLE, PHOT, min_snr=0.1)
    for k, spectrum in enumerate(collection_spectra(WHOLE)):
        if not many.n_bands.values[k]:
            assert k in (4, 5, 8)
            assert np.isnan(many.fnu.values[k]).all()
            assert (many.dq.values[k] != 0).all()
            continue
        single = calibrate_to_photometry(spectrum, PHOT[f"o{k // 2}"], min_snr=0.1)
        n = len(spectrum)
        assert many.n_bands.values[k] == len(single.bands_used)
        np.testing.assert_allclose(many.fnu.values[k, :n], single.spectrum.fnu, rtol=1e-11)
        np.testing.assert_allclose(many.fnu_err.values[k, :n], single.spectrum.fnu_err, rtol=1e-9)
        np.testing.assert_array_equal(many.dq.values[k, :n] != 0, single.spectrum.mask)
        np.testing.assert_allclose(many.multiplier_err.values[k, :n], single.multiplier_err, rtol=1e-11)
        np.testing.assert_allclose(many.calibration_chi2.values[k], single.chi2, rtol=1e-9, atol=1e-20)


@settings(max_examples=15)
@given(seed=st.integers(0, 50), junk=st.sampled_from([np.nan, np.inf, -1e30, 0.0]))
def test_masked_values_never_leak(seed: int, junk: float) -> None:
    clean, dirty = make(5, seed), make(5, seed)
    masked = dirty.dq.values != 0
    dirty.fnu.values[masked] = junk
    dirty.fnu_err.values[masked] = junk
    functions: list[Callable[[xr.Dataset], xr.Dataset]] = [
        lambda ds: resample_collection(ds, GRID),
        lambda ds: collection_photometry(ds, [BOX]),
        lambda ds: stack_collection(ds, "median", sigma_clip=2.0),
        lambda ds: stack_collection(ds, normalize=(1.0, 2.0)),
    ]
    for function in functions:
        one, other = function(clean), function(dirty)
        for name in one.data_vars:
            np.testing.assert_array_equal(one[name].values, other[name].values)


@settings(max_examples=6)
@given(chunks=CHUNKS)
def test_gridded_collections_for_any_chunks(chunks: Any) -> None:
    """Every lift takes a gridded collection as well as a native one."""
    eager = resample_collection(WHOLE, GRID)
    lazy = eager.chunk({"spectrum": chunks["spectrum"], "wavelength": 13})
    photometry = PHOT["o1"]
    functions: list[Callable[[xr.Dataset], xr.Dataset]] = [
        lambda ds: resample_collection(ds, np.linspace(1.0, 3.5, 12)),
        lambda ds: collection_photometry(ds, [BOX]),
        lambda ds: stack_collection(ds, "median", redshift=0.3),
        lambda ds: stack_collection(ds),
        lambda ds: calibrate_collection(ds, photometry, degree=0),
    ]
    for function in functions:
        close(function(lazy), function(eager))
    assert resample_collection(lazy).sizes["wavelength"] == GRID.size


def test_bits_of_a_resampled_pixel() -> None:
    """OUTSIDE beyond the row; where nothing good is under a pixel, the bits of what is there."""
    ds = make(2)
    ds.dq.values[0, 10:20] = PixelDQ.CLIPPED
    grid = np.linspace(0.2, 5.0, 50)
    out = resample_collection(ds, grid)
    outside = (grid < 0.55) | (grid > 4.55)
    assert (out.dq.values[:, outside] & PixelDQ.OUTSIDE).all()
    assert not (out.dq.values[:, ~outside] & PixelDQ.OUTSIDE).any()
    lost = float(ds.wavelength.values[0, 15])
    bits = int(out.dq.values[0, int(np.argmin(abs(grid - lost)))])
    assert bits == PixelDQ.CLIPPED | PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR
    assert np.isfinite(out.fnu.values[out.dq.values == 0]).all()


def test_rows_of_one_pixel_or_none_do_not_count() -> None:
    ds = make(5)
    for row, count in ((1, 0), (3, 1)):
        for name in ("wavelength", "fnu", "fnu_err"):
            ds[name].values[row, count:] = np.nan
        ds.dq.values[row, count:] = PixelDQ.OUTSIDE
        ds.n_pixels.values[row] = count
    rest = ds.isel(spectrum=[0, 2, 4])
    out = resample_collection(ds, GRID)
    assert (out.dq.values[[1, 3]] & PixelDQ.OUTSIDE).all()
    assert np.isnan(collection_photometry(ds, [BOX]).flux.values[[1, 3]]).all()
    np.testing.assert_array_equal(
        stack_collection(ds, grid=GRID).fnu.values, stack_collection(rest, grid=GRID).fnu.values
    )
    calibrated = calibrate_collection(ds, PHOT["o0"], degree=0)
    assert (calibrated.n_bands.values[[1, 3]] == 0).all()


def test_common_grid_is_that_of_the_longest_row() -> None:
    out = resample_collection(MEMORY)
    np.testing.assert_array_equal(out.wavelength.values, SINGLE[0].wavelength)
    assert resample_collection(out).equals(out) or np.allclose(
        resample_collection(out).fnu.values, out.fnu.values, equal_nan=True
    )


@pytest.mark.parametrize("lazy", [False, True])
def test_select(lazy: bool) -> None:
    ds = MEMORY.chunk({"spectrum": 2}) if lazy else MEMORY
    assert select_spectra(ds).identical(ds)
    assert select_spectra(ds, min_snr=6).spectrum_id.values.tolist() == ["s6", "s7", "s8"]
    assert select_spectra(ds, dq_flags=~DQFlags.CHIP_GAP).dq_flags.values.tolist() == [0, 2, 0, 2, 0]
    assert select_spectra(ds, redshift_quality=["secure", 3]).redshift_quality.values.tolist() == [3, 4, 3]
    assert select_spectra(ds, redshift_range=(0.1, 0.31)).spectrum_id.values.tolist() == [
        "s2",
        "s3",
        "s5",
        "s6",
    ]
    assert "s4" not in select_spectra(ds, redshift_range=(None, None)).spectrum_id
    none = select_spectra(ds, min_snr=1e9)
    assert none.sizes["spectrum"] == 0
    assert collection_spectra(none) == []
    assert resample_collection(none, GRID).compute().fnu.shape == (0, 31)
    both = select_spectra(ds, min_snr=2, redshift_range=(0, 0.2))
    assert both.spectrum_id.values.tolist() == ["s2", "s3"]
    assert (both.fnu.chunks is not None) == lazy
    assert both.attrs["history"].splitlines()[-1].startswith("selected 2 of 9 spectra")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"redshift_range": (3, 1)}, "reversed"),
        ({"redshift_range": 3}, "redshift_range"),
        ({"redshift_quality": []}, "empty"),
        ({"redshift_quality": "sure"}, "sure"),
        ({"dq_flags": "NOPE"}, "NOPE"),
    ],
)
def test_bad_conditions(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        select_spectra(MEMORY, **options)
    with pytest.raises(ValidationError, match="signal_to_noise"):
        select_spectra(MEMORY.drop_vars("signal_to_noise"), min_snr=1)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "best"}, "best"),
        ({"redshift": "redshift"}, "1 of 9 spectra have no redshift"),
        ({"redshift": "z_none"}, "z_none"),
        ({"redshift": [1.0, 2.0]}, "2 redshifts for 9"),
        ({"redshift": {"s0": 1.0}}, "8 of 9"),
        ({"normalize": (2.0, 1.0)}, "normalize"),
        ({"sigma_clip": 0}, "sigma_clip"),
        ({"rng": "x"}, "rng='x'"),
        ({"grid": "fine"}, "fine"),
        ({"grid": [2.0, 1.0, 3.0]}, "grid"),
    ],
)
def test_bad_stacks(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        stack_collection(MEMORY, **options)


def test_a_grid_outside_all_rows_is_told() -> None:
    """Numbers in angstrom, in memory and lazily; a grid just beyond where wavelengths are known."""
    for ds in (MEMORY, MEMORY.chunk({"spectrum": 4})):
        with pytest.warns(CampfireWarning, match="the grid covers 10000-20000 um, the spectra"):
            stack_collection(ds, grid=np.linspace(1e4, 2e4, 20))
    with pytest.warns(CampfireWarning, match="the grid covers 5-6 um, the spectra 0.6"):
        stack_collection(MEMORY, grid=np.linspace(5, 6, 20))


def test_stack_of_a_calibrated_collection_says_so() -> None:
    stacked = stack_collection(calibrate_collection(WHOLE, PHOT["o0"]))
    history = load_header(stacked.attrs["fits_header"])["HISTORY"]
    assert history[-1].startswith("calibrated to photometry, chebyshev: 9 of 9")


def test_stack_of_nothing() -> None:
    with pytest.raises(ValidationError, match="nothing"):
        stack_collection(MEMORY.isel(spectrum=[]))


def test_redshifts_by_name_mapping_or_number() -> None:
    ds = select_spectra(MEMORY, redshift_range=(0, None))
    by_name = stack_collection(ds, redshift="redshift")
    mapping = dict(zip(ds.spectrum_id.values.tolist(), ds.redshift.values.tolist(), strict=True))
    np.testing.assert_array_equal(by_name.fnu.values, stack_collection(ds, redshift=mapping).fnu.values)
    np.testing.assert_array_equal(
        by_name.fnu.values, stack_collection(ds, redshift=ds.redshift.values).fnu.values
    )


def test_a_generator_moves_on() -> None:
    rng = np.random.default_rng(5)
    first = stack_collection(MEMORY, rng=rng).fnu_err.values
    np.testing.assert_array_equal(first, stack_collection(MEMORY, rng=5).fnu_err.values)
    assert not np.array_equal(first, stack_collection(MEMORY, rng=rng).fnu_err.values)


def test_history_grows_by_one_line_a_step() -> None:
    ds = resample_collection(select_spectra(MEMORY, min_snr=1), GRID)
    steps = stack_collection(ds).attrs["history"].splitlines()
    assert [line.split()[0] for line in steps] == ["made", "selected", "resampled", "stacked"]


def test_not_collections() -> None:
    single = SINGLE[0].to_xarray()
    for function in (resample_collection, stack_collection, collection_spectra, summarise, plot_collection):
        with pytest.raises(ValidationError, match="one spectrum"):
            function(single)
        with pytest.raises(ValidationError):
            function(xr.Dataset())


def test_photometry_of_nobody() -> None:
    with pytest.raises(ValidationError, match="none of the 5"):
        calibrate_collection(MEMORY, {"other": PHOT["o0"]})
    with pytest.raises(ValidationError, match="list"):
        calibrate_collection(MEMORY, [1, 2])  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="method"):
        calibrate_collection(MEMORY, PHOT["o0"], "spline")  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="nope"):
        calibrate_collection(MEMORY, PHOT["o0"], bands=["nope"])


def test_summary_and_picture() -> None:
    lazy = MEMORY.chunk({"spectrum": 3})
    summary = summarise(lazy)
    assert summary["spectra"] == 9
    assert summary["objects"] == 5
    assert summary["lazy"] is True
    assert summary["state"] == "native"
    assert summary["redshift"] == (0.0, 0.4)
    axes = plot_collection(lazy)
    assert "9 PRISM spectra" in axes.get_title(loc="left") + axes.get_title() + axes.get_title(loc="right")


@pytest.mark.parametrize("lazy", [False, True])
def test_stack_lists_its_inputs_and_warns_of_rows_without_a_level(lazy: bool) -> None:
    """Provenance: the header names the inputs; rows that cannot be normalised are named, never silent."""
    ds = make(5)
    ds.fnu.values[3] = -abs(ds.fnu.values[3])
    opened = ds.chunk({"spectrum": 2}) if lazy else ds
    whole = stack_collection(opened)
    history = load_header(whole.attrs["fits_header"])["HISTORY"]
    assert [line for line in history if line.startswith("input: ")] == [f"input: s{k}" for k in range(5)]
    with pytest.warns(CampfireWarning, match="1 of . spectra are left out.*: s3$"):
        left = stack_collection(opened, normalize=(1.0, 2.0)).compute()
    with pytest.warns(CampfireWarning, match="1 of 5 spectra are left out.*: s3$"):
        single = stack_spectra(collection_spectra(ds), normalize=(1.0, 2.0))
    np.testing.assert_allclose(left.fnu.values, single.fnu, rtol=1e-9)
    assert left.spectrum_id.item() == single.spectrum_id == "stack:PRISM:4spectra"


def test_resolving_power_travels_with_gridded_collections_and_stacks() -> None:
    """R(wavelength) of the grating is a coordinate; in the rest frame that of the observed wavelength."""
    gridded = resample_collection(MEMORY, GRID)
    np.testing.assert_array_equal(gridded.resolving_power.values, resolving_power("PRISM", GRID))
    stacked = stack_collection(MEMORY, grid=GRID)
    np.testing.assert_array_equal(stacked.resolving_power.values, resolving_power("PRISM", GRID))
    rest = stack_collection(MEMORY, grid=GRID / 1.5, redshift=0.5)
    np.testing.assert_allclose(rest.resolving_power.values, resolving_power("PRISM", GRID), rtol=1e-12)


def test_to_spectra_and_back_through_stack_dataset() -> None:
    """What a stack gives is the Dataset of one spectrum."""
    from campfire.models import SpectrumData

    spectrum = SpectrumData.from_xarray(stack_collection(MEMORY))
    assert spectrum.spectrum_id == "stack:PRISM:9spectra"
    assert spectrum.header["NSTACK"] == 9
    assert [s.spectrum_id for s in SINGLE] == MEMORY.spectrum_id.values.tolist()
    assert SINGLE[4].redshift is None
    assert SINGLE[2].redshift == pytest.approx(0.1)
