"""A fitted redshift drawn: spectra with their models, and chi-square against redshift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from campfire.linelist import get_emission_lines
from campfire.plotting.labels import flux_label, wave_label
from campfire.plotting.static import BLUE, GREY, INK, ORANGE, flux_limits, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.typing import FloatArray

__all__ = ["draw_redshift_fit"]


def draw_redshift_fit(
    spectra: Sequence[tuple[FloatArray, FloatArray, FloatArray, FloatArray, str]],
    z: FloatArray,
    chi2: FloatArray,
    redshift: float,
    second: float,
    *,
    axes: Sequence[Axes] | None = None,
) -> tuple[Axes, Axes]:
    """Draw spectra with their models above, and how far chi-square is above its least below.

    Parameters
    ----------
    spectra
        Wavelengths (um), f_nu (NaN where masked) and its error, f_nu of the model, grating.
    z, chi2
        Redshifts and chi-square, shape (z,).
    redshift, second
        The best and the second solution.
    axes
        Two axes; a new figure without them.

    Returns
    -------
    tuple
        (spectra axes, chi-square axes).
    """
    top, bottom = new_axes(2, [2, 1], axes, share=False)
    ends = [flux_limits(flux, error) for _, flux, error, _, _ in spectra]
    for k, (wave, flux, _, model, grating) in enumerate(spectra):
        top.step(wave, flux, where="mid", color=GREY, linewidth=0.7)
        top.plot(wave, model, color=(BLUE, ORANGE)[k % 2], linewidth=1.0, label=f"model, {grating}")
    known = [pair for pair in ends if pair is not None]
    if known:
        low, high = min(low for low, _ in known), max(high for _, high in known)
        top.set_ylim(low, high)
    first, last = min(s[0][0] for s in spectra), max(s[0][-1] for s in spectra)
    top.set_xlim(first, last)
    for line in get_emission_lines(redshift, first, last):
        top.axvline(line["observed_wave"], color=GREY, linewidth=0.6, linestyle=":", zorder=0)
    top.set_xlabel(wave_label())
    top.set_ylabel(flux_label("fnu"))
    top.legend(fontsize=8, loc="upper right", framealpha=0.9)
    bottom.plot(z, chi2 - chi2.min(), color=INK, linewidth=0.8)
    bottom.axvline(redshift, color=BLUE, linewidth=1.0, label=f"z = {redshift:.4f}")
    bottom.axvline(second, color=ORANGE, linewidth=1.0, linestyle="--", label=f"second: z = {second:.3f}")
    highest = float(np.ptp(chi2))
    bottom.set_ylim(-0.04 * highest, 1.04 * highest)
    bottom.set_xlim(z[0], z[-1])
    bottom.set_xlabel("Redshift")
    bottom.set_ylabel(r"$\Delta\chi^2$")
    bottom.legend(fontsize=8, loc="lower right", frameon=True, framealpha=0.9)
    return top, bottom
