"""Many spectra as one lazy, labelled tree, and the Zarr cache of their pixels."""
