"""To pPXF (Cappellari 2023): ``ppxf(templates, start=..., **to_ppxf(spectrum))``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from campfire.errors import ValidationError
from campfire.handoffs.prepared import ANGSTROM, KM_S, Inputs, prepare, to_air
from campfire.kernels.covariance import Covariance
from campfire.kernels.grids import PixelBounds, pixel_bounds
from campfire.kernels.overlap import covered_pixels, import_sparse, overlap_matrix, scaled_rows

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from campfire.analysis.inputs import SpectrumLike

__all__ = ["to_ppxf"]


def to_ppxf(
    spectrum: SpectrumLike,
    *,
    redshift: float | None = None,
    medium: Literal["vacuum", "air"] = "vacuum",
    velscale: float | None = None,
    covariance: bool = True,
    resolving_power: ArrayLike | None = None,
) -> Inputs:
    """Return the arguments of ``ppxf`` that a spectrum determines, rebinned to equal steps of velocity.

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, as observed or in the rest frame.
        ``ds.sel(wavelength=slice(2.0, 3.5))`` leaves out what is not to be fitted.
    redshift
        That of the spectrum where it is not given; pPXF fits a velocity around it.
    medium
        Of the wavelengths of the templates.
    velscale
        Km/s a pixel. By default that of the widest pixel in velocity, so that the rebinned pixels are no
        finer than those of the spectrum anywhere. Pixels of the prism are 430 to 4400 km/s wide: cut the
        spectrum to what is to be fitted, or pass a finer one and ``covariance=False``.
    covariance
        Return the covariance of the rebinned pixels, which share the noise of pixels they share. Without it,
        ``noise`` is their 1-sigma errors, as if they were independent.
    resolving_power
        Wavelength over FWHM, one number or one a pixel, where it is not that of the disperser.

    Returns
    -------
    Inputs
        ``galaxy`` (f_lambda over its median, shape (m,)), ``noise`` (covariance (m, m), or errors (m,), in
        the same unit), ``velscale`` (km/s), ``lam`` (angstrom, rest frame, in ``medium``) and ``mask`` (True
        for pixels to be fitted). Pixels that are not have galaxy 0 and share no noise with others.
        ``beside["fwhm_gal"]`` has ``lam`` and ``fwhm``, the FWHM of unresolved lines in angstrom, to which
        templates are to be smoothed before ``log_rebin``, as ``ppxf.sps_util.sps_lib`` does with it: that of
        the instrument, and what being recorded in pixels and rebinned from them adds.
        ``beside["flux_scale"]`` is the median, erg s-1 cm-2 angstrom-1, and ``beside["wavelength"]`` the
        pixels of ``lam`` in microns, in vacuum and the frame of the spectrum: for :func:`attach_fit`.

    Raises
    ------
    ValidationError
        If the redshift or the resolving power is not known, or ``velscale`` is so fine that the covariance
        has no inverse.

    Examples
    --------
    >>> from campfire import SpectrumData
    >>> wave = np.linspace(3.0, 3.1, 60)
    >>> spec = SpectrumData(wave, np.ones(60), np.full(60, 0.1), {}, "G395M", "a", redshift=4.0)
    >>> inputs = to_ppxf(spec)
    >>> inputs["galaxy"].shape, inputs["noise"].shape, round(inputs["velscale"], 1)
    ((59,), (59, 59), 169.4)
    """
    one = prepare(spectrum, any_frame=True)
    if medium not in ("vacuum", "air"):
        raise ValidationError(f"medium={medium!r}", hint="'vacuum' or 'air', that of the templates")
    z = one.redshift(redshift, "pPXF works in the rest frame")
    kept = one.trimmed
    if kept.stop - kept.start < 3:
        raise ValidationError(f"{one.name} has {int(one.good.sum())} good pixels", hint="a fit needs more")
    rest = one.wavelength * ANGSTROM / (1 + z)
    wave = (to_air(rest) if medium == "air" else rest)[kept]
    pixels = pixel_bounds(wave)
    widest = KM_S * float(np.log(pixels.high / pixels.low).max())
    step = widest if velscale is None else float(velscale)
    if not 0 < step < KM_S:
        raise ValidationError(f"velscale={velscale!r}", hint="pass km/s a pixel")
    if covariance and step < widest * (1 - 1e-9):
        raise ValidationError(
            f"velscale={step:g} km/s is finer than the widest pixel, {widest:.4g} km/s: pixels that share "
            "all their noise have a covariance without inverse",
            hint="pass covariance=False, a coarser velscale, or a part of the spectrum",
        )
    start, stop = pixels.low[0], pixels.high[-1]
    n = max(int(np.log(stop / start) * KM_S / step * (1 + 1e-12)), 1)
    new_edges = start * np.exp(np.arange(n + 1) * step / KM_S)
    good = one.good[kept]
    sparse = import_sparse()
    bins = PixelBounds(new_edges[:-1], new_edges[1:])
    overlap = overlap_matrix(pixels, bins) @ sparse.diags_array(good.astype(np.float64))
    _, masked = covered_pixels(np.asarray(overlap.sum(axis=1)), bins.width)
    matrix = scaled_rows(overlap.tocsr(), masked)

    flux, error = (values[kept] for values in one.flam())
    own = one.data.pixel_covariance
    if own is None:
        before = Covariance.of(np.where(good, error, 0.0) ** 2)
    else:
        factor = np.where(one.good, one.flam_per_fnu, 0.0)
        before = Covariance.of(own).good(one.good).scaled(factor).at(kept)
    galaxy = np.asarray(matrix @ flux)
    scale = float(np.median(np.abs(galaxy[~masked]))) or float(np.median(error[good]))
    after = before.transformed(matrix).scaled(1.0 / scale)
    variance = after.diagonal()
    typical = float(np.median(variance[~masked]))
    noise = np.sqrt(np.where(masked, typical, variance))
    if covariance:
        noise = after.toarray()
        np.fill_diagonal(noise, np.where(masked, typical, variance))
    lam = np.sqrt(new_edges[1:] * new_edges[:-1])
    # once recorded in pixels, and once rebinned from them
    power = np.interp(lam, wave, one.resolution(resolving_power, pixels=2)[kept])
    arguments = {
        "galaxy": galaxy / scale,
        "noise": noise,
        "velscale": step,
        "lam": lam,
        "mask": ~masked,
    }
    beside = {
        "fwhm_gal": {"lam": lam, "fwhm": lam / power},
        "flux_scale": scale,
        "wavelength": np.interp(lam, wave, one.wavelength[kept]),
    }
    return one.inputs("ppxf", arguments, z, **beside)
