"""Files: the only place that opens FITS."""
