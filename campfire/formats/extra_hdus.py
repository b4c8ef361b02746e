"""What a file written here holds beyond the product's own HDUs, so that a spectrum reads back exactly.

Optional HDUs after SPEC1D; they are written only where the standard cards and columns cannot say it, and
other readers pass over them:

``CAMPFIRE``
    a one-dimensional byte image: JSON text (UTF-8) with what header cards do not reproduce exactly:
    ``keywords`` (those of the spectrum's header, in order), ``values`` (of keywords whose card would read
    back otherwise, such as text beyond ASCII), ``redshift``, ``spectrum_id``, ``grating``, unit texts.
``COVARIANCE``
    a table ``row``, ``col``, ``value`` (uJy2): the covariance of the pixels as a sparse matrix.
``MODES``
    an image (mode, pixel), uJy: each row adds its product with itself to the covariance, with the sign in
    ``mode_sign`` of ``CAMPFIRE``; ``measurement`` there says what it comes from.
``RESOLVING_POWER``
    an image, one value a pixel: that of a spectrum whose resolving power is not that of its disperser.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.hdu_writer import table_hdu
from campfire.installation import missing_extra
from campfire.kernels.covariance import Covariance

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from campfire.formats.hdu_reader import RawFits
    from campfire.typing import FloatArray, SpectrumFields

__all__ = ["covariance_hdus", "extras_hdu", "header_extras", "power_hdu", "restore_fields"]

_TEXTS = ("spectrum_id", "grating", "fnu_units", "flam_units", "wave_units")


def header_extras(header: Mapping[str, Any], read_back: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``keywords`` and ``values`` for a header whose cards read back as ``read_back``; often empty.

    Raises
    ------
    ValidationError
        For a value that neither a card nor JSON can hold; its keyword is named.
    """
    # repr tells 1 from 1.0 and from True, and NaN is NaN
    own = {
        key: value
        for key, value in header.items()
        if key not in read_back or repr(value) != repr(read_back[key])
    }
    for key, value in own.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError) as err:
            raise ValidationError(
                f"header value {key} cannot be written: {value!r}"[:200], hint="use text, numbers or lists"
            ) from err
    if not own and list(header) == list(read_back):
        return {}
    return {"keywords": list(header), "values": own}


