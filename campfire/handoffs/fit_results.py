"""What a tool fitted, put beside the data: model, parameters, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire import schema
from campfire.analysis.inputs import as_spectrum
from campfire.convert import append_history
from campfire.convert.dataset import REST_WAVELENGTH
from campfire.errors import ValidationError
from campfire.handoffs.prepared import Inputs, pixels_hash
from campfire.kernels.grids import check_grid
from campfire.text import text_variable
from campfire.units import RELATIVE, to_microjansky, to_micron

if TYPE_CHECKING:
    import xarray as xr
    from astropy.units import Quantity
    from numpy.typing import ArrayLike

    from campfire.typing import FloatArray

__all__ = ["attach_fit"]


def attach_fit(
    ds: xr.Dataset,
    model: ArrayLike | Quantity,
    wavelength: ArrayLike | Quantity | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    tool: str = "",
    tool_version: str = "",
    inputs: Inputs | None = None,
) -> xr.Dataset:
    """Return a spectrum with the model that a tool fitted to it, its parameters, and their origin.

    Parameters
    ----------
    ds
        The Dataset of one spectrum. A fit that it has already is replaced.
    model
        f_nu of the model in microjansky, or a Quantity of any f_nu or f_lambda unit, shape (n,); relative
        where the spectrum is. NaN where there is none.
    wavelength
        Of the model, in microns or a Quantity, in the frame of the spectrum and in vacuum, shape (n,),
        increasing; not needed where they are those of the spectrum.
    parameters
        Name -> value, (value, error) or (value, lower error, upper error), all 1-sigma errors positive. The
        value may be a Quantity, in whose unit the errors are then.
    tool, tool_version
        Name and version of what was fitted with; the name is that of ``inputs`` where it is not given.
    inputs
        What a hand-off returned: the fit has to be of these very pixels, and keeps their origin.

    Returns
    -------
    xarray.Dataset
        With ``model`` on the pixels, or ``fine_model`` over ``model_wavelength``; and over ``parameter``,
        ``parameter_value``, ``parameter_err_lo``, ``parameter_err_hi`` and ``parameter_unit``. The attributes
        of the model have ``tool``, ``tool_version`` and the origin. ``ds.campfire.plot()`` shows it.

    Raises
    ------
    ValidationError
        If it is not one spectrum, shapes or units do not fit, nothing says the tool, or ``inputs`` are of
        other pixels.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> ds = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, "PRISM", "demo_1").to_xarray()
    >>> fitted = attach_fit(ds, [3.1, 3.9], parameters={"slope": (0.8, 0.1)}, tool="by eye")
    >>> fitted.model.values, fitted.parameter_value.sel(parameter="slope").item()
    (array([3.1, 3.9]), 0.8)
    """
    data = as_spectrum(ds)
    name = tool or (inputs.tool if inputs is not None else "")
    if not name:
        raise ValidationError("nothing says what was fitted with", hint="pass tool=, or inputs=")
    origin: dict[str, str] = {"spectrum_id": data.spectrum_id, "pixels_hash": pixels_hash(data)}
    if inputs is not None:
        if inputs.origin["pixels_hash"] != origin["pixels_hash"]:
            raise ValidationError(
                f"inputs are of other pixels than this spectrum: {inputs.origin['spectrum_id']!r}",
                hint="attach a fit to the Dataset that was handed over",
            )
        origin |= inputs.origin
    result = ds.drop_vars([n for n in ("model_wavelength", "parameter", *schema.FIT) if n in ds.variables])
    at = ds["wavelength"].values if wavelength is None else to_micron(wavelength)
    at = at if wavelength is None else check_grid(at, "wavelength of the model")
    values = _fnu(model, at, data.fnu_units)
    attrs = {"tool": name, "tool_version": tool_version} | origin
    unit = {"units": RELATIVE} if data.fnu_units == RELATIVE else {}
    if wavelength is None:
        result = result.assign(model=(schema.SPECTRUM, values, schema.attrs_of("model") | unit | attrs))
    else:
        frame = {"long_name": REST_WAVELENGTH} if schema.in_rest_frame(data.header) else {}
        axis = ("model_wavelength", at, schema.attrs_of("model_wavelength") | frame)
        made = ("model_wavelength", values, schema.attrs_of("fine_model") | unit | attrs)
        result = result.assign_coords(model_wavelength=axis).assign(fine_model=made)
    rows = {key: _parameter(key, value) for key, value in (parameters or {}).items()}
    if rows:
        numbers = np.array([row[:3] for row in rows.values()], dtype=np.float64).T
        columns = ("parameter_value", "parameter_err_lo", "parameter_err_hi")
        result = result.assign_coords(
            parameter=text_variable("parameter", list(rows), {"long_name": "name of the parameter"})
        ).assign(
            {n: ("parameter", v, schema.attrs_of(n)) for n, v in zip(columns, numbers, strict=True)}
            | {
                "parameter_unit": text_variable(
                    "parameter", [row[3] for row in rows.values()], schema.attrs_of("parameter_unit")
                )
            }
        )
    return append_history(result, f"model fitted with {name} {tool_version}".rstrip())


def _fnu(model: Any, wavelength: FloatArray, units: str) -> FloatArray:
    if units == RELATIVE and getattr(model, "unit", None) is not None:
        model = model.to_value("")
    values = np.asarray(to_microjansky(model, wavelength), dtype=np.float64)
    if values.shape != wavelength.shape:
        raise ValidationError(
            f"the model has shape {values.shape}, its wavelengths {wavelength.shape}",
            hint="pass wavelength= where it is not on the pixels of the spectrum",
        )
    return values


def _parameter(name: str, given: Any) -> tuple[float, float, float, str]:
    """Return value, lower and upper error and unit."""
    parts = given if isinstance(given, tuple | list) else (given,)
    unit = getattr(parts[0], "unit", None) if parts else None
    try:
        numbers = [float(part.to_value(unit) if hasattr(part, "to_value") else part) for part in parts]
        if not 1 <= len(numbers) <= 3:
            raise ValueError(f"{len(numbers)} numbers")
    except (TypeError, ValueError) as err:
        raise ValidationError(
            f"parameter {name!r} is {given!r}"[:200],
            hint="pass a value, (value, error) or (value, lower error, upper error)",
        ) from err
    low = numbers[1] if len(numbers) > 1 else np.nan
    return numbers[0], low, numbers[-1] if len(numbers) > 1 else np.nan, "" if unit is None else str(unit)
