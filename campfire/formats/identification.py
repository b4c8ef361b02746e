"""What a file of a spectrum says it is, whatever its name."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from campfire.errors import CampfireError
from campfire.formats.names import GRATINGS
from campfire.formats.spec_reader import peek_spectrum
from campfire.typing import PathInput

__all__ = ["Claims", "claims_of"]

_PRODUCT = re.compile(r"(?:.*/)?([^/]+)_spec\.fits(?:\.gz)?", re.IGNORECASE)


class Claims(NamedTuple):
    """Id of the spectrum (FILENAME of a CAMPFIRE product, lowercase) and disperser, or None."""

    spectrum_id: str | None
    grating: str | None

    def to_text(self) -> str:
        """Return them as text, to be remembered."""
        return json.dumps(self)

    @classmethod
    def from_text(cls, text: str) -> Claims:
        """Return what :meth:`to_text` wrote; nothing is claimed in what it did not write."""
        try:
            spectrum_id, grating = json.loads(text)
        except (ValueError, TypeError):
            return cls(None, None)
        return cls(*(v if isinstance(v, str) else None for v in (spectrum_id, grating)))


def claims_of(path: PathInput) -> Claims:
    """Return what a file says it is; one that cannot be read says nothing.

    Examples
    --------
    >>> claims_of("no such file")
    Claims(spectrum_id=None, grating=None)
    """
    try:
        fields, _ = peek_spectrum(path)
    except CampfireError:
        return Claims(None, None)
    name, grating = fields["header"].get("FILENAME"), fields["grating"]
    product = _PRODUCT.fullmatch(name.strip()) if isinstance(name, str) else None
    return Claims(None if product is None else product[1].lower(), grating if grating in GRATINGS else None)
