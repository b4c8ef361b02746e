"""To eazy-py (Brammer et al. 2008): ``eazy.photoz.PhotoZ(**to_eazy(objects, "FILTERS.RES"), ...)``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.bandpasses import load_bandpass
from campfire.handoffs.photometry import measured, write_once
from campfire.handoffs.prepared import ANGSTROM, Inputs
from campfire.installation import VERSION
from campfire.models import Object, Photometry

if TYPE_CHECKING:
    from campfire.typing import PathInput

__all__ = ["to_eazy"]

_MISSING = -99.0  # below eazy's NOT_OBS_THRESHOLD of -90


def to_eazy(
    objects: Iterable[Object] | Mapping[str, Photometry],
    filters: PathInput,
    bands: Iterable[str] | None = None,
) -> Inputs:
    """Return arguments of ``eazy.photoz.PhotoZ``: photometry of many objects, and the curves of its bands.

    Parameters
    ----------
    objects
        Objects with photometry, or object id -> photometry. Those without a measured band are left out.
    filters
        File of filter curves to write, in eazy's format; its folder is made where it is missing.
    bands
        Which bands; all that any object has where it is not given.

    Returns
    -------
    Inputs
        ``params``: ``CATALOG_FILE``, an ``astropy.table.Table`` of ``id`` (a number, counted from 1),
        ``object_id``, ``ra``, ``dec``, ``z_spec`` (-1 where it is not known), and ``f_<band>`` and
        ``e_<band>`` in microjansky (-99 where there is no measurement); ``FILTERS_RES``, the path of the
        curves; and ``PRIOR_ABZP``, 23.9. ``translate_file``: a table of which column is which filter.
        Templates, the prior and the extinction (``MW_EBV``, ``CAT_HAS_EXTCORR``) are for you to say.

    Raises
    ------
    ValidationError
        If no object has a measured band, a band has no curve, or there is another file of that name.
    ImportError
        If astro-sedpy, which has the curves, is not installed.

    Examples
    --------
    >>> import tempfile
    >>> phot = Photometry(["f200w", "f444w"], [1.0, np.nan], [0.1, 0.1], [1.99, 4.4])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     inputs = to_eazy({"a": phot}, f"{folder}/FILTERS.RES")
    >>> inputs["params"]["CATALOG_FILE"]["object_id", "f_f200w", "e_f200w"].as_array().tolist()
    [('a', 1.0, 0.1)]
    """
    from astropy.table import Table

    chosen = None if bands is None else list(bands)
    rows = [
        (labels, dict(zip(names, zip(flux, error, strict=True), strict=True)))
        for labels, phot in _photometry(objects)
        for names, flux, error in _measured(phot, chosen)
    ]
    if not rows:
        raise ValidationError("no object has a measured band", hint="pass objects with photometry")
    used = list(dict.fromkeys(name for _, values in rows for name in values))
    _write_filters(used, filters)
    columns: dict[str, Any] = {"id": np.arange(1, len(rows) + 1)}
    columns |= {key: [labels[key] for labels, _ in rows] for key in rows[0][0]}
    for name in used:
        pairs = np.array([values.get(name, (_MISSING, _MISSING)) for _, values in rows], dtype=np.float64)
        columns[f"f_{name}"], columns[f"e_{name}"] = pairs.T
    known = [(f"{kind}_{name}", f"{kind.upper()}{k}") for k, name in enumerate(used, 1) for kind in "fe"]
    arguments = {
        "param_file": None,
        "translate_file": Table(rows=known, names=("column", "trans")),
        "params": {
            "CATALOG_FILE": Table(columns),
            "FILTERS_RES": os.fspath(filters),
            "PRIOR_ABZP": 23.9,
        },
    }
    origin = {"object_id": " ".join(map(str, columns["object_id"])), "campfire_version": VERSION}
    return Inputs("eazy", arguments, origin)


def _photometry(objects: Any) -> Iterable[tuple[dict[str, Any], Photometry | None]]:
    if isinstance(objects, Mapping):
        for name, phot in objects.items():
            yield {"object_id": str(name), "ra": np.nan, "dec": np.nan, "z_spec": -1.0}, phot
        return
    for obj in [objects] if isinstance(objects, Object) else objects:
        if not isinstance(obj, Object):
            raise ValidationError(
                f"not an object: {type(obj).__name__}", hint="pass objects, or object id -> photometry"
            )
        z = -1.0 if obj.redshift is None else float(obj.redshift)
        yield {"object_id": obj.object_id, "ra": obj.ra, "dec": obj.dec, "z_spec": z}, obj.photometry


def _measured(phot: Photometry | None, chosen: list[str] | None) -> Iterable[Any]:
    """Yield what is measured, if anything is."""
    if phot is None:
        return
    try:
        yield measured(phot, chosen)
    except ValidationError:
        return


def _write_filters(bands: list[str], path: PathInput) -> None:
    curves = [load_bandpass(name) for name in bands]
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for curve in curves:
        center = f"lambda_c= {curve.pivot * ANGSTROM:.6e}"
        lines.append(f"{len(curve.wavelength)} {curve.name} {curve.filter_id} {center}")
        nodes = zip(curve.wavelength * ANGSTROM, curve.throughput, strict=True)
        lines += [f"{k} {wave:.8g} {part:.8g}" for k, (wave, part) in enumerate(nodes, 1)]
    write_once(target, lines)
