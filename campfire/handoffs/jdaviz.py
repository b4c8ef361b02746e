"""To jdaviz: ``jdaviz.App().load(**to_jdaviz(spectrum))``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from campfire.handoffs.prepared import Inputs, prepare
from campfire.installation import missing_extra
from campfire.units import FNU_UNIT

if TYPE_CHECKING:
    from campfire.analysis.inputs import SpectrumLike

__all__ = ["to_jdaviz"]


def to_jdaviz(spectrum: SpectrumLike) -> Inputs:
    """Return the arguments of ``load`` of jdaviz (``jdaviz.load``, ``jdaviz.App().load``).

    Parameters
    ----------
    spectrum
        A ``Spectrum``, ``SpectrumData``, or the Dataset of one spectrum, in any frame.

    Returns
    -------
    Inputs
        ``inp``: a ``specutils.Spectrum`` (um, uJy or relative, ``StdDevUncertainty``, origin in ``meta``),
        ``format`` and ``data_label``. jdaviz drops masks, and would fit what they hide: pixels that are not
        good are left out. ``spectrum.to_specutils()`` is the whole spectrum with its mask.

    Raises
    ------
    ImportError
        If specutils is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from campfire import SpectrumData
    >>> spec = SpectrumData([2.0, 2.1, 2.2], [3.0, np.nan, 4.0], [0.1, 0.1, 0.1], {}, "PRISM", "a")
    >>> to_jdaviz(spec)["inp"].flux
    <Quantity [3., 4.] uJy>
    """
    try:
        from specutils import Spectrum
    except ImportError as err:
        raise missing_extra("jdaviz takes spectra of specutils", "specutils") from err
    import astropy.units as u
    from astropy.nddata import StdDevUncertainty

    one = prepare(spectrum, any_frame=True)
    unit = u.dimensionless_unscaled if one.frame.relative else u.Unit(FNU_UNIT)
    kept = Spectrum(
        spectral_axis=u.Quantity(one.wavelength[one.good], u.um),
        flux=u.Quantity(one.fnu[one.good], unit),
        uncertainty=StdDevUncertainty(one.fnu_err[one.good], unit=unit),
        meta=dict(one.origin),
    )
    label = one.data.spectrum_id or "spectrum"
    return one.inputs(
        "jdaviz", {"inp": kept, "format": "1D Spectrum", "data_label": label}, one.data.redshift
    )
