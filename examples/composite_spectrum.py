# /// script
# requires-python = ">=3.11"
# dependencies = ["campfire-jwst[deploy]"]
# ///
"""Make a rest-frame composite of many spectra, lazily, and save it with its plot.

python examples/composite_spectrum.py [Z_MIN Z_MAX]
"""

from __future__ import annotations

import sys

import numpy as np

from campfire import Campfire, DQFlags


def main(z_min: str = "3", z_max: str = "7") -> None:
    with Campfire() as cf:
        rows = cf.query_spectra(
            gratings=["PRISM"],
            redshift_range=(float(z_min), float(z_max)),
            redshift_quality=["probable", "secure"],
            dq_flags=~(DQFlags.CONTAMINATION | DQFlags.LOW_SNR),
        )
        print(len(rows), "spectra")
        prism = cf.open_collection(rows, download=True)["PRISM"].to_dataset()
        composite = prism.campfire.stack(
            method="median",
            grid=np.linspace(0.2, 0.7, 600),
            redshift=prism["redshift"].values,
            normalize=(0.41, 0.43),
        ).compute()
    composite.to_netcdf("composite.nc", engine="h5netcdf")
    composite.campfire.plot(redshift=0).figure.savefig("composite.png", dpi=150)
    print(composite)


if __name__ == "__main__":
    main(*sys.argv[1:])
