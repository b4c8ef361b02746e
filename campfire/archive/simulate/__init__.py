"""A simulated archive with known truth.

``archive.make_archive`` writes FITS products, redshift fits, mosaics and the catalogue;
``catalog.make_catalogue`` only the catalogue, as large as wanted. Wavelengths are in
micron (vacuum), f_nu is in microjansky. Nothing here knows of the classes a user sees: it uses the layers of
files and catalogue only.
"""
