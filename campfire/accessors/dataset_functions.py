"""What ``Dataset.campfire`` does to the Dataset of one spectrum, as typed functions of a Dataset.

They look at the schema, leave the numbers to :mod:`campfire.analysis`, and add one line to
``attrs["history"]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from campfire import schema
from campfire.analysis.frames import check_frames, redshift_numbers
from campfire.arguments import did_you_mean, shown, truth
from campfire.convert import append_history, to_dataset
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.convert.header_json import dump_header, load_header
from campfire.errors import ValidationError
from campfire.kernels.grids import rising
from campfire.models import SpectrumData
from campfire.schema import PixelDQ, pixel_dq
from campfire.units import fnu_to_flam

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from campfire.analysis.calibration import CalibrationMethod
    from campfire.models import Photometry
    from campfire.typing import BandpassLike

Ignored: TypeAlias = int | str | Iterable[int | str]

__all__ = [
    "Ignored",
    "calibrate",
    "draw_fit",
    "good_pixels",
    "is_collection",
    "resample",
    "stacking",
    "synthetic_photometry",
    "to_restframe",
]


def is_collection(ds: xr.Dataset) -> bool:
    """Tell a collection from one spectrum.

    Raises
    ------
    ValidationError
        If the Dataset is neither; the message names the variable.
    """
    return schema.validate(ds) != schema.SPECTRUM


def good_pixels(ds: xr.Dataset, ignore: Ignored = 0) -> xr.DataArray:
    """Return where pixels are good: no bit of ``dq`` is set, but for those ignored.

    Parameters
    ----------
    ds
        One spectrum, or a collection; lazy stays lazy.
    ignore
        Bits that do not matter: a mask, a name of :class:`campfire.schema.PixelDQ` in any case, or several
        of either.

    Returns
    -------
    xarray.DataArray
        Boolean, dimensions of ``fnu``.

    Raises
    ------
    ValidationError
        For an unknown name.

    Examples
    --------
    >>> ds = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.0], {}, "PRISM", "demo_1").to_xarray()
    >>> good_pixels(ds).values, good_pixels(ds, ignore="bad_error").values
    (array([ True, False]), array([ True,  True]))
    """
    schema.validate(ds)
    kept = ~_bits(ignore) & 0xFF
    dq = ds["dq"] if "dq" in ds.variables else ds["fnu"].copy(data=_dq(ds))
    good: xr.DataArray = (dq & np.uint8(kept)) == 0
    good.attrs = {"long_name": "good pixels"}
    return good.rename("good")


def _bits(ignore: Ignored) -> int:
    several = isinstance(ignore, Iterable) and not isinstance(ignore, str | bytes)
    items: Any = ignore if several else [ignore]
    return reduce(or_, map(_bit, items), 0)


def _bit(item: Any) -> int:
    known = PixelDQ.__members__
    if isinstance(item, str) and item.upper() in known:
        return known[item.upper()].value
    if isinstance(item, int | np.integer) and not isinstance(item, bool):
        if not 0 <= item <= 0xFF:
            raise ValidationError(f"ignore={item} is not a mask of pixel bits", hint="0 to 255, or names")
        return int(item)
    raise ValidationError(f"unknown pixel bit {shown(item)}", hint=did_you_mean(str(item), known))


def to_restframe(ds: xr.Dataset, z: float) -> xr.Dataset:
    """Move a spectrum to the rest frame, keeping the integrated flux.

    Wavelengths are divided by 1 + z, f_lambda is multiplied and f_nu divided by it, so that neither the
    integral of f_lambda over wavelength nor that of f_nu over frequency changes.

    Parameters
    ----------
    ds
        One spectrum; lazy stays lazy.
    z
        Redshift, more than -1.

    Returns
    -------
    xarray.Dataset
        The same variables; ``attrs["redshift"]`` is 0, the redshift the spectrum now is at, and the cards
        SPECSYS (``SOURCE``) and ZSOURCE of ``fits_header`` say the frame and ``z``.

    Raises
    ------
    ValidationError
        If it is not one spectrum, or in the rest frame already, or ``z`` is not a number above -1.

    Examples
    --------
    >>> ds = SpectrumData([2.0, 4.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1").to_xarray()
    >>> rest = to_restframe(ds, 1.0)
    >>> rest.wavelength.values, rest.fnu.values
    (array([1., 2.]), array([1.5, 2. ]))
    """
    from campfire.convert.wavelength_index import spectral_coordinates

    _require_one(ds)
    number = redshift_numbers(z, "z")
    stretch = np.nan if number.ndim else 1.0 + float(number)
    if not (np.isfinite(stretch) and stretch > 0):
        raise ValidationError(f"z={z!r}", hint="pass one number above -1")
    (frame,) = check_frames([ds], "to_restframe", stretch - 1.0)
    powers = {"fnu": -1, "fnu_err": -1, "flam": 1, "flam_err": 1, "fnu_cov": -2, "fnu_modes": -1}
    powers |= {"model": -1, "fine_model": -1}
    scaled = {name: ds[name] * stretch**power for name, power in powers.items() if name in ds.variables}
    result = ds.assign({name: values.assign_attrs(ds[name].attrs) for name, values in scaled.items()})
    moved = {
        "wavelength": (schema.SPECTRUM, ds["wavelength"].values / stretch, _rest_attrs(ds["wavelength"]))
    }
    result = result.assign_coords(spectral_coordinates(moved))
    if "model_wavelength" in ds.coords:
        axis = ds["model_wavelength"]
        result = result.assign_coords(model_wavelength=(axis.dims, axis.values / stretch, _rest_attrs(axis)))
    header = load_header(ds.attrs.get("fits_header", "{}"))
    if not frame.rest:
        header |= {"SPECSYS": "SOURCE", "ZSOURCE": float(z)}
    result = result.assign_attrs(redshift=0.0, fits_header=dump_header(header))
    return append_history(result, f"to the rest frame of z = {float(z):g}")


def _rest_attrs(axis: xr.DataArray) -> dict[Any, Any]:
    return axis.attrs | {"long_name": REST_WAVELENGTH}


def resample(ds: xr.Dataset, grid: ArrayLike, *, covariance: bool = False) -> xr.Dataset:
    """Bring one spectrum onto another grid, conserving the integral of f_nu over wavelength.

    Parameters
    ----------
    ds
        One spectrum.
    grid
        Pixel centres in microns (or a Quantity), ascending, shape (m,).
    covariance
        Add ``fnu_cov`` (wavelength, lag), microjansky squared.

    Returns
    -------
    xarray.Dataset
        On the grid, float64. A pixel of which less than half is covered by good input is NaN; its ``dq`` has
        the bits of the input under it, and ``OUTSIDE`` where there is none.

    Raises
    ------
    ValidationError
        If it is not one spectrum, or the grid does not ascend.

    See Also
    --------
    campfire.resample_spectrum
    """
    from campfire.analysis.inputs import as_spectrum
    from campfire.analysis.resampling import resample_one

    _require_one(ds)
    covariance = truth(covariance, "covariance")
    if isinstance(grid, str):
        raise ValidationError(f"grid={grid!r}", hint="pass an array of microns")
    bits = _dq(ds)[rising(ds["wavelength"].values)]
    result, dq = resample_one(as_spectrum(ds), bits, grid, covariance=covariance)
    centres = result.wavelength
    step = f"resampled onto {centres.size} pixels, {centres[0]:g} to {centres[-1]:g} um, flux conserving"
    return _result(ds, result, dq, step)


def calibrate(
    ds: xr.Dataset,
    photometry: Photometry | Mapping[str, Photometry | None],
    method: CalibrationMethod = "chebyshev",
    bands: Sequence[str | BandpassLike] | None = None,
    degree: int | None = None,
    min_snr: float = 0.5,
    **options: Any,
) -> xr.Dataset:
    """Scale one spectrum by a smooth curve that brings it onto its photometry.

    Parameters
    ----------
    ds
        One spectrum.
    photometry
        Observed fluxes; or object id -> observed fluxes, of which those for the coordinate ``object_id`` are
        taken.
    method, bands, degree, min_snr, **options
        As for :func:`campfire.calibrate_to_photometry`.

    Returns
    -------
    xarray.Dataset
        Calibrated, with the curve and its 1-sigma error as ``multiplier`` and ``multiplier_err``, the total
        chi2, the degree and the number of bands as ``calibration_chi2``, ``calibration_degree`` and
        ``n_bands``, and the covariance as
        ``fnu_cov`` and, what the curve brings, ``fnu_modes``.

    Raises
    ------
    ValidationError
        If it is not one spectrum, or no band can calibrate it.
    """
    from campfire.analysis.calibration import calibrate_to_photometry

    _require_one(ds)
    if isinstance(photometry, Mapping):
        photometry = _own_photometry(ds, photometry)
    result = calibrate_to_photometry(ds, photometry, method, bands, degree, min_snr, **options)
    source = photometry.catalog or "photometry"
    fitted = f"{method} of degree {result.degree}, dof {result.dof}"
    step = f"calibrated to {source}, {fitted}, in {', '.join(result.bands_used)}"
    calibrated = _result(ds, result.spectrum, _dq(ds), step)
    dims, curve = schema.SPECTRUM, "calibration curve"
    return calibrated.assign(
        multiplier=(dims, result.multiplier, {"long_name": curve}),
        multiplier_err=(dims, result.multiplier_err, {"long_name": f"1-sigma error of the {curve}"}),
        calibration_chi2=((), result.chi2, {"long_name": f"chi2 of the {curve}"}),
        calibration_degree=((), result.degree, {"long_name": f"degree of the {curve}"}),
        n_bands=((), len(result.bands_used), {"long_name": "number of bands calibrated with"}),
    )


def _own_photometry(ds: xr.Dataset, photometry: Mapping[str, Photometry | None]) -> Photometry:
    name = str(ds["object_id"].item()) if "object_id" in ds.coords and ds["object_id"].ndim == 0 else None
    own = None if name is None else photometry.get(name)
    if own is None:
        raise ValidationError(
            f"no photometry of object {name!r} among {len(photometry)}", hint="pass the Photometry itself"
        )
    return own


def draw_fit(ds: xr.Dataset, ax: Axes, flux_unit: str = "fnu", **_: Any) -> Axes:
    """Draw the model of a spectrum, if it has one, over what axes show of it, and return them.

    Parameters
    ----------
    ds
        One spectrum, with what :func:`campfire.handoffs.attach_fit` adds or without.
    ax
        Axes that show the spectrum.
    flux_unit
        In which unit they do: ``"fnu"``, ``"flam"`` or ``"flambda"``.
    """
    from campfire.plotting.static import draw_model

    for name, axis in (("model", "wavelength"), ("fine_model", "model_wavelength")):
        if name in ds.variables:
            wave, flux = ds[axis].values, ds[name].values
            flux = flux if flux_unit == "fnu" else fnu_to_flam(flux, wave)
            draw_model(ax, wave, flux, f"model ({ds[name].attrs.get('tool', 'fitted')})")
    return ax


def synthetic_photometry(
    ds: xr.Dataset,
    bands: str | BandpassLike | Sequence[str | BandpassLike],
    *,
    min_coverage: float = 0.95,
) -> xr.Dataset:
    """Measure one spectrum in several bands.

    Parameters
    ----------
    ds
        One spectrum.
    bands
        Names of bands, or objects with ``name``, ``wavelength`` (um) and ``throughput``.
    min_coverage
        Least fraction of a band's throughput that has to lie on good pixels.

    Returns
    -------
    xarray.Dataset
        ``flux``, ``flux_err`` (microjansky; NaN where the coverage is short) and ``coverage`` over ``band``.

    Raises
    ------
    ValidationError
        If it is not one spectrum, or for a band without a curve.
    """
    from campfire.analysis.photometry import band_photometry

    _require_one(ds)
    result = band_photometry(ds, bands, min_coverage=min_coverage).assign_attrs(ds.attrs)
    result = result.assign_coords(_labels(ds))
    return append_history(result, f"synthetic photometry in {', '.join(result['band'].values.tolist())}")


def _require_one(ds: xr.Dataset) -> None:
    if is_collection(ds):
        raise ValidationError(
            f"a collection of {ds.sizes['spectrum']} spectra", hint="this needs the Dataset of one spectrum"
        )


def _dq(ds: xr.Dataset) -> NDArray[np.uint8]:
    if "dq" in ds.variables:
        return np.asarray(ds["dq"].values)
    return pixel_dq(ds["fnu"].values, ds["fnu_err"].values)


def _labels(ds: xr.Dataset) -> dict[str, Any]:
    """Return the scalar coordinates: names, and what a row of a collection brought along."""
    return {str(name): coord for name, coord in ds.coords.items() if coord.ndim == 0}


def _result(ds: xr.Dataset, spectrum: SpectrumData, dq: NDArray[np.uint8], step: str) -> xr.Dataset:
    """Return the Dataset of a result: bits of ``dq`` only accumulate, and the labels of ``ds`` stay."""
    fields = spectrum.to_fields()
    fields["mask"] = None
    made = to_dataset(fields)
    bits = made["dq"].copy(data=made["dq"].values | dq)
    made = made.assign(dq=bits).assign_coords(_labels(ds))
    return append_history(made.assign_attrs(ds.attrs | made.attrs), step)


def stacking(by: Any, bins: Any) -> Callable[..., xr.Dataset]:
    """Return what stacks a collection, or with ``by`` its groups.

    Raises
    ------
    ValidationError
        For bins of nothing.
    """
    if by is None:
        from campfire.analysis.stack_collections import stack_collection

        if bins is not None:
            raise ValidationError("bins of what?", hint="by='redshift', bins=[...]")
        return stack_collection
    from campfire.analysis.stack_groups import stack_groups

    return partial(stack_groups, by=by, bins=bins)
