"""``Dataset.campfire``: the functions that belong to a spectrum, or to one grating of a collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from campfire.accessors import dataset_functions
from campfire.accessors.handoffs import Handoffs
from campfire.accessors.method_list import Listed
from campfire.schema import mended

if TYPE_CHECKING:
    import numpy as np
    import xarray as xr
    from astropy.table import QTable
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from specutils import Spectrum

    from campfire.analysis.calibration import CalibrationMethod
    from campfire.analysis.line_arrays import LineMethod
    from campfire.analysis.noise import Noise
    from campfire.analysis.redshift_result import RedshiftResult
    from campfire.models import Photometry, SpectrumData
    from campfire.typing import BandpassLike

__all__ = ["DatasetAccessor"]


class DatasetAccessor(Handoffs, Listed):
    """Methods of a Dataset that follows the campfire schema; each forwards to a function.

    Parameters
    ----------
    ds
        One spectrum, or a collection of one grating.
    """

    _title = "Dataset.campfire"

    def __init__(self, ds: xr.Dataset) -> None:
        self._ds = mended(ds)

    def to_spectrum(self) -> SpectrumData:
        """Return the spectrum, also of a collection of one; see :meth:`campfire.SpectrumData.from_xarray`."""
        if dataset_functions.is_collection(self._ds) and self._ds.sizes["spectrum"] == 1:
            return self.to_spectra()[0]
        from campfire.models import SpectrumData

        return SpectrumData.from_xarray(self._ds)

    def to_specutils(self) -> Spectrum:
        """Return a ``specutils.Spectrum``; see :meth:`campfire.SpectrumData.to_specutils`."""
        return self.to_spectrum().to_specutils()

    def to_table(self) -> QTable:
        """Return an ``astropy.table.QTable``; see :meth:`campfire.SpectrumData.to_table`."""
        return self.to_spectrum().to_table()

    def to_spectra(self) -> list[SpectrumData]:
        """Return the spectra of a collection in order (of one spectrum: a list of one)."""
        if not dataset_functions.is_collection(self._ds):
            return [self.to_spectrum()]
        from campfire.analysis.collection_summary import collection_spectra

        return collection_spectra(self._ds)

    def indexed(self) -> xr.Dataset:
        """Give coordinates their indexes back; see :func:`campfire.convert.wavelength_index.indexed`."""
        from campfire.convert.wavelength_index import indexed

        return indexed(self._ds)

    def good(self, ignore: dataset_functions.Ignored = 0) -> xr.DataArray:
        """Return where pixels are good; see :func:`campfire.accessors.dataset_functions.good_pixels`."""
        return dataset_functions.good_pixels(self._ds, ignore)

    def to_restframe(self, z: float) -> xr.Dataset:
        """Move a spectrum to the rest frame: :func:`campfire.accessors.dataset_functions.to_restframe`."""
        return dataset_functions.to_restframe(self._ds, z)

    def resample(self, grid: ArrayLike | str, covariance: bool | None = None) -> xr.Dataset:
        """Bring everything onto one grid of microns, conserving flux.

        ``covariance`` says whether the result has ``fnu_cov``: by default a spectrum
        (:func:`campfire.accessors.dataset_functions.resample`) does not and a collection does
        (:func:`campfire.analysis.resampling.resample_collection`), for which ``grid="common"`` takes the
        wavelengths of the row with most pixels.
        """
        if not dataset_functions.is_collection(self._ds):
            return dataset_functions.resample(
                self._ds, grid, covariance=False if covariance is None else covariance
            )
        from campfire.analysis.resampling import resample_collection

        return resample_collection(self._ds, grid, covariance=True if covariance is None else covariance)

    def synthetic_photometry(
        self, bands: str | BandpassLike | Sequence[str | BandpassLike], *, min_coverage: float = 0.95
    ) -> xr.Dataset:
        """Measure ``flux``, ``flux_err`` and ``coverage`` over ``band`` (and ``spectrum``).

        See :func:`campfire.accessors.dataset_functions.synthetic_photometry` and, for a collection,
        :func:`campfire.analysis.photometry.collection_photometry`.
        """
        if not dataset_functions.is_collection(self._ds):
            return dataset_functions.synthetic_photometry(self._ds, bands, min_coverage=min_coverage)
        from campfire.analysis.photometry import collection_photometry

        return collection_photometry(self._ds, bands, min_coverage=min_coverage)

    def calibrate(
        self,
        photometry: Photometry | Mapping[str, Photometry | None],
        method: CalibrationMethod = "chebyshev",
        **options: Any,
    ) -> xr.Dataset:
        """Calibrate to photometry: options are ``bands``, ``degree``, ``min_snr``, ``error_floor``.

        ``photometry`` may be object id -> photometry. See
        :func:`campfire.accessors.dataset_functions.calibrate` and, for a collection,
        :func:`campfire.analysis.calibration.calibrate_collection`.
        """
        if not dataset_functions.is_collection(self._ds):
            return dataset_functions.calibrate(self._ds, photometry, method, **options)
        from campfire.analysis.calibration import calibrate_collection

        return calibrate_collection(self._ds, photometry, method, **options)

    def stack(
        self,
        method: str = "weighted_mean",
        grid: ArrayLike | str | None = None,
        redshift: Any = None,
        normalize: tuple[float, float] | None = None,
        sigma_clip: float | None = None,
        *,
        object_id: str | None = None,
        rng: int | np.random.Generator | None = None,
        match_resolution: bool = False,
        jackknife: bool = False,
        by: Any = None,
        bins: Any = None,
    ) -> xr.Dataset:
        """Stack a collection; see :func:`campfire.analysis.stack_collections.stack_collection`.

        With ``by``, group by group: see :func:`campfire.analysis.stack_groups.stack_groups`.
        """
        options: dict[str, Any] = {
            "object_id": object_id,
            "rng": rng,
            "match_resolution": match_resolution,
            "jackknife": jackknife,
        }
        options |= {"method": method, "grid": grid, "redshift": redshift}
        return dataset_functions.stacking(by, bins)(
            self._ds, normalize=normalize, sigma_clip=sigma_clip, **options
        )

    def measure_lines(
        self,
        lines: Sequence[str | float] | None = None,
        redshift: float | Sequence[float] | None = None,
        *,
        width: float | str = "tied",
        method: LineMethod | None = None,
        broad: bool = False,
    ) -> xr.Dataset:
        """Measure emission lines of one spectrum or of every row; see :func:`campfire.measure_lines`."""
        from campfire.analysis.lines import measure_lines

        return measure_lines(self._ds, lines, redshift, width=width, method=method, broad=broad)

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
            self._ds,
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

        return fit_redshifts(self._ds, redshift_range=redshift_range, templates=templates)

    def measure_noise(self, *, repeats: bool = False, lags: int = 3) -> Noise:
        """Measure size and correlation of the noise; see :func:`campfire.measure_noise`."""
        from campfire.analysis.noise import measure_noise

        return measure_noise(self._ds, repeats=repeats, lags=lags)

    def with_noise(self, noise: Noise) -> xr.Dataset:
        """Put measured errors and their correlation in; see :func:`campfire.with_noise`."""
        from campfire.analysis.noise import with_noise

        return with_noise(self._ds, noise)

    def select(
        self,
        *,
        dq_flags: object = None,
        min_snr: float | None = None,
        redshift_range: tuple[float | None, float | None] | None = None,
        redshift_quality: int | str | Iterable[int | str] | None = None,
    ) -> xr.Dataset:
        """Keep spectra that meet conditions: :func:`campfire.analysis.collection_summary.select_spectra`."""
        from campfire.analysis.collection_summary import select_spectra

        return select_spectra(
            self._ds,
            dq_flags=dq_flags,
            min_snr=min_snr,
            redshift_range=redshift_range,
            redshift_quality=redshift_quality,
        )

    def cone(self, centre: Any = None, radius: Any = None, *, ra: Any = None, dec: Any = None) -> xr.Dataset:
        """Keep spectra within a circle on the sky; see :func:`campfire.analysis.selecting.in_cone`.

        The circle is ``(ra, dec, radius)`` in degrees and arcseconds as in ``cone_search=``, a ``SkyCoord``
        and a radius, or ``ra=``, ``dec=`` and ``radius=``, each a number or a Quantity. Rows have the
        coordinate ``separation``, in arcseconds.
        """
        from campfire.analysis.selecting import cone_of, in_cone

        return in_cone(self._ds, cone_of(centre, radius, ra, dec))

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
    ) -> xr.Dataset:
        """Find spectra by position or name, and pixels by observed or rest-frame wavelength.

        Parameters
        ----------
        wavelength, rest_wavelength
            A number of microns or Quantity, a list, or a slice of them, as ``Dataset.sel`` takes them.
        ra, dec
            Position (degrees or Quantities), or two lists; with ``method="nearest"``. All spectra at the
            nearest position are selected, with the coordinate ``separation`` in arcseconds.
        spectrum_id, object_id
            Names; all spectra of an object.
        method, tolerance
            As for ``Dataset.sel``: of the position where there is one (an angle, or arcseconds), else of the
            wavelength (a length, or microns).

        Returns
        -------
        xarray.Dataset
            A collection stays a collection, also of one spectrum.

        Raises
        ------
        NotFoundError
            If there is no such spectrum or pixel.
        ValidationError
            For labels that are none or do not go together, and wavelengths where each spectrum has its own.
        """
        from campfire.analysis.selecting import Labels, select_labels

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
        return select_labels(self._ds, labels)

    def rest_wavelength(self, redshift: Any = None) -> xr.DataArray:
        """Return wavelength / (1 + z); see :func:`campfire.analysis.selecting.rest_wavelength`."""
        from campfire.analysis.selecting import rest_wavelength

        return rest_wavelength(self._ds, redshift)

    def plot(self, *, ax: Axes | None = None, **options: Any) -> Axes:
        """Draw a spectrum with the model fitted to it, or a collection as an image, with matplotlib.

        Options are those of :meth:`campfire.SpectrumData.plot` and, for a collection, of
        :func:`campfire.analysis.collection_summary.plot_collection`.
        """
        if not dataset_functions.is_collection(self._ds):
            return dataset_functions.draw_fit(self._ds, self.to_spectrum().plot(ax=ax, **options), **options)
        from campfire.analysis.collection_summary import plot_collection

        return plot_collection(self._ds, ax=ax, **options)
