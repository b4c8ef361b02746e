"""What the viewer draws of an object's spectra, read from their files."""

from __future__ import annotations

from pathlib import Path

from campfire.archive.server.file_links import FileShelf
from campfire.errors import CampfireError
from campfire.formats.hdu_reader import RawFits
from campfire.formats.layouts import find_table
from campfire.formats.spec_reader import read_pixels
from campfire.formats.spectrum_2d import read_image_group
from campfire.formats.zfit import read_zfit
from campfire.plotting.panels.payload import encode_fit, encode_image, encode_pixels
from campfire.typing import Row

__all__ = ["spectrum_panel"]

_FACTS = (
    *("spectrum_id", "grating", "program_slug", "observation", "signal_to_noise", "exposure_time"),
    *("redshift_auto", "dq_flags", "reduction_version"),
)


def spectrum_panel(shelf: FileShelf, row: Row) -> Row:
    """Return facts, pixels, image and redshift fit of one spectrum; ``problem`` says what cannot be shown."""
    panel: Row = {name: row[name] for name in _FACTS}
    panel |= {"pixels": None, "image": None, "fit": None, "problem": None}
    path = shelf.find(row["observation"], row["fits_path"])
    if path is None:
        return panel | {"problem": "the file of this spectrum is not here"}
    try:
        pixels = read_pixels(path)
        panel["pixels"] = encode_pixels(
            pixels["wavelength"], pixels["fnu"], pixels["fnu_err"], pixels["mask"]
        )
        panel["image"] = _image(path, len(pixels["wavelength"]))
        fit = shelf.find(row["observation"], row["fits_path"], "zfit")
        if fit is not None:
            found = read_zfit(fit)
            panel["fit"] = encode_fit(
                found["redshift"],
                found["confidence"],
                found["z"],
                found["chi2"],
                found["model_wave"],
                found["model_fnu"],
            )
    except CampfireError as err:
        panel["problem"] = err.message
    return panel


def _image(path: Path, pixels: int) -> Row | None:
    """Return the rectified image, where the file has one whose columns are the pixels."""
    with RawFits(path) as fits:
        table = find_table(fits)
        if fits.find("SCI", "IMAGE") is None:
            return None
        flux, error = (read_image_group(fits, table, name) for name in ("flux", "flux_err"))
    if flux is None or error is None or flux.ndim != 2 or flux.shape[1] != pixels:
        return None
    return encode_image(flux, error)
