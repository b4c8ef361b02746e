"""Calibration, stacking and lines on the documented types."""
