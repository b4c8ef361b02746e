"""Which modes the covariances of calibrated rows may get: known before anything is computed."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.analysis.photometry_fit import is_measured, measurement_labels, measurements
from campfire.collection.covariance import correlations
from campfire.errors import ValidationError
from campfire.formats.bandpasses import resolve_band
from campfire.kernels.calibration_curve import MAX_DEGREE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from campfire.kernels.bandpass import Bandpass
    from campfire.models import Photometry
    from campfire.typing import FloatArray

__all__ = ["Slots", "measured_bands", "mode_slots"]

_RANGE = (0.5, 5.6)  # microns: pivots of bands that NIRSpec covers


class Slots(NamedTuple):
    """Signs and labels of the modes of every row, shape (row, mode), known before anything is computed."""

    signs: FloatArray
    labels: NDArray[np.object_]


def mode_slots(
    ds: xr.Dataset,
    measured: Sequence[Mapping[str, str] | None],
    method: str,
    degree: int | None,
) -> Slots:
    """Return which modes a row may get, after those it has: some of the fit, and one a measurement."""
    known = _known_slots(ds)
    most = max((len(labels) for labels in measured if labels is not None), default=0)
    k = 1 if method == "flat" else min((MAX_DEGREE if degree is None else int(degree)) + 1, max(most, 1))
    plus = k if degree is not None else 2 * k - 1  # what other degrees differ by is added
    labels = np.full((len(measured), plus + k + most), "", dtype=object)
    signs = np.zeros(labels.shape)
    for row, bands in enumerate(measured):
        if bands is not None:
            signs[row, :plus], signs[row, plus : plus + k] = 1.0, -1.0
            new = [label for label in bands if label not in known.labels[row].tolist()]
            own = slice(plus + k, plus + k + len(new))
            labels[row, own], signs[row, own] = new, 1.0
    return Slots(np.hstack([known.signs, signs]), np.hstack([known.labels, labels]))


def _known_slots(ds: xr.Dataset) -> Slots:
    """Return signs and labels of the modes that rows have already."""
    known = correlations(ds)
    if len(known) > 1:
        return Slots(known[1], known[2])
    return Slots(np.zeros((ds.sizes["spectrum"], 0)), np.zeros((ds.sizes["spectrum"], 0), dtype=object))


def measured_bands(
    photometry: Photometry, bands: Sequence[Bandpass] | None, error_floor: float
) -> dict[str, str]:
    """Return the measurements that may calibrate a spectrum: label -> provenance of the curve."""
    curves = {} if bands is None else {band.name: band for band in bands}
    for name in photometry.bands if bands is None else ():
        with suppress(ValidationError):  # is said where rows are calibrated
            curves[name] = resolve_band(name)
            if not _RANGE[0] < curves[name].pivot < _RANGE[1]:
                del curves[name]
    names = []
    for name in curves:
        with suppress(ValidationError):
            flux, error, _ = photometry[name]
            if is_measured(flux, error, error_floor):
                names.append(name)
    labels = measurement_labels(names, *measurements(photometry, names, error_floor))
    return dict(zip(labels, (curves[name].provenance for name in names), strict=True))
