"""``DataTree.campfire``: the analysis of a collection, grating by grating."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from campfire.accessors import dataset_functions
from campfire.accessors.handoffs import TreeHandoffs
from campfire.accessors.method_list import Listed
from campfire.arguments import mapping, shown
from campfire.errors import ValidationError
from campfire.schema import as_rows, mended

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from specutils import SpectrumList

    from campfire.analysis.calibration import CalibrationMethod
    from campfire.analysis.line_arrays import LineMethod
    from campfire.analysis.noise import Noise
    from campfire.analysis.redshift_result import RedshiftResult
    from campfire.models import Photometry, SpectrumData
    from campfire.typing import BandpassLike

__all__ = ["DataTreeAccessor"]


class DataTreeAccessor(TreeHandoffs, Listed):
    """Methods of a collection as ``open_collection`` gives it; a tree gives a tree.

    Parameters
    ----------
    tree
        One child a grating.
    """

    _title = "DataTree.campfire"

    def __init__(self, tree: xr.DataTree) -> None:
        self._tree = tree

    def _groups(self) -> dict[str, xr.Dataset]:
        """Return the collections in the tree by their path; of single spectra, collections of that row."""
        found = {
            node.path: as_rows(mended(node.to_dataset()))
            for node in self._tree.subtree
            if "fnu" in node.data_vars and "extraction" not in node.dims
        }
        if not found:
            names = ", ".join(self._tree.children) or "none"
            raise ValidationError(
                f"no collection in this tree (children: {names})", hint="use a tree of open_collection()"
            )
        return found

    def _each(
        self, function: Callable[..., xr.Dataset], *args: Any, skip_empty: bool = False, **options: Any
    ) -> xr.DataTree:
        groups = self._groups()
        if skip_empty and any(ds.sizes["spectrum"] for ds in groups.values()):
            groups = {path: ds for path, ds in groups.items() if ds.sizes["spectrum"]}
        results = {}
        for path, ds in groups.items():
            result = function(ds, *args, **options)
            single = "spectrum" not in self._tree[path].dims and "spectrum" in result.dims
            results[path] = result.isel(spectrum=0) if single else result
        return self._with(results)

    def _with(self, groups: Mapping[str, xr.Dataset]) -> xr.DataTree:
        """Return a tree of other Datasets, given by the paths of this one."""
        import xarray as xr

        root = self._tree.path
        results: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=dict(self._tree.attrs))}
        for path, ds in groups.items():
            results["/" + path.removeprefix(root).strip("/")] = ds
        return xr.DataTree.from_dict(results, name=self._tree.name)

    def indexed(self) -> xr.DataTree:
        """Give coordinates their indexes back; see :func:`campfire.convert.wavelength_index.indexed`."""
        from campfire.convert.wavelength_index import indexed

        return self._each(indexed)

    def resample(self, grid: ArrayLike | str = "common", covariance: bool = True) -> xr.DataTree:
        """Bring every grating onto one grid; see :func:`campfire.analysis.resampling.resample_collection`."""
        from campfire.analysis.resampling import resample_collection

        return self._each(resample_collection, grid, covariance=covariance)

    def synthetic_photometry(
        self, bands: str | BandpassLike | Sequence[str | BandpassLike], *, min_coverage: float = 0.95
    ) -> xr.DataTree:
        """Measure every spectrum; see :func:`campfire.analysis.photometry.collection_photometry`."""
        from campfire.analysis.photometry import collection_photometry

        return self._each(collection_photometry, bands, min_coverage=min_coverage)

    def calibrate(
        self,
        photometry: Photometry | Mapping[str, Photometry | None],
        method: CalibrationMethod = "chebyshev",
        **options: Any,
    ) -> xr.DataTree:
        """Calibrate every spectrum; see :func:`campfire.analysis.calibration.calibrate_collection`.

        ``photometry`` is object id -> photometry, or one for all; options are ``bands``, ``degree``,
        ``min_snr``, ``error_floor``.
        """
        from campfire.analysis.calibration import calibrate_collection

        return self._each(calibrate_collection, photometry, method, **options)

    def stack(
        self,
        method: str = "weighted_mean",
        grid: ArrayLike | str | None = None,
        redshift: Any = None,
        normalize: tuple[float, float] | None = None,
        sigma_clip: float | None = None,
        *,
        rng: int | np.random.Generator | None = None,
        match_resolution: bool = False,
        jackknife: bool = False,
        by: Any = None,
        bins: Any = None,
    ) -> xr.DataTree:
        """Stack every grating; see :func:`campfire.analysis.stack_collections.stack_collection`.

        Gratings of no spectra are left out; ``redshift`` is the name of a coordinate, one value for all, or
        spectrum id -> value, or one value a spectrum where there is one grating. With ``by``, group by group:
        see :func:`campfire.analysis.stack_groups.stack_groups`.
        """
        options: dict[str, Any] = {
            "rng": rng,
            "match_resolution": match_resolution,
            "jackknife": jackknife,
            "sigma_clip": sigma_clip,
        }
        options |= {"method": method, "grid": grid, "redshift": redshift, "normalize": normalize}
        return self._each(dataset_functions.stacking(by, bins), **options, skip_empty=True)

    def measure_lines(
        self,
        lines: Sequence[str | float] | None = None,
        redshift: float | Sequence[float] | None = None,
        *,
        width: float | str = "tied",
        method: LineMethod | None = None,
        broad: bool = False,
    ) -> xr.Dataset:
        """Measure emission lines of all spectra, in one Dataset; see :func:`campfire.measure_lines`."""
        from campfire.analysis.lines import measure_lines

        return measure_lines(self._tree, lines, redshift, width=width, method=method, broad=broad)

    def fit_redshift(
        self,
        *,
        redshift_range: tuple[float, float] = (0.0, 15.0),
        offset_scatter: float = 0.2,
        templates: Sequence[tuple[Any, Any]] | None = None,
    ) -> RedshiftResult:
        """Fit one redshift to all spectra, those of one object; see :func:`campfire.fit_redshift`."""
        from campfire.analysis.redshifts import fit_redshift

        return fit_redshift(
            self._tree,
            redshift_range=redshift_range,
            offset_scatter=offset_scatter,
            templates=templates,
        )

    def fit_redshifts(
        self,
        *,
        redshift_range: tuple[float, float] = (0.0, 15.0),
        templates: Sequence[tuple[Any, Any]] | None = None,
    ) -> xr.Dataset:
        """Fit the redshift of every spectrum by itself; see :func:`campfire.fit_redshifts`."""
        from campfire.analysis.redshifts import fit_redshifts

        return fit_redshifts(self._tree, redshift_range=redshift_range, templates=templates)

    def measure_noise(self, *, repeats: bool = False, lags: int = 3) -> dict[str, Noise]:
        """Measure the noise of every grating that has spectra; see :func:`campfire.measure_noise`.

        Returns
        -------
        dict
            Grating -> noise.
        """
        from campfire.analysis.noise import measure_noise

        groups = {path.rsplit("/", 1)[-1]: ds for path, ds in self._groups().items()}
        return {
            name: measure_noise(ds, repeats=repeats, lags=lags)
            for name, ds in groups.items()
            if ds.sizes["spectrum"]
        }

    def with_noise(self, noise: Mapping[str, Noise]) -> xr.DataTree:
        """Put measured errors in, grating -> noise; see :func:`campfire.with_noise`."""
        from campfire.analysis.noise import with_noise
        from campfire.collection.coords import gratings_of

        if not isinstance(noise, Mapping):
            raise ValidationError(
                f"noise is {shown(noise)}", hint="pass what tree.campfire.measure_noise() returned"
            )

        def own(ds: xr.Dataset) -> xr.Dataset:
            names = set(gratings_of(ds))
            missing = sorted(names - set(noise))
            if missing:
                raise ValidationError(
                    f"no noise of {', '.join(missing)} (of {', '.join(noise) or 'nothing'})",
                    hint="pass what tree.campfire.measure_noise() returned",
                )
            return with_noise(ds, noise[names.pop()]) if names else ds

        return self._each(own)

    def select(
        self,
        *,
        dq_flags: object = None,
        min_snr: float | None = None,
        redshift_range: tuple[float | None, float | None] | None = None,
        redshift_quality: int | str | Iterable[int | str] | None = None,
    ) -> xr.DataTree:
        """Keep spectra that meet conditions: :func:`campfire.analysis.collection_summary.select_spectra`."""
        from campfire.analysis.collection_summary import select_spectra

        return self._each(
            select_spectra,
            dq_flags=dq_flags,
            min_snr=min_snr,
            redshift_range=redshift_range,
            redshift_quality=redshift_quality,
        )

    def cone(self, centre: Any = None, radius: Any = None, *, ra: Any = None, dec: Any = None) -> xr.DataTree:
        """Keep spectra within a circle on the sky; see :func:`campfire.analysis.selecting.in_cone`.

        The circle is given as for a Dataset. Only gratings that have spectra in it stay.
        """
        from campfire.analysis.selecting import cone_of, in_cone

        cone = cone_of(centre, radius, ra, dec)
        found = {path: in_cone(ds, cone) for path, ds in self._groups().items()}
        return self._with({path: ds for path, ds in found.items() if ds.sizes["spectrum"]})

    def sel(
        self,
        *,
        wavelength: Any = None,
        rest_wavelength: Any = None,
        ra: Any = None,
        dec: Any = None,
        spectrum_id: str | Sequence[str] | None = None,
        object_id: str | Sequence[str] | None = None,
        method: str | None = None,
        tolerance: Any = None,
    ) -> xr.DataTree:
        """Find spectra by position or name, and pixels by wavelength, as in a Dataset.

        Arguments are those of :meth:`campfire.accessors.dataset.DatasetAccessor.sel`. Only gratings
        that have one of the spectra stay; ``method="nearest"`` finds the nearest of each.

        Raises
        ------
        NotFoundError
            For a spectrum that no grating has.
        """
        from campfire.analysis.selecting import Labels, select_labels_in

        labels = Labels.of(
            wavelength=wavelength,
            rest_wavelength=rest_wavelength,
            ra=ra,
            dec=dec,
            spectrum_id=spectrum_id,
            object_id=object_id,
            method=method,
            tolerance=tolerance,
        )
        return self._with(select_labels_in(self._groups(), labels))

    def to_zarr(self, where: str | os.PathLike[str]) -> None:
        """Write one Zarr group, readable when it is whole; see :func:`campfire.collection.saved.to_zarr`.

        ``where`` is a new folder or ``s3://bucket/prefix``; :func:`campfire.from_zarr` opens it.
        """
        from campfire.collection.saved import to_zarr

        to_zarr(self._tree, where)

    def to_parquet(self, path: str | os.PathLike[str]) -> None:
        """Write one Parquet file, a row a spectrum; see :func:`campfire.collection.arrow.to_parquet`.

        :func:`campfire.from_parquet` reads it.
        """
        from campfire.collection.arrow import to_parquet

        to_parquet(self._tree, path)

    def to_arrow(self) -> pa.Table:
        """Return a table of Arrow, a row a spectrum; see :func:`campfire.collection.arrow.to_arrow`."""
        from campfire.collection.arrow import to_arrow

        return to_arrow(self._tree)

    def to_specutils(self) -> SpectrumList:
        """Return a ``specutils.SpectrumList`` of all spectra, grating after grating.

        Each is that of :meth:`campfire.SpectrumData.to_specutils`, whose ``from_specutils`` is the way back.
        """
        spectra = [spectrum.to_specutils() for spectrum in self.to_spectra()]
        from specutils import SpectrumList

        return SpectrumList(spectra)

    def to_spectra(self) -> list[SpectrumData]:
        """Return all spectra as ``SpectrumData``, grating after grating; computes what is lazy."""
        from campfire.analysis.collection_summary import collection_spectra

        return [spectrum for ds in self._groups().values() for spectrum in collection_spectra(ds)]

    def summary(self) -> dict[str, dict[str, Any]]:
        """Return what each grating holds; see :func:`campfire.analysis.collection_summary.summarise`."""
        from campfire.analysis.collection_summary import summarise

        return {path.rsplit("/", 1)[-1]: summarise(ds) for path, ds in self._groups().items()}

    def plot(
        self, *, axes: Mapping[str, Axes] | None = None, sort: str | None = "redshift"
    ) -> dict[str, Axes]:
        """Draw every grating as an image; see :func:`campfire.analysis.collection_summary.plot_collection`.

        Parameters
        ----------
        axes
            Grating -> axes to draw on; a new figure for every other one.
        sort
            Coordinate by which rows are sorted.

        Returns
        -------
        dict
            Grating -> axes.
        """
        from campfire.analysis.collection_summary import plot_collection

        chosen = mapping({} if axes is None else axes, "axes", "grating -> matplotlib axes")
        drawn = {}
        for path, ds in self._groups().items():
            name = path.rsplit("/", 1)[-1]
            if ds.sizes["spectrum"]:
                drawn[name] = plot_collection(ds, ax=chosen.get(name), sort=sort)
        return drawn
