"""Typed, xarray-centric access to the CAMPFIRE archive of JWST/NIRSpec spectra."""
