"""Typed, xarray-centric access to the CAMPFIRE archive of JWST/NIRSpec spectra.

Public names are imported when they are first used, so that ``import campfire`` is quick. The ``.campfire``
accessors are registered as soon as xarray is loaded, whichever of the two is imported first; so is the
format "campfire" of ``specutils.Spectrum.read`` and ``.write`` as soon as specutils is.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from campfire.accessors import install as _install_accessors
from campfire.plugins.specutils_io import install as _install_specutils_format

_HOMES = {
    "campfire.client": ("Campfire",),
    "campfire.models": ("Band", "Object", "Photometry", "Spectrum", "SpectrumCollection", "SpectrumData"),
    "campfire.collection.arrow": ("from_arrow", "from_parquet"),
    "campfire.collection.saved": ("from_zarr",),
    "campfire.convert.sky_index": ("SkyIndex",),
    "campfire.errors": (
        "APIError",
        "AuthenticationError",
        "CampfireError",
        "CampfireWarning",
        "DownloadError",
        "NotFoundError",
        "ValidationError",
    ),
    "campfire.flags": (
        "DQFlags",
        "FlagQuery",
        "RedshiftQuality",
        "decode_flags",
        "encode_flags",
        "list_flags",
    ),
    "campfire.units": ("convert_flux_units",),
    "campfire.linelist": ("EMISSION_LINES", "get_emission_lines"),
    "campfire.analysis.lines": ("measure_lines",),
    "campfire.analysis.noise": ("Noise", "measure_noise", "with_noise"),
    "campfire.analysis.redshifts": ("RedshiftResult", "fit_redshift", "fit_redshifts"),
    "campfire.calibration": (
        "CalibrationResult",
        "StackResult",
        "calibrate_and_stack",
        "calibrate_to_photometry",
        "resample_spectrum",
        "stack_spectra",
        "synthetic_photometry",
    ),
    "campfire.imaging": ("plot_cutout",),
    "campfire.plotting.interactive": ("plot_redshift_fit", "plot_spectrum", "plot_spectrum_simple"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

_MODULES = ("handoffs",)

__all__ = ["__version__", *_MODULES, *sorted(_HOME_OF)]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from campfire.installation import VERSION

        value: Any = VERSION
    elif name in _MODULES:
        value = import_module(f"campfire.{name}")
    elif name in _HOME_OF:
        value = getattr(import_module(_HOME_OF[name]), name)
    else:
        raise AttributeError(f"module 'campfire' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_install_accessors()
_install_specutils_format()
