"""Lazy collections of spectra and their pixel cache."""
