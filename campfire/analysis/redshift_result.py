"""What a fit of a redshift gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from campfire.kernels.redshift_curves import peaks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.models import SpectrumData
    from campfire.typing import FloatArray, RedshiftFit

__all__ = ["RedshiftResult"]


@dataclass(eq=False, repr=False)
class RedshiftResult:
    """The redshift of one object, and how sure it is; z redshifts of a grid.

    Attributes
    ----------
    redshift, redshift_err
        Of the most probable solution, with its 1-sigma error: that of the emission lines, or of the curve
        where no line tells.
    redshift_grid, chi2
        Chi-square of the templates at every redshift, of all spectra together, shape (z,).
    probability
        p(z) for a flat prior, per unit of z, shape (z,).
    second_redshift
        Of the most probable solution but the first.
    odds
        How many times as probable the first is as the second.
    confidence
        Probability of the first, in percent.
    offsets, offsets_err
        Of the wavelengths of every spectrum, in pixels, positive where they are too red, with their 1-sigma
        errors; 0 for a spectrum by itself, of which nothing tells them.
    spectra
        What was fitted.
    models
        f_nu of the best model on the pixels of each of the spectra, in their unit.
    """

    redshift: float
    redshift_err: float
    redshift_grid: FloatArray
    chi2: FloatArray
    probability: FloatArray
    second_redshift: float
    odds: float
    offsets: FloatArray
    offsets_err: FloatArray
    spectra: list[SpectrumData]
    models: list[FloatArray]

    @property
    def confidence(self) -> float:
        """Probability of the first solution, in percent."""
        return 100.0 * float(peaks(self.redshift_grid, self.chi2[None]).part[0])

    def to_fit_data(self, spectrum: int = 0) -> RedshiftFit:
        """Return it as ``get_redshift_fit_data`` does, for :func:`campfire.plot_redshift_fit`.

        Parameters
        ----------
        spectrum
            Number of the spectrum whose model is wanted.
        """
        return {
            "redshift": self.redshift,
            "chi2_min": float(self.chi2.min()),
            "confidence": self.confidence,
            "z_grid": self.redshift_grid.tolist(),
            "chi2_grid": self.chi2.tolist(),
            "model_wave": np.asarray(self.spectra[spectrum].wavelength).tolist(),
            "model_fnu": self.models[spectrum].tolist(),
        }

    def plot(self, axes: tuple[Axes, Axes] | None = None) -> tuple[Axes, Axes]:
        """Draw the spectra with their models, and chi-square against redshift below.

        Parameters
        ----------
        axes
            Two matplotlib axes; a new figure without them.

        Returns
        -------
        tuple of matplotlib.axes.Axes
            (spectra, chi-square).
        """
        from campfire.plotting.redshift_fits import draw_redshift_fit

        return draw_redshift_fit(
            [
                (s.wavelength, np.where(s.mask, np.nan, s.fnu), s.fnu_err, model, s.grating)
                for s, model in zip(self.spectra, self.models, strict=True)
            ],
            self.redshift_grid,
            self.chi2,
            self.redshift,
            self.second_redshift,
            axes=axes,
        )

    def __repr__(self) -> str:
        gratings = ", ".join(dict.fromkeys(s.grating for s in self.spectra))
        return (
            f"RedshiftResult(z={self.redshift:.5f} ± {self.redshift_err:.5f}, {gratings}, "
            f"{self.confidence:.1f}% confidence, else z={self.second_redshift:.3f})"
        )
