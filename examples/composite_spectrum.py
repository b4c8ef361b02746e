# /// script
# requires-python = ">=3.11"
# dependencies = ["campfire-jwst[deploy]"]
# ///
"""Make a rest-frame composite of many spectra, lazily, with line ratios, and save it with its plot.

Errors are from the jackknife: the spread of the objects is in them.

python examples/composite_spectrum.py [Z_MIN Z_MAX]
"""

from __future__ import annotations

import sys

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
            method="mean",
            grid=("log", 0.2, 0.7, 500),
            redshift="redshift",
            normalize=(0.41, 0.43),
            sigma_clip=4,
            match_resolution=True,
            jackknife=True,
        ).compute()
    lines = composite.campfire.measure_lines(["Hb", "[OIII]5007", "Ha"])
    flux = dict(zip(lines.line.values.tolist(), lines.flux.values[0].tolist(), strict=True))
    print(f"[OIII]5007 / Hβ = {flux['[OIII]₂'] / flux['Hβ']:.2f}, Hα / Hβ = {flux['Hα'] / flux['Hβ']:.2f}")
    composite.to_netcdf("composite.nc", engine="h5netcdf")
    composite.campfire.plot(redshift=0).figure.savefig("composite.png", dpi=150)
    print(composite)


if __name__ == "__main__":
    main(*sys.argv[1:])
