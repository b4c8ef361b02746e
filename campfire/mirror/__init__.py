"""The files on this disk: planned, fetched, checked, recorded, locked."""
