"""Stacks of collections: the spectra of one grating, or of several on one grid, as one; lazy if they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.analysis.calibration import CALIBRATED
from campfire.analysis.frames import as_redshifts, check_frames, frame_of, source_redshifts
from campfire.analysis.inputs import as_grid, as_window, check_stacking
from campfire.analysis.stack_header import StackOptions, stack_cards
from campfire.analysis.stack_steps import Inputs, Stack, make_stack
from campfire.collection.blockwise import check_collection, flam_of
from campfire.collection.coords import gratings_of
from campfire.collection.covariance import correlations
from campfire.collection.gridding import GRID_HINT
from campfire.convert import append_history, dump_header
from campfire.convert.covariance import COVARIANCE_ATTRS, MODE_ATTRS
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import ValidationError
from campfire.schema import GRIDDED, SCHEMA_VERSION, SPECTRUM, PixelDQ, attrs_of, in_rest_frame
from campfire.text import text_variable
from campfire.units import RELATIVE

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import ArrayLike, NDArray

    from campfire.typing import FloatArray

__all__ = ["row_redshifts", "stack_collection"]


def stack_collection(
    ds: xr.Dataset,
    method: str = "weighted_mean",
    grid: ArrayLike | str | None = None,
    redshift: Any = None,
    normalize: tuple[float, float] | None = None,
    sigma_clip: float | None = None,
    *,
    object_id: str | None = None,
    rng: int | np.random.Generator | None = None,
    match_resolution: bool = False,
    jackknife: bool = False,
) -> xr.Dataset:
    """Stack the spectra of a collection into one; lazy if the collection is.

    The numbers are those of :func:`campfire.stack_spectra` on the same spectra, to rounding.
    Means are made of small sums, so that a collection larger than memory can be stacked; the median, clipping
    and bootstrap errors bring whole columns together.

    Parameters
    ----------
    ds
        A collection, better native: spectra are resampled once, here.
    method
        ``"weighted_mean"`` (by inverse variance), ``"mean"`` or ``"median"``.
    grid
        Pixel centres in microns, in the frame of the stack; ``("log", low, high, R)`` is a grid with even
        steps in ln(wavelength), 1 / R each. None or ``"common"`` takes those of the row with most pixels. Of
        several redshifts it goes from the first to the last good pixel of all, as fine as the finest row
        there, with at most 8192 pixels; where these are is found out at once, also of a lazy collection.
        Rows of different gratings are only stacked on a grid that is given.
    redshift
        Brings every spectrum to its rest frame (wavelength and f_nu divided by 1 + z): ``"redshift"``, or the
        name of another coordinate; one value a row; one for all; or spectrum id -> value.
    normalize
        (low, high) in microns, in the frame of the stack: every spectrum is divided by its mean f_nu there,
        and the error of that mean goes into the stack, whose fluxes are relative (unit 1). Rows that do not
        cover half of the range, or have no positive mean there, are left out with a warning; to know them,
        the levels of all rows are computed at once, also of a lazy collection.
    sigma_clip
        Reject values further than this many sigmas from the median of their pixel.
    object_id
        Used in the name of the stack.
    rng
        Seed or generator: errors are then the scatter of 200 stacks of objects drawn with replacement, each
        with all of its spectra (``object_id``, or every spectrum by itself without), or the propagated ones
        where those are larger.
    match_resolution
        Smooth all rows to the lowest resolving power, wavelength by wavelength in the frame of the stack,
        among those that have good pixels there, before stacking. For several gratings or redshifts, where all
        rows have good pixels is found out at once, also of a lazy collection.
    jackknife
        Instead of ``rng``: errors from stacks without one object after the other, the same at every run. Not
        for medians.

    Returns
    -------
    xarray.Dataset
        One spectrum, ``stack:<grating>:<n>spectra`` of the n rows used, with the numbers of spectra behind
        (``n_used``) and taken out of (``rejected``) every pixel, ``fnu_cov`` (wavelength, lag), the
        covariance of its pixels, and the coordinate ``resolving_power``, that of the weighted sum. The header
        says how it was made and lists the inputs; NSTACK is their number. Rows on a grid bring
        the covariance they have (``fnu_cov``); without it their pixels count as independent, which the
        history says. What normalisation or calibration does to all pixels of a spectrum is in ``fnu_modes``
        (wavelength, mode); errors that rows got from the same photometric measurement do not average down.

    Raises
    ------
    ValidationError
        For no spectra, mixed gratings without a grid, unknown redshifts, options out of range, or a redshift
        other than 0 for spectra in the rest frame.

    Warns
    -----
    CampfireWarning
        For rows left out, for those that are there more than once (of one id, with the same fluxes: they are
        counted once), and for a grid that lies outside all rows (of lazy ones: far outside the rows with
        most pixels). When ``fnu_cov`` of a lazy collection is computed, if rows have pixels more than twice
        as wide as those of the row with most pixels, and correlate more pixels of the stack than it holds.
    """
    check_collection(ds)
    if not ds.sizes["spectrum"]:
        raise ValidationError("a stack of nothing", hint="the collection holds no spectra")
    check_stacking(method, object_id, sigma_clip, rng, match_resolution, jackknife)
    gratings = tuple(sorted(set(gratings_of(ds))))
    if len(gratings) > 1 and (grid is None or isinstance(grid, str)):
        raise ValidationError(
            f"spectra of different gratings: {', '.join(gratings)}",
            hint="stack each grating by itself, or pass grid=",
        )
    shifts = row_redshifts(ds, redshift)
    (frame,) = check_frames([ds], "stacking", shifts)
    if frame.rest:
        shifts = None
        if match_resolution:
            raise ValidationError(
                "resolving powers of a collection in the rest frame are not known",
                hint="stack the spectra as observed, with redshift=",
            )
    options = StackOptions(method, as_window(normalize), sigma_clip, rng, match_resolution, jackknife)
    names = ds["spectrum_id"].values.tolist() if "spectrum_id" in ds.coords else []
    code = np.array([gratings.index(name) for name in gratings_of(ds)])
    inputs = Inputs(ds, names, shifts, gratings, code, correlations(ds), _objects(ds))
    stack = make_stack(inputs, options, _grid(grid), rest=frame.rest, whole=False)
    used = inputs.take(stack.rows)
    steps = str(ds.attrs.get("history", "")).splitlines()
    calibrated = [line for line in steps if line.startswith(CALIBRATED)]
    sources = source_redshifts([frame] * len(used.code), used.redshift)
    cards = stack_cards(len(used.code), used.names, options, sources, calibrated)
    grating = "+".join(gratings)
    name = f"stack:{object_id}:{grating}" if object_id else f"stack:{grating}:{cards['NSTACK']}spectra"
    return _dataset(used.ds, stack, cards, name, grating)


def _objects(ds: xr.Dataset) -> NDArray[np.intp]:
    """Return for every row the first row of the same object."""
    if "object_id" not in ds.coords or ds["object_id"].dims != ("spectrum",):
        return np.arange(ds.sizes["spectrum"])
    first: dict[str, int] = {}
    names = ds["object_id"].values.tolist()
    return np.array(
        [first.setdefault(name, k) if name and name == name else k for k, name in enumerate(names)]
    )


def row_redshifts(ds: xr.Dataset, redshift: Any) -> FloatArray | None:
    """Return one redshift a row, or None."""
    if redshift is None:
        return None
    if isinstance(redshift, str):
        if redshift not in ds.coords or ds[redshift].dims != ("spectrum",):
            raise ValidationError(
                f"no coordinate {redshift!r} a spectrum", hint="pass one redshift a spectrum"
            )
        redshift = ds[redshift].values
    elif isinstance(redshift, Mapping):
        redshift = [redshift.get(name, np.nan) for name in ds["spectrum_id"].values.tolist()]
    return as_redshifts(redshift, ds.sizes["spectrum"])


def _grid(grid: ArrayLike | str | None) -> FloatArray | None:
    if grid is None or (isinstance(grid, str) and grid == "common"):
        return None
    if isinstance(grid, str):
        raise ValidationError(f"grid={grid!r}", hint=f"None, 'common'; or {GRID_HINT}")
    return as_grid(grid, "grid")


def _dataset(ds: xr.Dataset, stack: Stack, cards: dict[str, Any], name: str, grating: str) -> xr.Dataset:
    import xarray as xr

    from campfire.convert.wavelength_index import spectral_coordinates

    relative = {"units": RELATIVE} if "STACKNRM" in cards or frame_of(ds).relative else {}
    bad = np.uint8(PixelDQ.NONFINITE_FLUX | PixelDQ.BAD_ERROR)
    grid, errors = stack.grid, stack.errors
    values = {
        "fnu": stack.fnu,
        "fnu_err": errors.error,
        "flam": flam_of(stack.fnu, grid),
        "flam_err": flam_of(errors.error, grid),
        "dq": (stack.n_used == 0).astype(np.uint8) * bad,
    }
    data: dict[str, Any] = {}
    for key, array in values.items():
        own = relative if key != "dq" else {}
        own = own | ({"origin": "computed"} if key.startswith("flam") else {})
        data[key] = (SPECTRUM, array, attrs_of(key) | own)
    data["n_used"] = (SPECTRUM, stack.n_used, {"long_name": "number of spectra behind the pixel"})
    data["rejected"] = (SPECTRUM, stack.rejected, {"long_name": "number of spectra clipped"})
    data["fnu_cov"] = (("wavelength", "lag"), errors.bands, COVARIANCE_ATTRS | relative)
    frame = {"long_name": REST_WAVELENGTH} if in_rest_frame(cards) else {}
    modes: dict[str, Any] = {}
    if errors.modes is not None:
        data["fnu_modes"] = (("wavelength", "mode"), errors.modes, MODE_ATTRS["fnu_modes"] | relative)
        modes["mode_sign"] = ("mode", errors.signs, dict(MODE_ATTRS["mode_sign"]))
        modes["measurement"] = text_variable("mode", stack.measurements, MODE_ATTRS["measurement"])
    attrs: dict[str, Any] = {"campfire_schema": SCHEMA_VERSION, "fits_header": dump_header(cards)}
    redshift = 0.0 if cards["STACKFRM"] == "rest" else _agreed(ds)
    if redshift is not None:
        attrs["redshift"] = redshift
    power = {}
    if stack.power is not None:
        given = attrs_of("resolving_power") | {"origin": "given"}
        power["resolving_power"] = (SPECTRUM, stack.power, given)
    stacked = xr.Dataset(
        data,
        spectral_coordinates(
            {
                "wavelength": (SPECTRUM, grid, attrs_of("wavelength") | frame),
                **power,
                "spectrum_id": text_variable((), name),
                "grating": text_variable((), grating),
                **modes,
            }
        ),
        attrs,
    )
    if "history" in ds.attrs:
        stacked.attrs["history"] = ds.attrs["history"]
    step = (
        f"stacked {cards['NSTACK']} spectra, {cards['STACKMTH']}, {cards['STACKFRM']} frame, resampled once"
    )
    if ds["fnu"].dims == GRIDDED and "fnu_cov" not in ds:
        step += "; pixels of the inputs, on a grid already, taken as independent"
    return append_history(stacked, step)


def _agreed(ds: xr.Dataset) -> float | None:
    """Return the redshift that all rows share, or None."""
    if "redshift" not in ds.coords:
        return None
    values = np.unique(np.asarray(ds["redshift"].values, dtype=np.float64))
    return float(values[0]) if len(values) == 1 and np.isfinite(values[0]) else None
