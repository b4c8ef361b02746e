"""Many spectra as rows of a table: to LSDB and HATS, and to the schema of the Multimodal Universe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.analysis.resolving_power import Resolved, resolved_spectra
from campfire.errors import ValidationError
from campfire.handoffs.prepared import ANGSTROM, Inputs, Prepared, prepare
from campfire.handoffs.redrock import FLUX_UNIT
from campfire.kernels.lsf import FWHM_PER_SIGMA

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["to_lsdb", "to_mmu"]

_LABELS = ("spectrum_id", "object_id", "grating", "redshift", "signal_to_noise", "dq_flags")


class _Row(NamedTuple):
    one: Prepared
    labels: dict[str, Any]


def to_lsdb(spectra: xr.Dataset | xr.DataTree) -> Inputs:
    """Return the arguments of ``lsdb.from_dataframe``: a row a spectrum, its pixels as one nested column.

    ``lsdb.from_dataframe(**to_lsdb(tree)).write_catalog(path)`` writes a HATS catalogue, partitioned by
    HEALPix; ``lsdb.open_catalog(path)`` opens it with ``spectrum`` as a column of nested-pandas.

    Parameters
    ----------
    spectra
        A collection, or the tree of several gratings, with positions (``ra``, ``dec``), as observed.

    Returns
    -------
    Inputs
        ``dataframe``: a pandas DataFrame of ``ra`` and ``dec`` (degrees), ``spectrum_id``, ``object_id``,
        ``grating``, ``redshift``, ``signal_to_noise``, ``dq_flags`` where the collection has them, and
        ``spectrum``, an Arrow struct of lists: ``wavelength`` (um, vacuum, observed), ``fnu`` and ``fnu_err``
        (uJy, 1 sigma) and ``good``; pixels that are not good have flux 0 and error 9.9e99. ``ra_column`` and
        ``dec_column`` name the positions.

    Raises
    ------
    ValidationError
        If there are no positions, or the spectra are in the rest frame or relative.
    ImportError
        If pyarrow is not installed.
    """
    import pandas as pd

    pa = _pyarrow()
    found = list(_rows(spectra))
    kinds = {"wavelength": pa.float64(), "fnu": pa.float64(), "fnu_err": pa.float64(), "good": pa.bool_()}
    nested = pa.array(
        [{name: getattr(row.one, name) for name in kinds} for row in found],
        type=pa.struct([(name, pa.list_(kind)) for name, kind in kinds.items()]),
    )
    shared = [name for name in found[0].labels if all(name in row.labels for row in found)]
    columns = {name: [row.labels[name] for row in found] for name in shared}
    table = pd.DataFrame(columns)
    table["spectrum"] = pd.Series(nested, dtype=pd.ArrowDtype(nested.type), index=table.index)
    return Inputs("lsdb", {"dataframe": table, "ra_column": "ra", "dec_column": "dec"}, _origin(found))


def to_mmu(spectra: xr.Dataset | xr.DataTree) -> Inputs:
    """Return spectra in the schema that the Multimodal Universe has for those of surveys.

    The Multimodal Universe is not on PyPI, and this is not tested with it, only with the ``datasets`` of
    Hugging Face that it is made of: ``datasets.Dataset.from_dict(**to_mmu(tree))``.

    Parameters
    ----------
    spectra
        A collection, or the tree of several gratings, with positions (``ra``, ``dec``), as observed.

    Returns
    -------
    Inputs
        ``mapping`` of columns: ``object_id`` (text, the id of the spectrum), ``ra`` and ``dec`` (degrees),
        ``Z`` (redshift, NaN where it is not known) and ``spectrum``, a dictionary a row: ``lambda``
        (angstrom, vacuum, observed), ``flux`` and ``ivar`` (f_lambda in 1e-17 erg s-1 cm-2 angstrom-1 and
        its inverse variance), ``lsf_sigma`` (standard deviation of an unresolved line, angstrom) and ``mask``
        (True for pixels that are not good, of which flux and ivar are 0), float32 and boolean, of the length
        of the spectrum.

    Raises
    ------
    ValidationError
        If there are no positions, the resolving power of a spectrum is not known, or the spectra are in the
        rest frame or relative.
    """
    found = list(_rows(spectra))
    columns: dict[str, list[Any]] = {name: [] for name in ("object_id", "ra", "dec", "Z", "spectrum")}
    for one, labels in found:
        flux, error = one.flam()
        pixels = {
            "lambda": one.wavelength * ANGSTROM,
            "flux": flux / FLUX_UNIT,
            "ivar": np.where(one.good, (FLUX_UNIT / error) ** 2, 0.0),
            "lsf_sigma": one.wavelength * ANGSTROM / one.resolution() / FWHM_PER_SIGMA,
        }
        row = {
            "object_id": one.data.spectrum_id,
            "ra": labels["ra"],
            "dec": labels["dec"],
            "Z": np.nan if one.data.redshift is None else one.data.redshift,
            "spectrum": {name: values.astype(np.float32) for name, values in pixels.items()}
            | {"mask": ~one.good},
        }
        for name, value in row.items():
            columns[name].append(value)
    return Inputs("mmu", {"mapping": columns}, _origin(found))


def _rows(spectra: Any) -> Iterator[_Row]:
    """Yield every spectrum of a collection or tree that has a good pixel, with its labels."""
    nodes = [node.to_dataset() for node in spectra.subtree] if hasattr(spectra, "subtree") else [spectra]
    count = 0
    for ds in nodes:
        if "fnu" not in getattr(ds, "variables", ()):
            continue
        if "spectrum" not in ds.dims or not {"ra", "dec"} <= set(ds.coords):
            raise ValidationError(
                "these spectra have no positions",
                hint="pass what open_collection() returns: spectra with coordinates ra and dec",
            )
        for k, entry in enumerate(resolved_spectra(ds)):
            labels = {name: _label(ds, name, k) for name in ("ra", "dec", *_LABELS) if name in ds.coords}
            if not entry.data.mask.all():
                count += 1
                yield _Row(prepare(_with_power(entry)), labels)
    if not count:
        raise ValidationError("no spectrum has a good pixel", hint="pass a collection or a tree of them")


def _with_power(entry: Resolved) -> Any:
    if entry.power is not None and entry.data.resolving_power is None:
        entry.data.resolving_power = entry.power
    return entry.data


def _label(ds: xr.Dataset, name: str, k: int) -> Any:
    values = ds[name].values
    return values.item() if values.ndim == 0 else values[k].item()


def _origin(found: list[_Row]) -> dict[str, str]:
    return {
        "spectrum_id": " ".join(row.one.origin["spectrum_id"] for row in found),
        "pixels_hash": " ".join(row.one.origin["pixels_hash"] for row in found),
        "campfire_version": found[0].one.origin["campfire_version"],
    }


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as err:
        raise ImportError("LSDB takes tables of Arrow: pip install pyarrow") from err
    return pyarrow
