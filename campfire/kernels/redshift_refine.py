"""A redshift made exact: every line by itself, offsets of the wavelengths, a continuum; by Newton steps.

Chi-square of one spectrum is linearised in ln(1 + z) and in an offset of its wavelengths in pixels; what it
says of both after fluxes and continuum are eliminated is a matrix of 2 x 2. Those of several spectra of one
object are added, each with an offset of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from campfire.kernels.grids import PixelBounds, pixel_bounds
from campfire.kernels.redshift_curves import fit_continuum, spline_basis
from campfire.kernels.redshift_templates import line_components, line_width

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from campfire.typing import FloatArray

__all__ = ["Pixels", "Refined", "Told", "refine", "tell"]

_ROUNDS = 5
_SWEEPS = 60
_FREE, _LEAST = (
    0.5,
    0.05,
)  # scatter of lines around the ratios of the sets: of their own, and of the strongest
_LARGEST, _FARTHEST = 0.004, 0.012  # of ln(1 + z): one step, and all of them
_LINE_ERROR = 0.03  # of profiles, part of their flux


class Pixels(NamedTuple):
    """Spectra as they are compared with lines: f_nu and inverse variances, 0 for bad pixels, (spectrum, n).

    ``wavelength`` and ``bounds`` in microns have the same shape, ``basis`` of the continuum is
    (spectrum, n, p). ``power`` is the resolving power as a function of wavelength.
    """

    wavelength: FloatArray
    values: FloatArray
    weight: FloatArray
    bounds: PixelBounds
    basis: FloatArray
    power: Callable[[FloatArray], FloatArray]

    @classmethod
    def of(
        cls,
        wavelength: FloatArray,
        values: FloatArray,
        weight: FloatArray,
        power: Callable[[FloatArray], FloatArray],
    ) -> Pixels:
        """Return those of rows with wavelengths of their own, NaN after the last pixel."""
        count = np.isfinite(wavelength).sum(axis=1)
        bases = {wave.tobytes(): spline_basis(wave[:n]) for wave, n in zip(wavelength, count, strict=True)}
        size = max(basis.shape[1] for basis in bases.values())
        basis = np.zeros((*wavelength.shape, size))
        for row, wave in zip(basis, wavelength, strict=True):
            one = bases[wave.tobytes()]
            row[: len(one), : one.shape[1]] = one
        return cls(wavelength, values, weight, pixel_bounds(wavelength), basis, power)

    def at(self, rows: slice) -> Pixels:
        """Return some of the spectra."""
        return Pixels(
            self.wavelength[rows],
            self.values[rows],
            self.weight[rows],
            self.bounds.at(rows),
            self.basis[rows],
            self.power,
        )

    def on_one_grid(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return wavelengths (n,) of the longest spectrum, and values and weights of all brought there.

        Between pixels they are interpolated, which is good enough to find a redshift.
        """
        count = np.isfinite(self.wavelength).sum(axis=1)
        longest = int(count.argmax())
        grid = self.wavelength[longest, : count[longest]]
        values, weight = (np.zeros((len(count), len(grid))) for _ in range(2))
        for k, n in enumerate(count):
            own = self.wavelength[k, :n]
            if n == len(grid) and np.array_equal(own, grid):
                values[k], weight[k] = self.values[k, :n], self.weight[k, :n]
                continue
            weight[k] = np.interp(grid, own, self.weight[k, :n], left=0.0, right=0.0)
            flux = np.interp(grid, own, self.weight[k, :n] * self.values[k, :n], left=0.0, right=0.0)
            values[k] = flux / np.where(weight[k] > 0, weight[k], 1.0)
        return grid, values, weight


class Told(NamedTuple):
    """What spectra say of (ln(1 + z), offset in pixels) at some values of them.

    ``curvature`` (spectrum, 2, 2) and ``slope`` (spectrum, 2) of -chi2 / 2; ``model`` (spectrum, n), in f_nu;
    ``signal`` (spectrum,), by how much lines lower chi-square.
    """

    curvature: FloatArray
    slope: FloatArray
    model: FloatArray
    signal: FloatArray


