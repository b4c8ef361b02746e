"""Filter curves by name, read from the data files of other packages; nothing is downloaded.

astro-sedpy has the space telescopes, HSC and VISTA (total system throughputs, photon-counting); speclite has
Euclid VIS and the CFHT u band of 2015. Only the files are read: neither package is imported.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.arguments import shown
from campfire.bands import find_band, near_bands
from campfire.errors import ValidationError
from campfire.installation import install_line
from campfire.kernels.bandpass import Bandpass

if TYPE_CHECKING:
    from campfire.typing import BandpassLike, FloatArray

__all__ = ["band_name", "load_bandpass", "resolve_band"]

_ANGSTROM = 1e-4  # microns

# SVO facility and instrument -> how astro-sedpy begins its file names
_SEDPY_PREFIXES = {
    "HST/ACS_WFC": "acs_wfc_",
    "HST/WFC3_IR": "wfc3_ir_",
    "JWST/NIRCam": "jwst_",
    "JWST/MIRI": "jwst_",
    "Subaru/HSC": "hsc_",
    "Paranal/VISTA": "vista_vircam_",
}
_SPECLITE_FILES = {"Euclid/VIS.vis": "Euclid-VIS", "CFHT/MegaCam.u": "cfht_megacam-u"}

# Bands without an entry in campfire.bands that have a curve, and only one meaning.
_MORE_BANDS = (
    {name: f"JWST/NIRCam.{name.upper()}" for name in ("f070w", "f150w2", "f162m", "f322w2")}
    | {name: f"HST/ACS_WFC.{name.upper()}" for name in ("f475w", "f555w", "f625w", "f775w", "f850lp")}
    | {name: f"HST/WFC3_IR.{name.upper()}" for name in ("f105w", "f110w", "f125w", "f140w", "f160w")}
    | {
        name: f"JWST/MIRI.{name.upper()}"
        for name in ("f560w", "f1000w", "f1130w", "f1280w", "f1500w", "f1800w")
    }
)


class _Library(NamedTuple):
    package: str
    distribution: str
    hint: str


_SEDPY = _Library("sedpy", "astro-sedpy", install_line("deploy"))
_SPECLITE = _Library("speclite", "speclite", "pip install speclite")


def load_bandpass(name: str) -> Bandpass:
    """Return the curve of a band.

    Parameters
    ----------
    name
        Name of the band as in photometry: ``f444w`` (in any case), ``g``, ``y`` (HSC), ``Y`` (VISTA).

    Returns
    -------
    Bandpass
        Wavelength in microns, photon-counting throughput, with the SVO filter id and the source of the curve.

    Raises
    ------
    ValidationError
        If there is no curve for this name, or the package that has it is not installed.
    ImportError
        If astro-sedpy, which has all but two of them, is not installed.

    Examples
    --------
    >>> band = load_bandpass("F444W")
    >>> band.name, band.filter_id, round(band.pivot, 2)
    ('f444w', 'JWST/NIRCam.F444W', 4.4)
    """
    info = find_band(name)
    if info is not None:
        return _load(info.name, info.filter_id)
    lower = name.lower()
    if lower in _MORE_BANDS:
        return _load(lower, _MORE_BANDS[lower])
    near = " or ".join(map(repr, near_bands(name)))
    raise ValidationError(
        f"there is no curve for band {shown(name)}",
        hint=(f"did you mean {near}? Else " if near else "")
        + "pass an object with name, wavelength (um) and throughput; 'y' is HSC and 'Y' is VISTA",
    )


def resolve_band(band: str | BandpassLike) -> Bandpass:
    """Return a band given by name or as an object with ``name``, ``wavelength``, ``throughput``."""
    return load_bandpass(band) if isinstance(band, str) else Bandpass.of(band)


def band_name(band: str | BandpassLike) -> str:
    """Return the name a band goes by: that of the object, or the text itself, as the tables spell it."""
    if not isinstance(band, str):
        return str(band.name)
    info = find_band(band)
    return band if info is None else info.name


@lru_cache(maxsize=128)
def _load(name: str, filter_id: str) -> Bandpass:
    group, _, _ = filter_id.partition(".")
    if filter_id in _SPECLITE_FILES:
        stem = _SPECLITE_FILES[filter_id]
        path, version = _find(_SPECLITE, f"data/filters/{stem}.ecsv", name)
        wave, curve = np.loadtxt(path, unpack=True, skiprows=_ecsv_header(path))
    else:
        stem = _SEDPY_PREFIXES[group] + name
        path, version = _find(_SEDPY, f"data/filters/{stem}.par", name)
        wave, curve = np.loadtxt(path, unpack=True, usecols=(0, 1))
    wave, curve = _clean(wave, curve)
    return Bandpass(name, wave * _ANGSTROM, curve, filter_id, f"{version} {stem}")


def _find(library: _Library, relative: str, band: str) -> tuple[Path, str]:
    """Return the path of a data file of an installed package, and the name and version of that package."""
    spec = find_spec(library.package)
    if spec is None or not spec.submodule_search_locations:
        if library is _SEDPY:
            raise ImportError(f"filter curves need {library.distribution}: {library.hint}")
        raise ValidationError(
            f"the curve of band {band!r} needs {library.distribution}, which is not installed",
            hint=f"{library.hint}, or pass your own curve",
        )
    path = Path(next(iter(spec.submodule_search_locations))) / relative
    if not path.is_file():
        raise ValidationError(
            f"{library.distribution} has no curve for band {band!r}", hint=library.hint, path=path
        )
    return path, f"{library.distribution} {metadata.version(library.distribution)}"


def _ecsv_header(path: Path) -> int:
    """Count the lines before the numbers of an ECSV file: its comments and the column names."""
    with path.open(encoding="utf-8") as stream:
        comments = sum(1 for line in stream if line.startswith("#"))
    return comments + 1


def _clean(wave: FloatArray, curve: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Drop nodes that are not physical, and the ends below 1e-5 of the peak, as astro-sedpy itself does.

    Some measured curves go through zero by noise far from the band; without the cut such ends would count as
    throughput that a spectrum has to cover.
    """
    usable = np.isfinite(curve) & (curve >= 0)
    order = np.argsort(wave[usable], kind="stable")
    wave, curve = wave[usable][order], curve[usable][order]
    inside = np.flatnonzero(curve > 1e-5 * curve.max())
    keep = slice(max(inside[0] - 1, 0), inside[-1] + 2)
    return wave[keep], curve[keep]
