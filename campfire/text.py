"""Text in Datasets, made in one place: fixed-width numpy text, which every tool that reads arrays knows.

Variable-length text (``numpy.dtypes.StringDType``) cannot be cast, filled, plotted or written to FITS
everywhere yet. In files text has any length all the same: :func:`text_variable` sets such an encoding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["text_array", "text_encoding", "text_variable"]


def text_array(values: Any) -> NDArray[np.str_]:
    """Return text, one value or an array of any shape, as fixed-width text; None and NaN become "".

    Examples
    --------
    >>> text_array(["PRISM", None]).tolist()
    ['PRISM', '']
    >>> text_array("PRISM").shape
    ()
    """
    given = np.asarray(values)
    if given.dtype.kind == "U":
        return given.astype(given.dtype.newbyteorder("="))
    items = np.asarray(values, dtype=object)
    flat = ["" if item is None or item != item else str(item) for item in items.ravel()]
    return np.array(flat, dtype=np.str_).reshape(items.shape)


def text_encoding() -> dict[str, Any]:
    """Return how xarray shall write text: as text of any length.

    By itself it writes fixed-width text as such, which version 3 of the Zarr format does not specify (Zarr
    warns of it). What is given here is what xarray itself calls text of variable length; missing labels, as
    reindexing makes them, are written as "".
    """
    return {"dtype": np.dtype("O", metadata={"element_type": str})}


def text_variable(
    dims: str | Sequence[str], values: Any, attrs: dict[str, Any] | None = None
) -> tuple[Any, NDArray[np.str_], dict[str, Any], dict[str, Any]]:
    """Return a text variable as xarray takes it: dims, values, attrs, encoding.

    Examples
    --------
    >>> import xarray as xr
    >>> xr.Dataset(coords={"grating": text_variable((), "PRISM")}).grating.dtype
    dtype('<U5')
    """
    return dims, text_array(values), dict(attrs or {}), text_encoding()
