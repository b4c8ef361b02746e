"""What users hold: Object -> SpectrumCollection -> Spectrum -> SpectrumData, and Photometry."""

from __future__ import annotations

from campfire.models.collection import SpectrumCollection
from campfire.models.object import Object
from campfire.models.photometry import Band, Photometry, UnknownBandError
from campfire.models.spectrum import Spectrum
from campfire.models.spectrum_data import SpectrumData

__all__ = [
    "Band",
    "Object",
    "Photometry",
    "Spectrum",
    "SpectrumCollection",
    "SpectrumData",
    "UnknownBandError",
]
