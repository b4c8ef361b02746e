"""Spectra as the tools that fit them take them: units, frame, medium, mask, errors and resolution of each.

A function takes one spectrum and returns :class:`Inputs`, a dictionary of keyword arguments, with where the
data are from; it does not import the tool.
"""

from __future__ import annotations

from campfire.handoffs.bagpipes import to_bagpipes
from campfire.handoffs.fits import attach_fit
from campfire.handoffs.lime import to_lime
from campfire.handoffs.photometry import write_filters
from campfire.handoffs.ppxf import to_ppxf
from campfire.handoffs.prepared import Inputs
from campfire.handoffs.prospector import to_prospector

__all__ = ["Inputs", "attach_fit", "to_bagpipes", "to_lime", "to_ppxf", "to_prospector", "write_filters"]
