"""Numerics on plain arrays: numpy in, numpy out."""
