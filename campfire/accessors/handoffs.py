"""``Dataset.campfire.to_<tool>()``: the hand-offs in :mod:`campfire.handoffs`, and the fit coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from campfire.handoffs import Inputs

__all__ = ["Handoffs"]


class Handoffs:
    """Methods that forward to the function of the same name in :mod:`campfire.handoffs`."""

    _ds: xr.Dataset

    def to_bagpipes(self, photometry: Any = None, filters: Any = None, **options: Any) -> Inputs:
        """Return the arguments of ``bagpipes.galaxy``; see :func:`campfire.handoffs.to_bagpipes`."""
        from campfire.handoffs import to_bagpipes

        return to_bagpipes(self._ds, photometry, filters, **options)

    def to_lime(self, **options: Any) -> Inputs:
        """Return the arguments of ``lime.Spectrum``; see :func:`campfire.handoffs.to_lime`."""
        from campfire.handoffs import to_lime

        return to_lime(self._ds, **options)

    def to_ppxf(self, **options: Any) -> Inputs:
        """Return the arguments of ``ppxf`` that a spectrum sets; see :func:`campfire.handoffs.to_ppxf`."""
        from campfire.handoffs import to_ppxf

        return to_ppxf(self._ds, **options)

    def to_prospector(self, photometry: Any = None, bands: Any = None, **options: Any) -> Inputs:
        """Return the ``obs`` of Prospector; see :func:`campfire.handoffs.to_prospector`."""
        from campfire.handoffs import to_prospector

        return to_prospector(self._ds, photometry, bands, **options)

    def attach_fit(self, model: Any, wavelength: Any = None, **options: Any) -> xr.Dataset:
        """Return the spectrum with a fit: model and parameters; see :func:`campfire.handoffs.attach_fit`.

        Options are ``parameters``, ``tool``, ``tool_version`` and ``inputs``.
        """
        from campfire.handoffs import attach_fit

        return attach_fit(self._ds, model, wavelength, **options)