def extras_hdu(values: Mapping[str, Any]) -> Any:
    """Return the HDU ``CAMPFIRE`` of a JSON-able mapping."""
    from astropy.io import fits

    text = json.dumps(values, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return fits.ImageHDU(np.frombuffer(text, np.uint8), name="CAMPFIRE")


def covariance_hdus(covariance: csr_array | Covariance) -> list[Any]:
    """Return the HDU ``COVARIANCE`` of a sparse matrix, and ``MODES`` of the modes where there are any."""
    parts = Covariance.of(covariance)
    hdus = [_matrix_hdu(parts.near)]
    if parts.labels:
        from astropy.io import fits

        hdus.append(fits.ImageHDU(np.ascontiguousarray(parts.modes.T), name="MODES"))
    return hdus


def _matrix_hdu(near: csr_array) -> Any:
    matrix = near.tocoo()
    rows, columns = matrix.coords
    return table_hdu(
        "COVARIANCE",
        [
            ("row", np.asarray(rows, np.int64), None),
            ("col", np.asarray(columns, np.int64), None),
            ("value", np.asarray(matrix.data), "uJy2"),
        ],
    )


def power_hdu(resolving_power: FloatArray) -> Any:
    """Return the HDU ``RESOLVING_POWER`` of one value a pixel."""
    from astropy.io import fits

    return fits.ImageHDU(np.asarray(resolving_power), name="RESOLVING_POWER")


def _read_extras(fits: RawFits) -> dict[str, Any]:
    hdu = fits.find("CAMPFIRE", "IMAGE")
    if hdu is None or hdu.bitpix != 8 or len(hdu.shape) != 1:
        return {}
    try:
        values = json.loads(fits.image(hdu).tobytes().decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError) as err:
        raise fits.error(f"damaged HDU CAMPFIRE: {err}") from err
    if not isinstance(values, dict):
        raise fits.error("damaged HDU CAMPFIRE: not the fields of a spectrum")
    keys, own, redshift = values.get("keywords", []), values.get("values", {}), values.get("redshift")
    if not (isinstance(keys, list) and all(isinstance(key, str) for key in keys) and isinstance(own, dict)):
        raise fits.error("damaged HDU CAMPFIRE: not the header of a spectrum")
    if redshift is not None and type(redshift) not in (int, float):
        raise fits.error(f"damaged HDU CAMPFIRE: redshift {redshift!r}")
    if any(not isinstance(values.get(key, ""), str) for key in _TEXTS):
        raise fits.error("damaged HDU CAMPFIRE: a text field is no text")
    return cast("dict[str, Any]", values)


def _read_covariance(fits: RawFits, size: int, extras: Mapping[str, Any]) -> csr_array | Covariance | None:
    hdu = fits.find("COVARIANCE", "BINTABLE")
    if hdu is None:
        return None
    rows, columns, values = (fits.column(hdu, name) for name in ("row", "col", "value"))
    inside = rows.dtype.kind == columns.dtype.kind == "i" and values.dtype.kind == "f"
    for index in (rows, columns):
        inside = inside and index.ndim == 1 and bool(((index >= 0) & (index < size)).all())
    if not inside or values.ndim != 1:
        raise fits.error(f"damaged HDU COVARIANCE: not a matrix of {size} by {size} pixels")
    try:
        from scipy.sparse import coo_array
    except ImportError as err:
        raise missing_extra("the covariance needs scipy", "deploy") from err
    near: csr_array = coo_array((values, (rows, columns)), shape=(size, size)).tocsr()
    image = fits.find("MODES", "IMAGE")
    if image is None:
        return near
    modes, labels, signs = fits.image(image), extras.get("measurement"), extras.get("mode_sign")
    count = len(labels) if isinstance(labels, list) and all(isinstance(text, str) for text in labels) else -1
    known = isinstance(signs, list) and len(signs) == count and all(sign in (1, -1) for sign in signs)
    if not known or modes.shape != (count, size) or modes.dtype.kind != "f" or not np.isfinite(modes).all():
        raise fits.error(f"damaged HDU MODES: not modes of {size} pixels with sign and measurement")
    return Covariance(
        near, np.ascontiguousarray(modes.T, np.float64), np.array(signs, np.float64), tuple(labels or ())
    )


def restore_fields(fits: RawFits, fields: SpectrumFields, rows: int) -> None:
    """Complete fields that were read from the cards and columns by what the optional HDUs hold.

    Parameters
    ----------
    fits
        The file.
    fields
        Fields read so far; completed in place.
    rows
        Number of pixels in the file.

    Raises
    ------
    ValidationError
        If those HDUs are damaged.
    """
    extras = _read_extras(fits)
    if "keywords" in extras:
        own, cards = extras.get("values", {}), fields["header"]
        keys = (key for key in extras["keywords"] if key in own or key in cards)
        fields["header"] = {key: own[key] if key in own else cards[key] for key in keys}
    for key in _TEXTS:
        if key in extras:
            fields[key] = extras[key]  # type: ignore[literal-required]
    if extras.get("redshift") is not None:
        fields["redshift"] = float(extras["redshift"])
    power = fits.find("RESOLVING_POWER", "IMAGE")
    if power is not None:
        values = fits.image(power)
        if values.shape != (rows,) or values.dtype.kind != "f":
            raise fits.error(f"damaged HDU RESOLVING_POWER: not one number for each of {rows} pixels")
        fields["resolving_power"] = values
    covariance = _read_covariance(fits, rows, extras)
    if covariance is not None:
        fields["covariance"] = covariance
