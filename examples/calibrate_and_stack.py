# /// script
# requires-python = ">=3.11"
# dependencies = ["campfire-jwst[deploy]"]
# ///
"""Calibrate the PRISM spectra of an object to its photometry, stack them, and save the diagnostic plot.

python examples/calibrate_and_stack.py OBJECT_ID [OUTPUT.png]
"""

from __future__ import annotations

import sys

from campfire import Campfire, calibrate_and_stack


def main(object_id: str, output: str = "stack.png") -> None:
    with Campfire() as cf:
        obj = cf.get_object(object_id)
        if obj is None:
            sys.exit(f"no such object: {object_id}")
        print(obj)
        prism = obj.spectra[obj.spectra.grating == "PRISM"]
        result = calibrate_and_stack(prism, photometry=obj.photometry, object_id=obj.object_id)
        print(result.spectrum)
        result.plot()[0].figure.savefig(output, dpi=150)
        print("wrote", output)


if __name__ == "__main__":
    main(*sys.argv[1:])
