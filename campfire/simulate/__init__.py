"""A simulated archive with known truth.

:func:`make_archive` writes FITS products, redshift fits, mosaics and the catalogue; :func:`make_catalogue`
only the catalogue, as large as wanted. Wavelengths are micron (vacuum), f_nu microjansky.
"""