class Refined(NamedTuple):
    """Redshifts (object,) and offsets in pixels (object, spectrum), with their covariance.

    That is (object, 1 + spectrum, 1 + spectrum), the first of ln(1 + z), which is infinite where lines do not
    tell a redshift.
    """

    redshift: FloatArray
    offsets: FloatArray
    covariance: FloatArray


def tell(pixels: Pixels, redshift: FloatArray, offset: FloatArray) -> Told:
    """Return what spectra say of their redshifts, and of their offsets: how many pixels too red they are."""
    values, basis = pixels.values, pixels.basis
    weight = fit_continuum(values, pixels.weight, basis, line_error=_LINE_ERROR).weight
    profile, by_z, by_offset = _profiles(pixels, redshift, offset)
    fluxes = _set_fluxes(profile, line_components().ratio, values, weight, basis)
    # ratios are known to some extent: lines that cannot be told apart take them from the sets
    spread = _FREE * fluxes + _LEAST * fluxes.max(axis=1, keepdims=True)
    spread = np.where(spread > 0, spread, np.inf)
    n_lines = profile.shape[2]
    columns = np.concatenate([profile, basis], axis=2)
    weighted = weight[..., None] * columns
    normal = columns.transpose(0, 2, 1) @ weighted
    held = np.zeros(normal.shape[:2])
    held[:, :n_lines] = np.where(np.isfinite(spread), 1 / np.square(spread), np.inf)
    absent = ~np.isfinite(held) | (np.einsum("spp->sp", normal) <= 0)
    held[absent] = 0.0
    index = np.arange(normal.shape[1])
    normal[:, index, index] += held + 1e-10 * np.einsum("spp->sp", normal)
    normal[absent] = 0.0
    normal.transpose(0, 2, 1)[absent] = 0.0
    normal[:, index, index] += absent
    right = np.einsum("snp,sn->sp", weighted, values)
    right[:, :n_lines] += held[:, :n_lines] * fluxes
    right[absent] = 0.0
    unknowns = np.linalg.solve(normal, right[..., None])[..., 0]
    lines = unknowns[:, :n_lines]
    change = np.stack([np.einsum("snl,sl->sn", by, lines) for by in (by_z, by_offset)], axis=2)
    model = np.einsum("snp,sp->sn", columns, unknowns)
    through = weight[..., None] * change
    cross = columns.transpose(0, 2, 1) @ through
    cross[absent] = 0.0
    curvature = change.transpose(0, 2, 1) @ through - cross.transpose(0, 2, 1) @ np.linalg.solve(
        normal, cross
    )
    slope = np.einsum("snc,sn->sc", through, values - model)
    # the prior of the fluxes pulls at them, and so at what goes with them
    pull = np.zeros_like(unknowns)
    pull[:, :n_lines] = held[:, :n_lines] * (fluxes - lines)
    slope -= np.einsum(
        "spc,sp->sc", np.linalg.solve(normal, cross), np.einsum("snp,sn->sp", weighted, values - model) + pull
    )
    signal = np.einsum("snl,sl->sn", profile, lines)
    return Told(curvature, slope, model, np.einsum("sn,sn->s", weight, np.square(signal)))


