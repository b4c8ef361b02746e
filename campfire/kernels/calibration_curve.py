r"""Fit of a smooth multiplier that brings a spectrum onto broadband photometry.

The model is the flux of *curve times spectrum* in every band. With a Chebyshev curve
:math:`m(\lambda) = \sum_k c_k T_k(x)` it is linear in the coefficients, :math:`A c` with
:math:`A_{bk} = \sum_i W_{bi} T_k(x_i) s_i`, so fluxes of any sign and S/N can be used; no ratio is formed.

Both sides have errors. The covariance of the residuals is
:math:`V(c) = \Sigma_p + W m \Sigma_s m W^T`, photometry and spectrum, and the minimum of
:math:`r^T V^{-1}(c)\, r` is found by damped Newton steps. Leaving out that V depends on c, as a
plain weighted fit does, biases the curve low by about 1 / (S/N of the spectrum in a band)^2 (Fuller 1987,
*Measurement Error Models*, ch. 2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.errors import ValidationError
from campfire.kernels.bandpass import band_weights
from campfire.kernels.grids import good_pixels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from campfire.kernels.bandpass import Bandpass
    from campfire.kernels.covariance import Covariance
    from campfire.typing import BoolArray, FloatArray

__all__ = ["MAX_DEGREE", "MULTIPLIER_RANGE", "CurveFit", "best_curve", "fit_curve"]

MAX_DEGREE = 3
"""Highest degree chosen without being asked."""

MULTIPLIER_RANGE = (0.1, 50.0)
"""Curves are cut to this range, and ``CurveFit.clipped`` says where."""

_ROUNDS = 100
_HALVINGS = 30
_CONVERGED = 1e-10


@dataclass(frozen=True, slots=True)
class CurveFit:
    """A fitted multiplier with its errors; n pixels, b bands, k coefficients.

    ``multiplier``, ``multiplier_err`` and ``clipped`` have shape (n,), ``coefficients`` (k,), ``covariance``
    (k, k), ``synthetic`` and ``synthetic_err`` (fluxes of the uncalibrated spectrum) (b,). ``chi2`` is the
    total.

    With a change d of the spectrum the calibrated one changes by ``multiplier * d - slope @ (fold @ d)``,
    shapes (n, k) and (k, n), the second part through the fit; and by ``common`` (n, b) with changes by 1
    sigma of the photometry, which every spectrum calibrated on the same photometry shares. ``doubt`` (n, d)
    is what it might be off by, as other degrees have it (:func:`best_curve`); d is 0 for one that is given.
    """

    multiplier: FloatArray
    multiplier_err: FloatArray
    clipped: BoolArray
    coefficients: FloatArray
    covariance: FloatArray
    chi2: float
    synthetic: FloatArray
    synthetic_err: FloatArray
    slope: FloatArray
    fold: FloatArray
    common: FloatArray
    doubt: FloatArray

    def calibrated(self, covariance: Covariance, labels: Sequence[str]) -> Covariance:
        """Return the covariance of the calibrated spectrum.

        Parameters
        ----------
        covariance
            Of the original, nothing at pixels that are not good.
        labels
            Identify the measurements, one a band.
        """
        total = covariance.propagated(self.multiplier, self.slope, self.fold)
        return total.with_own(self.doubt).with_shared(labels, self.common)

    def error(self, error: FloatArray) -> FloatArray:
        """Return the total 1-sigma error of the calibrated spectrum from that of the original."""
        square = np.where(np.isfinite(error), np.square(error), 0.0)
        through = np.einsum("ik,ki->i", self.slope, self.fold) * square
        spread = (self.fold * square) @ self.fold.T
        variance = self.multiplier * (self.multiplier * square - 2 * through)
        variance += np.einsum("ik,kl,il->i", self.slope, spread, self.slope)
        # the spectrum's noise in the curve only takes back what it put in; rounding must not go below 0
        variance = np.maximum(variance, 0.0) + np.square(self.common).sum(axis=1)
        variance += np.square(self.doubt).sum(axis=1)
        return cast("FloatArray", np.where(np.isfinite(error), np.sqrt(variance), np.nan))


def fit_curve(
    wavelength: FloatArray,
    flux: FloatArray,
    error: FloatArray,
    bands: Sequence[Bandpass],
    observed: FloatArray,
    observed_err: FloatArray,
    *,
    degree: int,
    mask: BoolArray | None = None,
    covariance: Any = None,
) -> CurveFit:
    """Fit a Chebyshev multiplier of some degree; degree 0 is a constant.

    Parameters
    ----------
    wavelength
        Pixel centres in microns, increasing, shape (n,).
    flux, error
        f_nu of the spectrum and its 1-sigma error, shape (n,).
    bands
        Bands of the fit, of which the spectrum covers (nearly) all; shape (b,).
    observed, observed_err
        Photometry in the same unit as ``flux``, with 1-sigma errors above zero, shape (b,).
    degree
        At most b - 1. The curve's variable runs from -1 to 1 over the spectrum, and is frozen outside the
        outermost pivot wavelengths.
    mask
        True for pixels not to be used.
    covariance
        Covariance of the spectrum, (n, n), used instead of ``error``.

    Raises
    ------
    ValidationError
        If the spectrum has no signal that could fix the coefficients.

    Examples
    --------
    >>> from campfire.kernels.bandpass import Bandpass
    >>> wave = np.linspace(1.0, 2.0, 101)
    >>> band = Bandpass("box", np.array([1.2, 1.8]), np.array([1.0, 1.0]))
    >>> ones = np.ones(101)
    >>> fit = fit_curve(wave, ones, 0.1 * ones, [band], np.array([2.0]), np.array([0.1]), degree=0)
    >>> fit.multiplier[0].round(6), fit.chi2 < 1e-12
    (np.float64(2.0), True)
    """
    good = good_pixels(flux, error, mask)
    source = np.where(good, flux, 0.0).astype(np.float64)
    variance = np.square(np.where(good, error, 0.0).astype(np.float64))
    weights = band_weights(wavelength, bands) * good
    weights /= weights.sum(axis=1, keepdims=True)
    basis = _basis(np.asarray(wavelength, dtype=np.float64), [band.pivot for band in bands], degree)
    operators = basis.T[:, None, :] * weights[None, :, :]  # (k, b, n)
    design = (operators @ source).T  # (b, k)
    if covariance is None:
        noise = np.einsum("kbi,i,lci->klbc", operators, variance, operators, optimize=True)
    else:
        flat = operators.reshape(-1, len(source))
        shape = (degree + 1, len(bands), degree + 1, len(bands))
        noise = (flat @ (covariance @ flat.T)).reshape(shape).transpose(0, 2, 1, 3)
    photometric = np.diag(np.square(observed_err))
    coefficients, gain, residual_covariance = _solve(design, observed, photometric, noise)
    curve = basis @ coefficients
    residual = observed - design @ coefficients
    covered = gain @ residual_covariance @ gain.T
    # what the spectrum's own noise does: delta f = m delta s + s T delta c, delta c = -gain W m delta s
    slope = source[:, None] * basis
    synthetic_noise = np.einsum("bi,i,bi->b", weights, variance, weights)
    if covariance is not None:
        synthetic_noise = np.einsum("bi,ib->b", weights, covariance @ weights.T)
    low, high = MULTIPLIER_RANGE
    return CurveFit(
        multiplier=np.clip(curve, low, high),
        multiplier_err=np.sqrt(np.einsum("ik,kl,il->i", basis, covered, basis)),
        clipped=(curve < low) | (curve > high),
        coefficients=coefficients,
        covariance=covered,
        chi2=float(residual @ np.linalg.solve(residual_covariance, residual)),
        synthetic=weights @ source,
        synthetic_err=np.sqrt(synthetic_noise),
        slope=slope,
        fold=gain @ (weights * curve),
        common=(slope @ gain) * np.asarray(observed_err),
        doubt=np.empty((len(source), 0)),
    )


def best_curve(fits: Sequence[CurveFit]) -> CurveFit:
    """Return the fit of the degree that the bands have evidence for.

    It has the least AIC = chi2 + 2 k (Akaike 1974, IEEE Trans. Autom. Control 19, 716), for k coefficients
    and errors that are known. Its own error would hold for the right degree only: the square of what each
    other fit differs by is added, times the weight of evidence of that fit, proportional to exp(-AIC / 2)
    (Burnham & Anderson 2002, *Model Selection and Multimodel Inference*, 4.3).

    Parameters
    ----------
    fits
        Of the same spectrum to the same bands, of degrees 0, 1, 2...
    """
    evidence = np.array([fit.chi2 + 2.0 * len(fit.coefficients) for fit in fits])
    best = int(evidence.argmin())
    weight = np.exp(-0.5 * (evidence - evidence[best]))
    weight /= weight.sum()
    chosen = fits[best]
    others = [k for k in range(len(fits)) if k != best]
    apart = [np.sqrt(weight[k]) * (fits[k].multiplier - chosen.multiplier) for k in others]
    off = np.array(apart).reshape(len(others), len(chosen.multiplier)).T
    error = np.sqrt(np.square(chosen.multiplier_err) + np.square(off).sum(axis=1))
    # the first polynomial is 1, so that the first slope is the spectrum itself
    return replace(chosen, multiplier_err=error, doubt=chosen.slope[:, [0]] * off)


def _basis(wavelength: FloatArray, pivots: Sequence[float], degree: int) -> FloatArray:
    """Return Chebyshev polynomials at every pixel, frozen outside the outermost pivots; shape (n, k)."""
    low, high = wavelength[0], wavelength[-1]
    held = np.clip(wavelength, min(pivots), max(pivots))
    return np.polynomial.chebyshev.chebvander(2 * (held - low) / (high - low) - 1, degree)


def _solve(
    design: FloatArray, observed: FloatArray, photometric: FloatArray, noise: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Minimise r' V(c)^-1 r; returns c, its derivative by the photometry, and V.

    Half the gradient is -(A' u + G c) with u = V^-1 r and G_kl = u' N_kl u, where V = S + sum c_k c_l N_kl.
    Newton's step with A' V^-1 A - G for the second derivative is the one that removes the bias; where that is
    not positive, far from the minimum or with hardly any signal, A' V^-1 A alone still leads downhill.
    """

    def state(at: FloatArray) -> tuple[float, FloatArray, FloatArray]:
        covariance = photometric + np.einsum("k,l,klbc->bc", at, at, noise)
        inverse = np.linalg.inv(covariance)
        residual = observed - design @ at
        return float(residual @ inverse @ residual), inverse, covariance

    coefficients = np.zeros(design.shape[1])
    # start from the constant that matches the mean level, whose noise is of the right size
    power = np.vdot(design[:, 0], design[:, 0])
    coefficients[0] = np.vdot(design[:, 0], observed) / max(power, np.finfo(float).tiny)
    try:
        chi2, inverse, covariance = state(coefficients)
        for _ in range(_ROUNDS):
            pull = inverse @ (observed - design @ coefficients)
            normal = design.T @ inverse @ design
            correction = np.einsum("b,klbc,c->kl", pull, noise, pull)
            curvature = normal - correction
            if np.linalg.eigvalsh(curvature)[0] <= 1e-3 * np.linalg.eigvalsh(normal)[0]:
                curvature = normal
            step = np.linalg.solve(curvature, design.T @ pull + correction @ coefficients)
            if np.abs(step).max() <= _CONVERGED * np.abs(coefficients).max():
                break
            for _ in range(_HALVINGS):
                trial = state(coefficients + step)
                if trial[0] <= chi2:
                    break
                step = step / 2
            else:
                break  # no way down that rounding can see
            coefficients = coefficients + step
            chi2, inverse, covariance = trial
        gain = np.linalg.solve(curvature, design.T @ inverse)
    except np.linalg.LinAlgError as err:
        raise ValidationError(
            "the spectrum has no signal in these bands that could fix a calibration curve",
            hint="use more bands, a lower degree, or method='flat'",
        ) from err
    return coefficients, gain, covariance
