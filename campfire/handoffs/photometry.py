"""Photometry and filter curves as fitting tools take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campfire.errors import ValidationError
from campfire.formats.bandpasses import load_bandpass
from campfire.handoffs.prepared import ANGSTROM

if TYPE_CHECKING:
    from campfire.models import Photometry
    from campfire.typing import FloatArray, PathInput

__all__ = ["measured", "write_filters", "write_once"]


def write_filters(bands: Iterable[str], folder: PathInput) -> dict[str, Path]:
    """Write the curves of bands as files of two columns: wavelength in angstrom, throughput.

    Parameters
    ----------
    bands
        Names of bands; a :class:`campfire.Photometry` is its bands.
    folder
        Where to write; made where it is missing.

    Returns
    -------
    dict
        Band -> path of its file, ``<band>.dat``, for :func:`to_bagpipes` and other tools that read such.

    Raises
    ------
    ValidationError
        For a band without a curve, or if there is another file of that name.
    ImportError
        If astro-sedpy, which has the curves, is not installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_filters(["f444w"], folder)["f444w"].name
    'f444w.dat'
    """
    curves = {name: load_bandpass(name) for name in bands}
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, curve in curves.items():
        paths[name] = target / f"{name.replace('/', '_')}.dat"  # ids of filters have slashes
        nodes = zip(curve.wavelength * ANGSTROM, curve.throughput, strict=True)
        lines = [f"# {curve.name} {curve.source}", *(f"{wave:.8g} {part:.8g}" for wave, part in nodes)]
        write_once(paths[name], lines)
    return paths


def write_once(path: Path, lines: Iterable[str]) -> None:
    """Write a text file that is not there yet; one that has the same content is left as it is.

    Raises
    ------
    ValidationError
        If there is another file of that name.
    """
    text = "".join(f"{line}\n" for line in lines)
    try:
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError as err:
        if path.read_bytes() != text.encode():
            raise ValidationError(
                "there is another file of that name", hint="choose another name, or remove it", path=path
            ) from err


def measured(
    photometry: Photometry, chosen: Mapping[str, object] | Iterable[str] | None = None
) -> tuple[list[str], FloatArray, FloatArray]:
    """Return names, fluxes and errors in microjansky of the bands that are measured and chosen.

    Raises
    ------
    ValidationError
        If there is none.
    """
    names = list(photometry) if chosen is None else [name for name in chosen if name in photometry]
    rows = [(name, photometry[name]) for name in names]
    kept = [(n, b) for n, b in rows if np.isfinite(b.flux) and np.isfinite(b.flux_err) and b.flux_err > 0]
    if not kept:
        raise ValidationError(
            f"no band of {', '.join(photometry) or 'no bands'} is measured and asked for",
            hint="pass bands that have a flux and a positive error",
        )
    flux, error = (np.array([band[k] for _, band in kept], dtype=np.float64) for k in (0, 1))
    return [name for name, _ in kept], flux, error
