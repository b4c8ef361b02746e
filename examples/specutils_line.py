# /// script
# requires-python = ">=3.11"
# dependencies = ["campfire-jwst[specutils]"]
# ///
"""Hand a spectrum to specutils and measure the flux around H-alpha there.

python examples/specutils_line.py SPECTRUM_ID REDSHIFT
"""

from __future__ import annotations

import sys

import astropy.units as u
from specutils import SpectralRegion
from specutils.manipulation import extract_region

from campfire import Campfire, get_emission_lines


def main(spectrum_id: str, redshift: str) -> None:
    halpha = next(line for line in get_emission_lines(float(redshift)) if line["name"] == "Hα")
    with Campfire() as cf:
        spectrum = cf.open_spectrum(spectrum_id).to_specutils()
    centre = halpha["observed_wave"] * u.um
    part = extract_region(spectrum, SpectralRegion(centre * 0.98, centre * 1.02))
    peak = part.spectral_axis[part.flux.argmax()]
    print(f"Hα expected at {centre:.4f}, brightest pixel at {peak.to(u.um):.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
