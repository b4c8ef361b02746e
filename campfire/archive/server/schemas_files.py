"""The shapes of answers about files, images and sign-in; see :mod:`campfire.archive.server.schemas`."""

from __future__ import annotations

from campfire.archive.server.schemas import Wire

__all__ = [
    "Device",
    "Done",
    "FileLink",
    "Manifest",
    "Revoked",
    "ShutterField",
    "SpectrumPreview",
    "Tokens",
    "Valid",
    "Version",
    "WhoAmI",
    "ZFit",
]


class ManifestFile(Wire):
    """One file of an observation."""

    spectra_id: int
    spectrum_id: str
    target_id: str
    grating: str
    fits_path: str
    file_hash: str | None
    file_size: int | None
    signal_to_noise: float | None
    reduction_version: str | None
    download_url: str


class Manifest(Wire):
    """The files of an observation, each with a link that needs no token."""

    observation: str
    program_slug: str | None
    program_name: str | None
    field: str | None
    target_count: int
    spectrum_count: int
    total_size_bytes: int
    url_expires_at: str
    spectra: list[ManifestFile]


class FileLink(Wire):
    """A link to one file."""

    url: str


class SpectrumPreview(Wire):
    """Arrays to plot one spectrum from."""

    wave: list[float]
    fnu: list[float | None]
    fnu_err: list[float | None]
    snr_2d: list[list[float]]
    n_spatial: int
    n_wave: int
    profile: list[float]
    profile_fit: list[float]
    profile_pix: list[float]


class ZFit(Wire):
    """A redshift fit."""

    redshift: float
    chi2_min: float
    confidence: float
    z_grid: list[float]
    chi2_grid: list[float]
    model_wave: list[float]
    model_fnu: list[float]


class Shutter(Wire):
    """One shutter; ``object_id`` is a target id."""

    object_id: str
    source_id: int
    center_ra: float
    center_dec: float
    position_angle: float
    shutter_idx: int
    dither_id: int
    shutter_state: str
    observation: str


class ShutterMeta(Wire):
    """What was asked for, and the size of a shutter."""

    shutter_width_arcsec: float
    shutter_height_arcsec: float
    center_ra: float
    center_dec: float
    radius_arcsec: float
    field: str


class ShutterField(Wire):
    """The shutters around an object."""

    shutters: list[Shutter]
    meta: ShutterMeta


class Version(Wire):
    """Versions of the official client."""

    latest: str
    minimum: str


class Device(Wire):
    """Codes of a device that wants to sign in."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class Tokens(Wire):
    """What a sign-in gives; the last three are always null here."""

    access_token: str
    token_type: str
    expires_in: int
    refresh_token: str
    supabase_token: str | None
    supabase_url: str | None
    supabase_anon_key: str | None


class Revoked(Wire):
    """A sign-in has ended."""

    revoked: bool


class Valid(Wire):
    """A device waits with this code."""

    valid: bool


class Done(Wire):
    """A device was approved or denied."""

    success: bool


class WhoAmI(Wire):
    """Whose token it is."""

    user_id: str
    email: str | None
    full_name: str | None
    is_admin: bool
    created_at: str
