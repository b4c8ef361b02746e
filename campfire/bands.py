"""Photometric bands: pivot wavelengths, edges and filter ids, by name.

``y`` (Subaru/HSC) and ``Y`` (VISTA) are different bands. Names that are not here are still carried through
photometry; only their pivot is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

__all__ = ["BANDS", "BandInfo", "find_band", "near_bands"]


@dataclass(frozen=True, slots=True)
class BandInfo:
    """One band: pivot wavelength and edges in microns, and its SVO Filter Profile Service id."""

    name: str
    pivot: float
    blue: float
    red: float
    filter_id: str


def _table() -> dict[str, BandInfo]:
    acs, wfc3, nircam = "HST/ACS_WFC", "HST/WFC3_IR", "JWST/NIRCam"
    rows = [
        ("f435w", 0.433444, 0.3595, 0.4883, acs),
        ("f606w", 0.596043, 0.4627, 0.7179, acs),
        ("f814w", 0.807304, 0.6868, 0.9626, acs),
        ("f098m", 0.987520, 0.8890, 1.0843, wfc3),
        ("f090w", 0.904228, 0.78855, 1.02355, nircam),
        ("f115w", 1.157002, 0.9982, 1.3052, nircam),
        ("f140m", 1.406032, 1.30435, 1.50535, nircam),
        ("f150w", 1.503988, 1.30379, 1.69379, nircam),
        ("f182m", 1.846590, 1.6955, 2.0005, nircam),
        ("f200w", 1.993392, 1.7234, 2.2584, nircam),
        ("f210m", 2.096375, 1.9616, 2.2326, nircam),
        ("f250m", 2.503802, 2.39353, 2.6169, nircam),
        ("f277w", 2.769332, 2.3659, 3.21619, nircam),
        ("f300m", 2.989121, 2.770356, 3.250592, nircam),
        ("f335m", 3.363887, 3.11864, 3.64292, nircam),
        ("f356w", 3.576787, 3.0700, 4.07802, nircam),
        ("f360m", 3.626058, 3.32268, 3.90236, nircam),
        ("f410m", 4.084378, 3.77534, 4.40231, nircam),
        ("f430m", 4.281818, 4.12261, 4.4442, nircam),
        ("f444w", 4.415974, 3.80237, 5.09955, nircam),
        ("f460m", 4.630470, 4.46582, 4.81309, nircam),
        ("f480m", 4.819237, 4.58203, 5.08874, nircam),
        ("f770w", 7.663456, 6.475, 8.83, "JWST/MIRI"),
    ]
    table = {n: BandInfo(n, p, lo, hi, f"{group}.{n.upper()}") for n, p, lo, hi, group in rows}
    table["vis"] = BandInfo("vis", 0.718086, 0.495885, 0.930629, "Euclid/VIS.vis")
    table["u"] = BandInfo("u", 0.3551, 0.31, 0.40, "CFHT/MegaCam.u")
    ground = [
        ("g", 0.481, 0.395, 0.56, "Subaru/HSC"),
        ("r", 0.623, 0.55, 0.70, "Subaru/HSC"),
        ("i", 0.764, 0.69, 0.84, "Subaru/HSC"),
        ("z", 0.906, 0.82, 1.00, "Subaru/HSC"),
        ("y", 0.991, 0.93, 1.06, "Subaru/HSC"),
        ("Y", 1.021, 0.96, 1.09, "Paranal/VISTA"),
        ("J", 1.252, 1.15, 1.35, "Paranal/VISTA"),
        ("H", 1.644, 1.49, 1.80, "Paranal/VISTA"),
        ("Ks", 2.159, 1.99, 2.32, "Paranal/VISTA"),
    ]
    return table | {n: BandInfo(n, p, lo, hi, f"{group}.{n}") for n, p, lo, hi, group in ground}


BANDS: dict[str, BandInfo] = _table()


# A small letter alone means what it says: U, R and I are other bands (Johnson and Cousins), as are Z and Y
# (VISTA) and G (Gaia). All other names match in any case.
_ANY_CASE = {name.lower(): name for name in BANDS if len(name) > 1 or name.isupper()}
del _ANY_CASE["y"]
_BY_FILTER = {band.filter_id.lower(): band for band in BANDS.values()}


def find_band(name: str) -> BandInfo | None:
    """Return the band of exactly this name, else the one that differs in case only; None if there is none.

    The id of the SVO Filter Profile Service (``JWST/NIRCam.F444W``) is a name of a band too.

    ``F444W``, ``VIS``, ``KS`` and ``j`` are found; one-letter bands of which both cases are bands, here or in
    other systems (``y`` and ``Y``, ``r`` and ``R``), are not taken for each other.

    Examples
    --------
    >>> find_band("F444W").pivot, find_band("JWST/NIRCam.F444W").name
    (4.415974, 'f444w')
    >>> find_band("y").filter_id, find_band("Y").filter_id, find_band("ks").name, find_band("R")
    ('Subaru/HSC.y', 'Paranal/VISTA.Y', 'Ks', None)
    """
    return BANDS.get(name) or BANDS.get(_ANY_CASE.get(name.lower(), "")) or _BY_FILTER.get(name.lower())


def near_bands(name: str) -> list[str]:
    """Return bands whose names are like one that is not known.

    Examples
    --------
    >>> near_bands("F444"), near_bands("K"), near_bands("R")
    (['f444w'], ['Ks'], ['r'])
    """
    folded: dict[str, list[str]] = {}
    for known in BANDS:
        folded.setdefault(known.lower(), []).append(known)
    given = name.strip().lower().replace(" ", "")
    short = [key for key in folded if len(given) == 1 and key.startswith(given) and len(key) < 3]
    keys = [given] if given in folded else short or get_close_matches(given, folded, n=3, cutoff=0.7)
    return [known for key in keys for known in folded[key]]
