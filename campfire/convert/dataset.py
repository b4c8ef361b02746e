"""``SpectrumFields`` to the xarray Dataset of :mod:`campfire.schema`, and back, without loss."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire import schema
from campfire.convert.covariance import COVARIANCE_ATTRS, banded, from_banded, mode_variables
from campfire.convert.header_json import dump_header, load_header
from campfire.errors import CampfireWarning, ValidationError
from campfire.kernels.covariance import Covariance
from campfire.kernels.lsf import GRATINGS, resolving_power
from campfire.text import text_variable
from campfire.units import FLAM_UNIT, FNU_UNIT, RELATIVE, WAVE_UNIT, fnu_to_flam

if TYPE_CHECKING:
    import xarray as xr

    from campfire.typing import FloatArray, SpectrumFields

__all__ = ["REST_WAVELENGTH", "append_history", "from_dataset", "lsf_coordinate", "to_dataset"]

REST_WAVELENGTH = "rest-frame wavelength in vacuum"


def lsf_coordinate(
    grating: str, wavelength: FloatArray, redshift: float | None = None, own: FloatArray | None = None
) -> dict[str, Any]:
    """Return the coordinate ``resolving_power`` of observed wavelengths: name -> (dims, values, attrs).

    Empty for a disperser without a table, and for a spectrum that is at redshift 0 exactly: in the rest frame
    of a source (:func:`to_dataset` cannot know of which) the wavelengths are not those of the instrument.
    What a spectrum brings along, ``own``, comes before both and is marked by ``origin="given"``.

    Examples
    --------
    >>> import numpy as np
    >>> lsf_coordinate("PRISM", np.array([1.2]))["resolving_power"][1]
    array([31.])
    >>> lsf_coordinate("G395M+PRISM", np.array([3.2]))
    {}
    """
    attrs = schema.attrs_of("resolving_power")
    if own is not None:
        return {"resolving_power": (schema.SPECTRUM, np.array(own), attrs | {"origin": "given"})}
    if grating.upper() not in GRATINGS or redshift == 0:
        return {}
    return {"resolving_power": (schema.SPECTRUM, resolving_power(grating, wavelength), attrs)}


def to_dataset(fields: SpectrumFields) -> xr.Dataset:
    """Make the Dataset of one spectrum.

    Parameters
    ----------
    fields
        The fields of a ``SpectrumData``; ``flam`` and ``flam_err`` are computed from ``fnu`` where absent.

    Returns
    -------
    xarray.Dataset
        Dimension ``wavelength``, of which Quantities can be selected too; variables, units and attributes as
        in :mod:`campfire.schema`; the arrays are its own. A covariance becomes ``fnu_cov`` (wavelength, lag);
        with modes, of which each adds ``mode_sign`` times its product with itself to the covariance of all
        pixels, ``fnu_modes`` (wavelength, mode), and the coordinate ``measurement`` says what it comes from.

    Examples
    --------
    >>> import numpy as np
    >>> ds = to_dataset({"wavelength": np.array([1.0, 2.0]), "fnu": np.array([3.0, np.nan]),
    ...                  "fnu_err": np.array([0.1, 0.1]), "header": {},
    ...                  "grating": "PRISM", "spectrum_id": "a"})
    >>> ds.dq.values
    array([0, 1], dtype=uint8)
    >>> ds.flam.attrs["origin"]
    'computed'
    """
    import xarray as xr

    from campfire.convert.wavelength_index import spectral_coordinates

    wavelength, fnu, fnu_err = fields["wavelength"], fields["fnu"], fields["fnu_err"]
    fnu_units = fields.get("fnu_units", FNU_UNIT)
    flam_units = fields.get("flam_units", FLAM_UNIT)

    def variable(name: str, values: Any, units: str | None = None, **attrs: Any) -> Any:
        own = schema.attrs_of(name) | ({"units": units} if units else {}) | attrs
        return (schema.SPECTRUM, np.array(values), own)

    def derived(name: str, given: FloatArray | None, source: FloatArray) -> Any:
        origin = "computed" if given is None else "file"
        values = fnu_to_flam(source, wavelength) if given is None else given
        return variable(name, values, flam_units, origin=origin)

    frame = {"long_name": REST_WAVELENGTH} if schema.in_rest_frame(fields["header"]) else {}
    wave_units = fields.get("wave_units", WAVE_UNIT)
    data = {
        "fnu": variable("fnu", fnu, fnu_units),
        "fnu_err": variable("fnu_err", fnu_err, fnu_units),
        "flam": derived("flam", fields.get("flam"), fnu),
        "flam_err": derived("flam_err", fields.get("flam_err"), fnu_err),
        "dq": variable("dq", schema.pixel_dq(fnu, fnu_err, fields.get("mask"))),
    }
    labels: dict[str, Any] = {}
    if fields.get("covariance") is not None:
        parts = Covariance.of(fields["covariance"])
        unit = {"units": RELATIVE} if fnu_units == RELATIVE else {}
        data["fnu_cov"] = (("wavelength", "lag"), banded(parts.near), COVARIANCE_ATTRS | unit)
        if parts.labels:
            data["fnu_modes"], labels = mode_variables(parts, unit)
    ds = xr.Dataset(
        data,
        coords=spectral_coordinates(
            {
                "wavelength": variable("wavelength", wavelength, wave_units, **frame),
                "spectrum_id": text_variable((), fields["spectrum_id"], {"long_name": "spectrum id"}),
                "grating": text_variable((), fields["grating"], {"long_name": "NIRSpec disperser"}),
                **lsf_coordinate(
                    fields["grating"], wavelength, fields.get("redshift"), fields.get("resolving_power")
                ),
                **labels,
            }
        ),
        attrs={"campfire_schema": schema.SCHEMA_VERSION, "fits_header": dump_header(fields["header"])},
    )
    for name in ("fits_path", "redshift"):
        if fields.get(name) is not None:
            ds.attrs[name] = fields.get(name)
    return ds


def _text(ds: xr.Dataset, name: str) -> str:
    if name in ds.coords and ds[name].ndim == 0:
        return str(ds[name].item())
    return schema.attr_text(ds.attrs, name)


def _redshift(ds: xr.Dataset) -> float | None:
    value = ds.attrs.get("redshift")
    if value is None and "redshift" in ds.coords and ds["redshift"].ndim == 0:
        value = ds["redshift"].item()  # a row taken out of a collection
    if value is None:
        return None
    try:
        number = np.nan if isinstance(value, str | bytes | bool) else float(value)
    except (TypeError, ValueError):
        number = None  # several values, or nothing like a number
    if number is None or (np.isnan(number) and not isinstance(value, float | np.floating)):
        raise ValidationError(
            f"the redshift of the Dataset is {value!r}"[:200], hint="set one number, or remove it"
        )
    return number if np.isfinite(number) else None


def _bands(ds: xr.Dataset) -> Any:
    """Return ``fnu_cov`` without the bands that joining with wider ones has filled with NaN."""
    bands = ds["fnu_cov"].values
    return bands[:, ~np.isnan(bands).all(axis=0)]


def _covariance(ds: xr.Dataset) -> Any:
    near = from_banded(_bands(ds))
    if "fnu_modes" not in ds.variables:
        return near
    # collections have as many for every row; joining with some that have more fills with NaN
    signs, names = np.nan_to_num(ds["mode_sign"].values), ds["measurement"].values.tolist()
    modes = ds["fnu_modes"].transpose("wavelength", "mode").values
    used = np.flatnonzero((signs != 0) & modes.any(axis=0))
    return Covariance(
        near,
        np.array(modes[:, used], dtype=np.float64),
        np.array(signs[used], dtype=np.float64),
        tuple(str(names[k]) for k in used),
    ).plain


def from_dataset(ds: xr.Dataset) -> SpectrumFields:
    """Return the fields of the Dataset of one spectrum; the inverse of :func:`to_dataset`.

    Lazy arrays are computed. Variables that campfire does not know, and ``history``, stay behind.

    Raises
    ------
    ValidationError
        If it is not the Dataset of one spectrum; the message names the variable.

    Warns
    -----
    CampfireWarning
        Of units that are not given: wavelengths are taken to be in micron, fluxes in microjansky.
    """
    ds = schema.mended(ds)
    state = schema.validate(ds)
    if state != schema.SPECTRUM:
        n = ds.sizes["spectrum"]
        raise ValidationError(
            f"a collection, of {n} {'spectrum' if n == 1 else 'spectra'}, not the Dataset of one",
            hint="take one out: ds.campfire.to_spectra()[0]",
        )
    silent = [name for name in ("wavelength", "fnu", "fnu_err") if "units" not in ds[name].attrs]
    if silent:
        taken = ", ".join(f"{name} in {schema.VARIABLES[name].units}" for name in silent)
        warnings.warn(
            f"no unit is given; taken to be {taken}. Say so with ds[name].attrs['units'] = ...",
            CampfireWarning,
            stacklevel=3,
        )

    def array(name: str) -> Any:
        values = ds[name].values
        return np.array(values, dtype=values.dtype.newbyteorder("="))

    def given(name: str) -> Any:
        computed = name not in ds.variables or schema.attr_text(ds[name].attrs, "origin") == "computed"
        return None if computed else array(name)

    def units(name: str, default: str) -> str:
        return schema.attr_text(ds[name].attrs, "units", default) if name in ds.variables else default

    fnu, fnu_err = array("fnu"), array("fnu_err")
    flagged = array("dq") != 0 if "dq" in ds.variables else None
    path = schema.attr_text(ds.attrs, "fits_path")
    wavelength, grating, redshift = array("wavelength"), _text(ds, "grating"), _redshift(ds)

    def own_power() -> Any:
        if "resolving_power" not in ds.coords:
            return None
        power = array("resolving_power")
        known = lsf_coordinate(grating, wavelength, redshift).get("resolving_power")
        computed = known is not None and np.array_equal(known[1], power, equal_nan=True)
        return (
            None if computed and schema.attr_text(ds["resolving_power"].attrs, "origin") != "given" else power
        )

    return {
        "wavelength": wavelength,
        "fnu": fnu,
        "fnu_err": fnu_err,
        "header": load_header(ds.attrs.get("fits_header", "{}")),
        "grating": grating,
        "spectrum_id": _text(ds, "spectrum_id"),
        "flam": given("flam"),
        "flam_err": given("flam_err"),
        "fits_path": path or None,
        "fnu_units": units("fnu", FNU_UNIT),
        "flam_units": units("flam", FLAM_UNIT),
        "wave_units": units("wavelength", WAVE_UNIT),
        "mask": schema.normalise_mask(fnu, fnu_err, flagged),
        "redshift": redshift,
        "covariance": _covariance(ds) if "fnu_cov" in ds.variables else None,
        "resolving_power": own_power(),
    }


def append_history(ds: xr.Dataset, step: str) -> xr.Dataset:
    r"""Return a shallow copy of ``ds`` with one line more in ``attrs["history"]``.

    Examples
    --------
    >>> import xarray as xr
    >>> append_history(append_history(xr.Dataset(), "one"), "two").attrs["history"]
    'one\ntwo'
    """
    former = schema.attr_text(ds.attrs, "history")
    return ds.assign_attrs(history=f"{former}\n{step}" if former else step)
