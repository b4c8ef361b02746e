"""Text: as a terminal can show it, and in Datasets.

Text in Datasets is made in one place: fixed-width numpy text, which every tool that reads arrays knows.
Variable-length text (``numpy.dtypes.StringDType``) cannot be cast, filled, plotted or written to FITS
everywhere yet. In files text has any length all the same: :func:`text_variable` sets such an encoding.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["one_line", "printable", "printed", "text_array", "text_encoding", "text_variable"]

# What our own printed forms hold beyond ASCII, as it is written where there is no such letter.
_PLAIN = str.maketrans({"μ": "u", "χ": "chi", "²": "2"})


def printable(text: str) -> str:
    r"""Return text with control characters written out: names come from files and servers, and hold anything.

    Examples
    --------
    >>> printable("red\x1b[31m")
    'red\\x1b[31m'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def one_line(text: str, most: int = 500) -> str:
    r"""Return text as one printable line, its middle left out where it has more than so many characters.

    Examples
    --------
    >>> one_line("a table\nof many rows", most=14)
    'a table ... rows'
    """
    line = printable(" ".join(text.split()))
    tail = most // 3
    return line if len(line) <= most else f"{line[: most - tail].rstrip()} ... {line[-tail:].lstrip()}"


def printed(text: str) -> str:
    """Return a printed form as the stream of ``print`` can show it: printing neither fails nor obeys a name.

    It is as it is where that stream can write it, as any of UTF-8 can. Else ``μm`` is ``um``, and letters of
    names are written as Python escapes them; control characters always are.
    """
    text = "\n".join(map(printable, text.split("\n")))
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode("ascii")
    return text


def text_array(values: Any) -> NDArray[np.str_]:
    """Return text, one value or an array of any shape, as fixed-width text; None and NaN become "".

    Examples
    --------
    >>> text_array(["PRISM", None]).tolist()
    ['PRISM', '']
    >>> text_array("PRISM").shape
    ()
    """
    import numpy as np

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
    import numpy as np

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
