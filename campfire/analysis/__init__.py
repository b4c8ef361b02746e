"""Calibration, stacking, photometry and lines on the documented types."""
