"""``SpectrumData``: the arrays of one spectrum, and the ways into other containers."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

import numpy as np

from campfire.arguments import choice, known_number, path_text, text, truth
from campfire.convert.covariance import as_covariance, as_sparse
from campfire.convert.header_json import dump_header, plain_header
from campfire.errors import ValidationError
from campfire.schema import normalise_mask
from campfire.text import printed
from campfire.units import (
    FLAM_UNIT,
    FNU_UNIT,
    WAVE_UNIT,
    check_unit,
    fnu_to_flam,
    to_flam,
    to_microjansky,
    to_micron,
    unmasked,
)

if TYPE_CHECKING:
    import xarray as xr
    from astropy.table import QTable
    from astropy.units import Quantity
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array
    from specutils import Spectrum as SpecutilsSpectrum

    from campfire.kernels.covariance import Covariance
    from campfire.typing import BoolArray, Extraction, FloatArray, PathInput, SpectrumFields

    QuantityLike: TypeAlias = ArrayLike | Quantity

__all__ = ["SpectrumData"]

FluxUnit: TypeAlias = Literal["fnu", "flam", "flambda"]

_NOT_GIVEN: Any = None  # default of fields that are arrays once the spectrum is made


class _SparseCovariance:
    """The attribute ``covariance`` of a spectrum: sparse, whatever it is held as."""

    def __get__(self, spectrum: SpectrumData | None, owner: type[SpectrumData]) -> csr_array | None:
        held = None if spectrum is None else spectrum.pixel_covariance
        return None if held is None else as_sparse(held)

    def __set__(self, spectrum: SpectrumData, value: Any) -> None:
        spectrum._covariance = None if value is None else as_covariance(value, len(spectrum))


@dataclass(init=False, eq=False, repr=False)
class SpectrumData:
    """One spectrum: wavelengths, flux densities and errors of its pixels, its mask and its FITS header.

    Parameters
    ----------
    wavelength
        Pixel centres, shape (n,): microns in vacuum, or a Quantity of length, frequency or energy.
    fnu, fnu_err
        Flux density and its 1-sigma error, shape (n,): microjansky, or a Quantity in any f_nu or f_lambda
        unit. Float dtypes are kept, in native byte order.
    header
        FITS primary header as a dictionary; repeated cards are lists. Values are made plain.
    grating
        Name of the grating.
    spectrum_id
        Name of the spectrum.
    flam, flam_err
        f_lambda and its 1-sigma error, shape (n,): erg s-1 cm-2 angstrom-1 or a Quantity. Computed from
        ``fnu`` where not given.
    fits_path
        File the spectrum was read from, if any.
    fnu_units, flam_units, wave_units
        Units as text; a spelling of microjansky, erg s-1 cm-2 angstrom-1 and micron; ``"1"`` for relative
        fluxes, as of a normalised stack.
    mask
        True for pixels not to be used, shape (n,). Pixels whose flux or error is not finite, or whose error
        is not positive, are always masked.
    redshift
        Redshift of the object, where known.
    covariance
        Covariance of ``fnu``, shape (n, n), microjansky squared: given sparse or dense, scipy sparse as an
        attribute. A calibration correlates all pixels: there it has n * n values, which are made when asked
        for, and ``pixel_covariance`` holds the same as a few modes.
    resolving_power
        Wavelength over FWHM, shape (n,), NaN where unknown. Only for spectra whose resolving power is not
        that of ``grating`` at ``wavelength``, such as stacks.

    Raises
    ------
    ValidationError
        For arrays that are not one-dimensional or differ in length, and for wrong units.

    Examples
    --------
    >>> spec = SpectrumData([0.6, 1.0, 5.3], [1.0, 2.0, float("nan")], [0.1, 0.1, 0.1], {}, "PRISM", "demo_1")
    >>> spec
    SpectrumData(demo_1, PRISM, 3 pixels, 0.60-5.30 μm)
    >>> spec.mask
    array([False, False,  True])
    """

    wavelength: FloatArray
    fnu: FloatArray
    fnu_err: FloatArray
    header: dict[str, Any]
    grating: str
    spectrum_id: str
    flam: FloatArray = _NOT_GIVEN
    flam_err: FloatArray = _NOT_GIVEN
    fits_path: str | None = None
    fnu_units: str = FNU_UNIT
    flam_units: str = FLAM_UNIT
    wave_units: str = WAVE_UNIT
    mask: BoolArray = _NOT_GIVEN
    redshift: float | None = None
    _: KW_ONLY
    covariance: _SparseCovariance = _SparseCovariance()
    resolving_power: FloatArray | None = None

    def __init__(
        self,
        wavelength: QuantityLike,
        fnu: QuantityLike,
        fnu_err: QuantityLike,
        header: Any,
        grating: str,
        spectrum_id: str,
        flam: QuantityLike | None = None,
        flam_err: QuantityLike | None = None,
        fits_path: PathInput | None = None,
        fnu_units: str = FNU_UNIT,
        flam_units: str = FLAM_UNIT,
        wave_units: str = WAVE_UNIT,
        mask: ArrayLike | None = None,
        redshift: float | None = None,
        *,
        covariance: Any = None,
        resolving_power: ArrayLike | None = None,
    ) -> None:
        for name, units, unit in (
            ("wave_units", wave_units, WAVE_UNIT),
            ("fnu_units", fnu_units, FNU_UNIT),
            ("flam_units", flam_units, FLAM_UNIT),
        ):
            check_unit(name, str(units), unit)
        wavelength, hidden = unmasked(wavelength)
        self.wavelength = _vector("wavelength", to_micron(wavelength))
        self.fnu = self._pixels("fnu", to_microjansky(fnu, wavelength))
        self.fnu_err = self._pixels("fnu_err", to_microjansky(fnu_err, wavelength))
        self.header = plain_header(header)
        self.grating = text(grating, "grating")
        self.spectrum_id = text(spectrum_id, "spectrum_id")
        # What is computed is left out again by to_fields(), so that it cannot go stale.
        self._computed = frozenset(n for n, v in (("flam", flam), ("flam_err", flam_err)) if v is None)
        self.flam = self._density("flam", flam, self.fnu)
        self.flam_err = self._density("flam_err", flam_err, self.fnu_err)
        self.fits_path = None if fits_path is None or fits_path == "" else path_text(fits_path, "fits_path")
        self.fnu_units, self.flam_units, self.wave_units = str(fnu_units), str(flam_units), str(wave_units)
        self.mask = normalise_mask(self.fnu, self.fnu_err, mask)
        if hidden is not None:
            self.mask |= hidden
        self.redshift = known_number(redshift, "redshift")
        self._covariance: csr_array | Covariance | None = None
        self.covariance = covariance if len(self) else None
        self.resolving_power = None
        if resolving_power is not None and len(self):
            self.resolving_power = self._pixels("resolving_power", _power(resolving_power))

    def _pixels(self, name: str, values: FloatArray) -> FloatArray:
        result = _vector(name, values)
        if result.size != self.wavelength.size:
            raise ValidationError(
                f"{name} has {result.size} pixels, wavelength {self.wavelength.size}",
                hint="pass arrays of one length",
            )
        return result

    def _density(self, name: str, given: Any, source: FloatArray) -> FloatArray:
        if given is None:
            return fnu_to_flam(source, self.wavelength)
        return self._pixels(name, to_flam(given, self.wavelength))

    @classmethod
    def from_fits(
        cls,
        path: PathInput,
        spectrum_id: str = "",
        grating: str = "",
        extraction: Extraction = "optimal",
    ) -> Self:
        """Read a spectrum file.

        Parameters
        ----------
        path
            A CAMPFIRE ``_spec.fits``, an msaexp (DJA) ``.spec.fits``, plain or ``.gz``, or a JWST pipeline
            x1d file; told apart by their content.
        spectrum_id, grating
            Names to use; from the file where empty.
        extraction
            Which extraction of a CAMPFIRE file: ``optimal``, ``3px``, ``4px`` or ``5px``.

        Raises
        ------
        NotFoundError
            If there is no such file.
        ValidationError
            If the file is truncated, empty, of another layout or in other units; the message says what was
            found.
        """
        from campfire.formats.spec_reader import read_spectrum

        names = {"spectrum_id": text(spectrum_id, "spectrum_id"), "grating": text(grating, "grating")}
        fields = read_spectrum(path, extraction=extraction, **names)
        return cls(**fields)

    @classmethod
    def from_xarray(cls, ds: xr.Dataset) -> Self:
        """Make a spectrum from the Dataset of one; the inverse of :meth:`to_xarray`.

        Raises
        ------
        ValidationError
            If it is not the Dataset of one spectrum; the message names the variable.
        """
        from campfire.convert.dataset import from_dataset

        return cls(**from_dataset(ds))

    @classmethod
    def from_specutils(cls, spectrum: SpecutilsSpectrum) -> Self:
        """Make a spectrum from a ``specutils.Spectrum`` in any unit and with any uncertainty.

        Raises
        ------
        ValidationError
            For several dimensions, an axis that is not monotonic, another kind of flux, or no uncertainty.
        """
        from campfire.convert.specutils import from_specutils

        return cls(**from_specutils(spectrum))

    @classmethod
    def from_table(cls, table: QTable) -> Self:
        """Make a spectrum from a table as :meth:`to_table` gives it; ids, header and f_lambda may be missing.

        Raises
        ------
        ValidationError
            If a column is missing, masked or of a wrong unit.
        """
        from campfire.convert.table import from_qtable

        return cls(**from_qtable(table))

    @property
    def pixel_covariance(self) -> csr_array | Covariance | None:
        """``covariance`` as it is held: where it has modes, a ``Covariance``, which multiplies likewise."""
        return self._covariance

    def to_fields(self) -> SpectrumFields:
        """Return the fields as a dictionary: ``SpectrumData(**fields)`` is the same spectrum.

        ``flam`` and ``flam_err`` are None where they were computed, so that a changed ``fnu`` is followed.

        Examples
        --------
        >>> spec = SpectrumData([1.0], [2.0], [0.1], {}, "PRISM", "demo_1")
        >>> doubled = SpectrumData(**{**spec.to_fields(), "fnu": 2 * spec.fnu})
        >>> bool(doubled.flam[0] == 2 * spec.flam[0])
        True
        """
        return {
            "wavelength": self.wavelength,
            "fnu": self.fnu,
            "fnu_err": self.fnu_err,
            "header": self.header,
            "grating": self.grating,
            "spectrum_id": self.spectrum_id,
            "flam": None if "flam" in self._computed else self.flam,
            "flam_err": None if "flam_err" in self._computed else self.flam_err,
            "fits_path": self.fits_path,
            "fnu_units": self.fnu_units,
            "flam_units": self.flam_units,
            "wave_units": self.wave_units,
            "mask": self.mask,
            "redshift": self.redshift,
            "covariance": self.pixel_covariance,
            "resolving_power": self.resolving_power,
        }

    def to_xarray(self) -> xr.Dataset:
        """Return the Dataset of this spectrum: dimension ``wavelength``, mask bits in ``dq``."""
        from campfire.convert.dataset import to_dataset

        return to_dataset(self.to_fields())

    def to_specutils(self) -> SpecutilsSpectrum:
        """Return a ``specutils.Spectrum`` with ``StdDevUncertainty``, mask, and the rest in ``meta``.

        Raises
        ------
        ImportError
            If specutils is not installed.
        ValidationError
            If the wavelengths neither only rise nor only fall.
        """
        from campfire.convert.specutils import to_specutils

        return to_specutils(self.to_fields())

    def to_table(self) -> QTable:
        """Return an ``astropy.table.QTable`` of one row a pixel, with units; it survives ECSV unchanged."""
        from campfire.convert.table import to_qtable

        return to_qtable(self.to_fields())

    def write(self, path: PathInput, overwrite: bool = False) -> None:
        """Write a CAMPFIRE ``_spec.fits`` with the one-dimensional data.

        Raises
        ------
        ValidationError
            If the file exists and ``overwrite`` is False.
        """
        from campfire.formats.spec_writer import write_spectrum

        write_spectrum(path, self.to_fields(), overwrite=truth(overwrite, "overwrite"))

    def plot(
        self, flux_unit: FluxUnit = "fnu", show_errors: bool = True, ax: Axes | None = None, **kwargs: Any
    ) -> Axes:
        """Draw the spectrum with matplotlib; masked pixels leave gaps.

        Parameters
        ----------
        flux_unit
            ``"fnu"`` (microjansky), or ``"flam"`` or ``"flambda"`` (erg s-1 cm-2 angstrom-1).
        show_errors
            Draw the 1-sigma band.
        ax
            Axes to draw on; a new figure without it.
        **kwargs
            ``title`` or ``redshift`` (marks the emission lines); anything else goes to ``Axes.step``.

        Returns
        -------
        matplotlib.axes.Axes
            The axes drawn on.

        Raises
        ------
        ValidationError
            For another flux unit.
        ImportError
            If matplotlib is not installed.
        """
        from campfire.plotting.labels import spectrum_title
        from campfire.plotting.static import draw_spectrum

        in_flam = choice(flux_unit, "flux_unit", ("fnu", "flam", "flambda")) != "fnu"
        kwargs.setdefault("title", spectrum_title(self.spectrum_id, self.grating))
        return draw_spectrum(
            self.wavelength,
            self.flam if in_flam else self.fnu,
            self.flam_err if in_flam else self.fnu_err,
            mask=self.mask,
            flux_unit=flux_unit,
            show_errors=show_errors,
            header=self.header,
            fnu_units=self.fnu_units,
            ax=ax,
            **kwargs,
        )

    def __len__(self) -> int:
        return int(self.wavelength.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SpectrumData):
            return NotImplemented
        from campfire.kernels.covariance import same_covariance

        arrays = ("wavelength", "fnu", "fnu_err", "flam", "flam_err", "mask")
        texts = ("grating", "spectrum_id", "fits_path", "fnu_units", "flam_units", "wave_units", "redshift")
        return (
            all(getattr(self, name) == getattr(other, name) for name in texts)
            and all(_same(getattr(self, name), getattr(other, name)) for name in arrays)
            and (self.header == other.header or dump_header(self.header) == dump_header(other.header))
            and same_covariance(self.pixel_covariance, other.pixel_covariance)
            and _same_or_none(self.resolving_power, other.resolving_power)
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        n = len(self)
        names = [name for name in (self.spectrum_id, self.grating) if name]
        parts = [*names, f"{n} pixel" if n == 1 else f"{n} pixels"]
        finite = self.wavelength[np.isfinite(self.wavelength)]
        if finite.size:
            parts.append(f"{finite.min():.2f}-{finite.max():.2f} μm")
        return printed(f"SpectrumData({', '.join(parts)})")

    def _repr_html_(self) -> str:
        from campfire.models.html import spectrum_card

        return spectrum_card(self)


def _power(values: Any) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as err:
        raise ValidationError("resolving_power is not numbers", hint="pass one number a pixel") from err


def _vector(name: str, values: FloatArray) -> FloatArray:
    if values.ndim != 1:
        raise ValidationError(
            f"{name} has shape {values.shape}", hint="pass one-dimensional arrays, one value a pixel"
        )
    native = values.dtype.newbyteorder("=")
    if native.kind != "f":
        native = np.dtype(np.float64)
    return cast("FloatArray", np.ascontiguousarray(values, dtype=native))


def _same(a: FloatArray, b: FloatArray) -> bool:
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _same_or_none(a: FloatArray | None, b: FloatArray | None) -> bool:
    return a is b if a is None or b is None else _same(a, b)
