"""Spectra as the tools that fit them take them: units, frame, medium, mask, errors and resolution of each.

A function takes one spectrum (those of catalogues take many) and returns :class:`Inputs`, a dictionary of
keyword arguments, with where the data are from; it does not import the tool.
"""

from __future__ import annotations

from campfire.handoffs.bagpipes import to_bagpipes
from campfire.handoffs.eazy import to_eazy
from campfire.handoffs.fit_results import attach_fit
from campfire.handoffs.jdaviz import to_jdaviz
from campfire.handoffs.jwspecfit import to_jwspecfit
from campfire.handoffs.lime import to_lime
from campfire.handoffs.lsdb_mmu import to_lsdb, to_mmu
from campfire.handoffs.msaexp import to_msaexp
from campfire.handoffs.photometry import write_filters
from campfire.handoffs.ppxf import to_ppxf
from campfire.handoffs.prepared import Inputs
from campfire.handoffs.prospector import to_prospector
from campfire.handoffs.redrock import to_redrock

__all__ = [
    "Inputs",
    "attach_fit",
    "to_bagpipes",
    "to_eazy",
    "to_jdaviz",
    "to_jwspecfit",
    "to_lime",
    "to_lsdb",
    "to_mmu",
    "to_msaexp",
    "to_ppxf",
    "to_prospector",
    "to_redrock",
    "write_filters",
]
