"""``Dataset.campfire.to_<tool>()``: the hand-offs in :mod:`campfire.handoffs`, and the fit coming back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

    from campfire.handoffs import Inputs

__all__ = ["Handoffs", "TreeHandoffs"]


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

    def to_msaexp(self, **options: Any) -> Inputs:
        """Return the argument of msaexp's ``SpectrumSampler``; see :func:`campfire.handoffs.to_msaexp`."""
        from campfire.handoffs import to_msaexp

        return to_msaexp(self._ds, **options)

    def to_jwspecfit(self, **options: Any) -> Inputs:
        """Return the arguments of ``jwspecfit.Spectrum``; see :func:`campfire.handoffs.to_jwspecfit`."""
        from campfire.handoffs import to_jwspecfit

        return to_jwspecfit(self._ds, **options)

    def to_redrock(self, **options: Any) -> Inputs:
        """Return the arguments of redrock's ``Spectrum``; see :func:`campfire.handoffs.to_redrock`."""
        from campfire.handoffs import to_redrock

        return to_redrock(self._ds, **options)

    def to_jdaviz(self) -> Inputs:
        """Return the arguments of jdaviz' ``load``; see :func:`campfire.handoffs.to_jdaviz`."""
        from campfire.handoffs import to_jdaviz

        return to_jdaviz(self._ds)

    def to_lsdb(self) -> Inputs:
        """Return a collection for ``lsdb.from_dataframe``; see :func:`campfire.handoffs.to_lsdb`."""
        from campfire.handoffs import to_lsdb

        return to_lsdb(self._ds)

    def to_mmu(self) -> Inputs:
        """Return a collection as the Multimodal Universe has it; see :func:`campfire.handoffs.to_mmu`."""
        from campfire.handoffs import to_mmu

        return to_mmu(self._ds)

    def attach_fit(self, model: Any, wavelength: Any = None, **options: Any) -> xr.Dataset:
        """Return the spectrum with a fit: model and parameters; see :func:`campfire.handoffs.attach_fit`.

        Options are ``parameters``, ``tool``, ``tool_version`` and ``inputs``.
        """
        from campfire.handoffs import attach_fit

        return attach_fit(self._ds, model, wavelength, **options)


class TreeHandoffs:
    """The same for the collections of a tree."""

    _tree: xr.DataTree

    def to_lsdb(self) -> Inputs:
        """Return the spectra for ``lsdb.from_dataframe``; see :func:`campfire.handoffs.to_lsdb`."""
        from campfire.handoffs import to_lsdb

        return to_lsdb(self._tree)

    def to_mmu(self) -> Inputs:
        """Return the spectra as the Multimodal Universe has them; see :func:`campfire.handoffs.to_mmu`."""
        from campfire.handoffs import to_mmu

        return to_mmu(self._tree)
