"""One spectrum in other containers: xarray Dataset, specutils Spectrum, astropy QTable; exact both ways.

All functions speak :class:`campfire.typing.SpectrumFields`, plain arrays and text.
"""

from __future__ import annotations

from campfire.convert.covariance import banded, from_banded
from campfire.convert.dataset import append_history, from_dataset, to_dataset
from campfire.convert.header_json import dump_header, load_header, plain_header
from campfire.convert.specutils import from_specutils, to_specutils
from campfire.convert.table import from_qtable, to_qtable

__all__ = [
    "append_history",
    "banded",
    "dump_header",
    "from_banded",
    "from_dataset",
    "from_qtable",
    "from_specutils",
    "load_header",
    "plain_header",
    "to_dataset",
    "to_qtable",
    "to_specutils",
]
