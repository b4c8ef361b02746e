"""What the axes of a spectrum say: its frame, its unit, its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from campfire.arguments import choice
from campfire.schema import in_rest_frame
from campfire.units import FNU_UNIT

__all__ = ["flux_kind", "flux_label", "spectrum_title", "wave_label"]

_MICROJANSKY = {FNU_UNIT, "µJy", "μJy", "microJy", "microjansky"}
_RELATIVE = {"", "1", "relative", "normalised", "normalized", "dimensionless"}


def flux_kind(flux_unit: str) -> str:
    """Return ``"fnu"`` or ``"flam"`` for what users write (``"flambda"`` too).

    Raises
    ------
    ValidationError
        For any other name.
    """
    return "fnu" if choice(flux_unit, "flux_unit", ("fnu", "flam", "flambda")) == "fnu" else "flam"


def wave_label(header: Mapping[str, Any] | None = None) -> str:
    """Return the label of the wavelength axis, in the frame the header says.

    Examples
    --------
    >>> wave_label(), wave_label({"STACKFRM": "rest"})
    ('Observed wavelength [μm]', 'Rest wavelength [μm]')
    """
    return f"{'Rest' if in_rest_frame(header) else 'Observed'} wavelength [μm]"


def flux_label(kind: str, header: Mapping[str, Any] | None = None, units: str = FNU_UNIT) -> str:
    r"""Return the label of the flux axis, in TeX.

    Parameters
    ----------
    kind
        ``"fnu"`` or ``"flam"``.
    header
        Cards; ``STACKNRM`` is the range in which the f_nu of spectra was normalised to 1.
    units
        Unit of f_nu as text; empty for relative fluxes.

    Examples
    --------
    >>> flux_label("fnu")
    '$f_\\nu$ [μJy]'
    >>> flux_label("fnu", {"STACKNRM": "1.5-2 um"})
    '$f_\\nu\\;/\\;\\langle f_\\nu\\rangle$ at 1.5–2 μm'
    """
    window = str((header or {}).get("STACKNRM") or "").removesuffix("um").strip().replace("-", "–")
    if window or units in _RELATIVE:
        if kind == "flam":
            return r"$f_\lambda$ [relative]"
        return rf"$f_\nu\;/\;\langle f_\nu\rangle$ at {window} μm" if window else r"$f_\nu$ [relative]"
    if kind == "flam":
        return r"$f_\lambda$ [erg s$^{-1}$ cm$^{-2}$ Å$^{-1}$]"
    return rf"$f_\nu$ [{'μJy' if units in _MICROJANSKY else units}]"


def spectrum_title(spectrum_id: str, grating: str) -> str:
    """Return the name of a spectrum with its grating, unless the name of a stack says it already.

    Examples
    --------
    >>> spectrum_title("ember_1", "PRISM"), spectrum_title("stack:PRISM:3spectra", "PRISM")
    ('ember_1  PRISM', 'stack:PRISM:3spectra')
    """
    known = grating in spectrum_id.split(":")
    return spectrum_id if known else f"{spectrum_id}  {grating}".strip()
