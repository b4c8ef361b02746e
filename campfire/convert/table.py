"""``SpectrumFields`` to an astropy ``QTable`` with units, and back; the table survives ECSV unchanged."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.convert.covariance import banded, from_banded
from campfire.convert.header_json import dump_header, load_header
from campfire.errors import ValidationError
from campfire.kernels.covariance import Covariance
from campfire.schema import VARIABLES, normalise_mask
from campfire.units import (
    FLAM_UNIT,
    FNU_UNIT,
    RELATIVE,
    WAVE_UNIT,
    fnu_to_flam,
    to_flam,
    to_microjansky,
    to_micron,
)

if TYPE_CHECKING:
    from astropy.table import QTable

    from campfire.typing import SpectrumFields

__all__ = ["from_qtable", "to_qtable"]

_META = ("spectrum_id", "grating", "fits_path", "redshift", "fnu_units", "flam_units", "wave_units")


def to_qtable(fields: SpectrumFields) -> QTable:
    """Make a table of one row a pixel.

    Parameters
    ----------
    fields
        The fields of a ``SpectrumData``.

    Returns
    -------
    astropy.table.QTable
        Columns ``wavelength`` (micron), ``fnu``, ``fnu_err`` (microjansky), ``flam``, ``flam_err`` (erg s-1
        cm-2 angstrom-1), ``mask`` (True: do not use), ``fnu_cov`` (and ``fnu_modes``) where there is a
        covariance; ``meta`` has ids, units, the FITS header as JSON text and which columns were computed.
        Relative fluxes have no unit.

    Examples
    --------
    >>> import numpy as np
    >>> table = to_qtable({"wavelength": np.array([1.0]), "fnu": np.array([3.0]), "fnu_err": np.array([0.1]),
    ...                    "header": {}, "grating": "PRISM", "spectrum_id": "a"})
    >>> table["fnu"].unit
    Unit("uJy")
    """
    import astropy.units as u
    from astropy.table import QTable

    wavelength, fnu, fnu_err = fields["wavelength"], fields["fnu"], fields["fnu_err"]
    flam, flam_err = fields.get("flam"), fields.get("flam_err")
    columns: dict[str, Any] = {
        "wavelength": wavelength,
        "fnu": fnu,
        "fnu_err": fnu_err,
        "flam": fnu_to_flam(fnu, wavelength) if flam is None else flam,
        "flam_err": fnu_to_flam(fnu_err, wavelength) if flam_err is None else flam_err,
    }
    table = QTable()
    for name, values in columns.items():
        relative = fields.get(f"{name.removesuffix('_err')}_units") == RELATIVE
        table[name] = values if relative else u.Quantity(values, u.Unit(VARIABLES[name].units))
        table[name].info.description = VARIABLES[name].doc.partition(";")[0]
    table["mask"] = normalise_mask(fnu, fnu_err, fields.get("mask"))
    if fields.get("covariance") is not None:
        covariance = Covariance.of(fields["covariance"])
        relative = fields.get("fnu_units") == RELATIVE
        near, modes = banded(covariance.near), covariance.modes
        table["fnu_cov"] = near if relative else u.Quantity(near, u.uJy**2)
        if covariance.labels:
            table["fnu_modes"] = modes if relative else u.Quantity(modes, u.uJy)
            table.meta["mode_sign"] = [int(sign) for sign in covariance.signs]
            table.meta["measurement"] = list(covariance.labels)
    power = fields.get("resolving_power")
    if power is not None:
        table["resolving_power"] = power
    table.meta.update({name: fields.get(name) for name in _META if fields.get(name) is not None})
    table.meta["computed"] = [n for n, given in (("flam", flam), ("flam_err", flam_err)) if given is None]
    table.meta["fits_header"] = dump_header(fields["header"])
    return table


def from_qtable(table: Any) -> SpectrumFields:
    """Return the fields of a table; the inverse of :func:`to_qtable`.

    Parameters
    ----------
    table
        A ``QTable`` or ``Table`` with ``wavelength``, ``fnu`` and ``fnu_err`` in any suitable unit (microns
        and microjansky where there is none); the other columns and ``meta`` are used where present.

    Raises
    ------
    ValidationError
        If a column is missing, masked or of a wrong unit.
    """
    if not hasattr(table, "colnames"):
        raise ValidationError(
            f"a {type(table).__name__} is no astropy table",
            hint="Table.from_pandas() makes one of a DataFrame",
        )
    missing = [name for name in ("wavelength", "fnu", "fnu_err") if name not in table.colnames]
    if missing:
        raise ValidationError(
            f"the table has no column {', '.join(missing)} (it has {', '.join(table.colnames) or 'none'})",
            hint="expected wavelength, fnu, fnu_err",
        )

    def values(name: str) -> Any:
        column = table[name]
        if getattr(column, "mask", None) is not None and np.any(column.mask):
            raise ValidationError(f"column {name!r} has masked values", hint="use NaN for missing fluxes")
        return column

    def plain(array: Any) -> Any:
        result = np.array(array)
        return result.astype(result.dtype.newbyteorder("="), copy=False)

    wavelength = plain(to_micron(values("wavelength")))
    fnu = plain(to_microjansky(values("fnu"), wavelength))
    fnu_err = plain(to_microjansky(values("fnu_err"), wavelength))
    computed = table.meta.get("computed", ())

    def given(name: str) -> Any:
        present = name in table.colnames and name not in computed
        return plain(to_flam(values(name), wavelength)) if present else None

    meta = table.meta
    mask = np.array(table["mask"], dtype=bool) if "mask" in table.colnames else None
    return {
        "wavelength": wavelength,
        "fnu": fnu,
        "fnu_err": fnu_err,
        "header": load_header(meta.get("fits_header", "{}")),
        "grating": str(meta.get("grating", "")),
        "spectrum_id": str(meta.get("spectrum_id", "")),
        "flam": given("flam"),
        "flam_err": given("flam_err"),
        "fits_path": meta.get("fits_path"),
        "fnu_units": str(meta.get("fnu_units", FNU_UNIT)),
        "flam_units": str(meta.get("flam_units", FLAM_UNIT)),
        "wave_units": str(meta.get("wave_units", WAVE_UNIT)),
        "mask": normalise_mask(fnu, fnu_err, mask),
        "redshift": meta.get("redshift"),
        "covariance": _covariance(table, plain) if "fnu_cov" in table.colnames else None,
        "resolving_power": plain(table["resolving_power"]) if "resolving_power" in table.colnames else None,
    }


def _covariance(table: Any, plain: Callable[[Any], Any]) -> Any:
    near = from_banded(plain(table["fnu_cov"]))
    if "fnu_modes" not in table.colnames:
        return near
    signs = np.array(table.meta["mode_sign"], dtype=np.float64)
    return Covariance(near, plain(table["fnu_modes"]), signs, tuple(map(str, table.meta["measurement"])))
