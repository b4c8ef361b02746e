"""Calibration and stacking, under the name that the documentation uses."""

from __future__ import annotations

from campfire.analysis.calibration import CalibrationResult, calibrate_to_photometry
from campfire.analysis.photometry import synthetic_photometry
from campfire.analysis.resampling import resample_spectrum
from campfire.analysis.stacking import StackResult, calibrate_and_stack, stack_spectra

__all__ = [
    "CalibrationResult",
    "StackResult",
    "calibrate_and_stack",
    "calibrate_to_photometry",
    "resample_spectrum",
    "stack_spectra",
    "synthetic_photometry",
]
