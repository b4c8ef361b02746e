"""The schema of spectra, collections and what is measured on them, and its check.

Anybody's Dataset that passes :func:`check` works with everything in this package.
"""

from campfire.schema.normalise import as_rows, mended
from campfire.schema.validation import Issue, check, state_of, validate
from campfire.schema.variables import (
    BROAD,
    FIT,
    GRIDDED,
    LINES,
    NATIVE,
    PHOTOMETRY,
    REDSHIFTS,
    SCHEMA_VERSION,
    SPECTRUM,
    VARIABLES,
    PixelDQ,
    VariableSpec,
    attr_text,
    attrs_of,
    in_rest_frame,
    normalise_mask,
    pixel_dq,
)

__all__ = [
    "FIT",
    "GRIDDED",
    "BROAD",
    "LINES",
    "NATIVE",
    "PHOTOMETRY",
    "REDSHIFTS",
    "SCHEMA_VERSION",
    "SPECTRUM",
    "VARIABLES",
    "Issue",
    "PixelDQ",
    "VariableSpec",
    "as_rows",
    "attr_text",
    "attrs_of",
    "check",
    "in_rest_frame",
    "mended",
    "normalise_mask",
    "pixel_dq",
    "state_of",
    "validate",
]