def _profiles(
    pixels: Pixels, redshift: FloatArray, offset: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return lines of a flux of 1 in f_nu, (spectrum, n, line), and their changes with both unknowns."""
    from scipy.special import ndtr

    lines = line_components()
    centre = (1.0 + redshift[:, None]) * lines.rest
    sigma = line_width(centre, pixels.power, lines.fwhm)[:, None]
    low, high = pixels.bounds
    width = np.where(high > low, high - low, 1.0)  # of the padding
    shift = offset[:, None] * width
    scale = np.where(high > low, np.square((low + high) / 2) / width, 0.0)[..., None]
    edges = [(edge - shift)[..., None] for edge in (low, high)]
    places = [(edge - centre[:, None]) / sigma for edge in edges]
    density = [np.exp(-0.5 * np.square(at)) / np.sqrt(2 * np.pi) / sigma for at in places]
    outside = (centre < low[:, :1]) | (centre > high[:, -1:])
    scale = np.where(outside[:, None], 0.0, scale)
    return (
        (ndtr(places[1]) - ndtr(places[0])) * scale,
        (density[0] * edges[0] - density[1] * edges[1]) * scale,  # centre and width grow with 1 + z alike
        (density[0] - density[1]) * width[..., None] * scale,
    )


def _set_fluxes(
    profile: FloatArray, sets: FloatArray, values: FloatArray, weight: FloatArray, basis: FloatArray
) -> FloatArray:
    """Return the flux of every line in the best sum of sets, none negative, shape (spectrum, line)."""
    columns = np.concatenate([profile @ sets, basis], axis=2)
    weighted = weight[..., None] * columns
    normal = columns.transpose(0, 2, 1) @ weighted
    right = np.einsum("snp,sn->sp", weighted, values)
    k = sets.shape[1]
    smooth = normal[:, k:, k:].copy()
    size = np.einsum("spp->sp", smooth)  # a view
    size += 1e-8 * size.max(axis=1, keepdims=True) + (size.max(axis=1, keepdims=True) <= 0)
    taken = np.linalg.solve(smooth, np.concatenate([normal[:, k:, :k], right[:, k:, None]], axis=2))
    own = normal[:, :k, :k] - normal[:, :k, k:] @ taken[..., :k]
    wanted = right[:, :k] - np.einsum("skp,sp->sk", normal[:, :k, k:], taken[..., k])
    unknowns = np.zeros_like(wanted)
    least = 1e-12 * np.einsum("skk->sk", own).max(axis=1, initial=0.0)
    for _ in range(_SWEEPS):
        for j in range(k):
            gradient = wanted[:, j] - np.einsum("sk,sk->s", own[:, j], unknowns)
            size = own[:, j, j]
            step = gradient / np.where(size > least, size, np.inf)
            unknowns[:, j] = np.maximum(unknowns[:, j] + step, 0.0)
    return np.asarray(unknowns @ sets.T)


def refine(
    spectra: Sequence[Callable[[FloatArray, FloatArray], Told]], redshift: FloatArray, scatter: FloatArray
) -> Refined:
    """Return redshifts of least chi-square near others, with offsets of the wavelengths of every spectrum.

    Parameters
    ----------
    spectra
        For every spectrum of an object (or those of many objects of one grid) a
        ``function(redshifts, offsets)``: what they say, as :func:`tell`.
    redshift
        Where to begin, shape (object,).
    scatter
        Standard deviation of the offsets before, pixels, shape (spectrum,); 0 for none.
    """
    objects, size = len(redshift), 1 + len(spectra)
    free = np.concatenate([[True], scatter > 0])
    before = np.zeros(size)
    before[1:][scatter > 0] = 1 / np.square(scatter[scatter > 0])
    before[~free] = 1.0  # these stay where they are
    start = np.log1p(redshift)
    at = np.zeros((objects, size))
    at[:, 0] = start
    known = np.zeros(objects, dtype=bool)
    curvature = np.empty((objects, size, size))
    for _ in range(_ROUNDS):
        curvature[:] = np.diag(before)
        slope = -before * at
        slope[:, 0] = 0.0
        for k, spectrum in enumerate(spectra, start=1):
            told = spectrum(np.expm1(at[:, 0]), at[:, k])
            places = [0, k] if free[k] else [0]
            used = slice(None, len(places))
            curvature[np.ix_(range(objects), places, places)] += told.curvature[:, used, used]
            slope[:, places] += told.slope[:, used]
        known = curvature[:, 0, 0] > 0
        curvature[~known, 0, 0] = 1.0
        step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        step[:, 0] = np.where(known, np.clip(step[:, 0], -_LARGEST, _LARGEST), 0.0)
        step[:, ~free] = 0.0
        at += step
    lost = ~known | (np.abs(at[:, 0] - start) > _FARTHEST)  # the lines say nothing here
    at[lost] = 0.0
    at[lost, 0] = start[lost]
    covariance = np.linalg.inv(curvature)
    covariance[:, ~free] = covariance[:, :, ~free] = 0.0
    covariance[lost, 0, 0] = np.inf
    return Refined(np.expm1(at[:, 0]), at[:, 1:], covariance)
