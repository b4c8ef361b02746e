"""From a folder of FITS products to a catalogue: found, read, matched into objects."""
