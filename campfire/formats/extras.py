"""What a file written here holds beyond the product's own HDUs, so that a spectrum reads back exactly.

Two optional HDUs after SPEC1D; they are written only where the standard cards and columns cannot say it, and
other readers pass over them:

``CAMPFIRE``
    a one-dimensional byte image: JSON text (UTF-8) with the fields the header cards do not reproduce exactly
    (header with text beyond ASCII, redshift, spectrum id, grating, unit texts).
``COVARIANCE``
    a table ``row``, ``col``, ``value`` (uJy2): the covariance of the pixels as a sparse matrix.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.writing import table_hdu

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scipy.sparse import csr_array

    from campfire.formats.raw import RawFits
    from campfire.typing import SpectrumFields

__all__ = ["covariance_hdu", "extras_hdu", "restore_fields"]

_TEXTS = ("spectrum_id", "grating", "fnu_units", "flam_units", "wave_units")


def extras_hdu(values: Mapping[str, Any]) -> Any:
    """Return the HDU ``CAMPFIRE`` of a JSON-able mapping."""
    from astropy.io import fits

    text = json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return fits.ImageHDU(np.frombuffer(text, np.uint8), name="CAMPFIRE")


def covariance_hdu(covariance: csr_array) -> Any:
    """Return the HDU ``COVARIANCE`` of a sparse matrix."""
    matrix = covariance.tocoo()
    rows, columns = matrix.coords
    return table_hdu(
        "COVARIANCE",
        [
            ("row", np.asarray(rows, np.int64), None),
            ("col", np.asarray(columns, np.int64), None),
            ("value", np.asarray(matrix.data, np.float64), "uJy2"),
        ],
    )


def _read_extras(fits: RawFits) -> dict[str, Any]:
    hdu = fits.find("CAMPFIRE", "IMAGE")
    if hdu is None or hdu.bitpix != 8 or len(hdu.shape) != 1:
        return {}
    try:
        values = json.loads(fits.image(hdu).tobytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as err:
        raise fits.error(f"damaged HDU CAMPFIRE: {err}") from err
    header = values.get("header", {}) if isinstance(values, dict) else None
    redshift = None if header is None else values.get("redshift")
    number = redshift is None or (isinstance(redshift, int | float) and not isinstance(redshift, bool))
    if not isinstance(header, dict) or not number:
        raise fits.error("damaged HDU CAMPFIRE: not the fields of a spectrum")
    if any(not isinstance(values.get(key, ""), str) for key in _TEXTS):
        raise fits.error("damaged HDU CAMPFIRE: a text field is no text")
    return cast("dict[str, Any]", values)


def _read_covariance(fits: RawFits, size: int) -> csr_array | None:
    hdu = fits.find("COVARIANCE", "BINTABLE")
    if hdu is None:
        return None
    rows, columns, values = (fits.column(hdu, name) for name in ("row", "col", "value"))
    inside = rows.dtype.kind == columns.dtype.kind == "i" and values.dtype.kind == "f"
    for index in (rows, columns):
        inside = inside and index.ndim == 1 and bool(((index >= 0) & (index < size)).all())
    if not inside:
        raise fits.error(f"damaged HDU COVARIANCE: not a matrix of {size} by {size} pixels")
    try:
        from scipy.sparse import coo_array
    except ImportError as err:
        raise ImportError('the covariance needs scipy: pip install "campfire[deploy]"') from err
    return coo_array((values, (rows, columns)), shape=(size, size)).tocsr()


def restore_fields(fits: RawFits, fields: SpectrumFields) -> None:
    """Complete fields that were read from the cards and columns by what the optional HDUs hold.

    Raises
    ------
    ValidationError
        If those HDUs are damaged.
    """
    extras = _read_extras(fits)
    if "header" in extras:
        fields["header"] = extras["header"]
    for key in _TEXTS:
        if key in extras:
            fields[key] = extras[key]  # type: ignore[literal-required]
    if extras.get("redshift") is not None:
        fields["redshift"] = float(extras["redshift"])
    covariance = _read_covariance(fits, len(fields["wavelength"]))
    if covariance is not None:
        fields["covariance"] = covariance


def require_json(values: Mapping[str, Any]) -> str:
    """Return the JSON text of a header, in which NaN equals NaN.

    Raises
    ------
    ValidationError
        For a value that JSON has no form for.
    """
    try:
        return json.dumps(values, ensure_ascii=False)
    except (TypeError, ValueError) as err:
        raise ValidationError(
            f"the header cannot be written: {err}", hint="use text, numbers, lists"
        ) from err
