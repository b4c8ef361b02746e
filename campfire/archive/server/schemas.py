"""The shapes of every answer, for the OpenAPI page and for checks; answers are not validated at run time."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = [
    "AuthError",
    "DataError",
    "Metadata",
    "ObjectPage",
    "Observations",
    "PhotometrySync",
    "SpectrumPage",
    "SyncLists",
    "SyncObjects",
    "SyncSpectra",
    "Wire",
    "errors",
]


class Wire(BaseModel):
    """Base of answers: the fields of the contract and no others."""

    model_config = ConfigDict(extra="forbid")


class DataError(BaseModel):
    """Error of a data endpoint."""

    error: str


class AuthError(BaseModel):
    """Error of an auth endpoint."""

    error: str
    error_description: str
    interval: int | None = None


def errors(model: type[BaseModel], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the ``responses=`` of a route that can refuse with these statuses."""
    return {status: {"model": model} for status in statuses}


class Pagination(Wire):
    """Where a page lies."""

    total: int
    limit: int
    offset: int


class MemberTarget(Wire):
    """One target of an object."""

    target_id: str
    program_slug: str
    observation: str
    redshift_auto: float | None


class TagLabel(Wire):
    """One tag of an object, as ``/objects`` shows it."""

    id: int
    name: str
    slug: str
    icon: str | None
    color: str | None


class ObjectBase(Wire):
    """What ``/objects`` and ``/sync/objects`` both say of an object."""

    id: int
    object_id: str
    field: str
    ra: float
    dec: float
    n_targets: int
    n_spectra: int
    programs: list[str]
    gratings: list[str]
    max_snr: float | None
    max_exposure_time: float | None
    redshift: float | None
    redshift_quality: int
    redshift_inspected: float | None
    redshift_auto: float | None
    inspected_used_auto: bool
    last_inspected_at: str | None
    last_inspected_by: str | None
    last_data_change_at: str | None
    staleness_reason: str | None
    version: int
    is_active: bool
    photo_z: float | None
    has_photometry: bool
    created_at: str | None


class ListedObject(ObjectBase):
    """One row of ``/objects``."""

    distance: float | None
    member_targets: list[MemberTarget]
    lists: list[TagLabel]


class ObjectPage(Wire):
    """A page of objects."""

    data: list[ListedObject]
    pagination: Pagination


class ListedSpectrum(Wire):
    """One row of ``/spectra/list``; ``object_id`` only from a server run with ``--fixed``."""

    id: int
    spectrum_id: str
    grating: str
    fits_path: str
    target_id: str
    parent_object_id: str | None
    object_id: str | None = None
    program_slug: str
    field: str
    observation: str
    program_name: str | None
    ra: float
    dec: float
    redshift: float | None
    redshift_inspected: float | None
    redshift_quality: int | None
    last_inspected_at: str | None
    last_inspected_by: str | None
    max_snr: float | None
    max_exposure_time: float | None
    created_at: str | None
    updated_at: str | None
    distance: float | None
    signal_to_noise: float | None
    exposure_time: float | None
    redshift_auto: float | None
    dq_flags: int
    file_hash: str | None
    file_size: int | None
    thumbnail_svg_fnu: None
    thumbnail_svg_flambda: None


class SpectrumPage(Wire):
    """A page of spectra."""

    data: list[ListedSpectrum]
    pagination: Pagination


class Program(Wire):
    """One program."""

    slug: str
    program_name: str
    pi_name: str | None
    is_public: bool | None


class Metadata(Wire):
    """Vocabulary."""

    programs: list[Program]
    fields: list[str]
    gratings: list[str]
    observations: list[str]


class Observation(Wire):
    """One row of ``/observations``."""

    observation: str
    program_slug: str
    program_name: str
    field: str
    target_count: int
    spectrum_count: int
    total_size_bytes: int
    pointings: list[dict[str, Any]] | None
    reduction_version: str | None
    crds_context: str | None
    cfpipe_version: str | None
    jwst_version: str | None
    reduced_at: str | None
    deployed_at: str | None
    last_patch_at: str | None
    deployed_by_username: str | None
    deployed_by_full_name: str | None
    n_patches_since_full: int


class Observations(Wire):
    """Every observation the caller can read."""

    observations: list[Observation]


class NestedSpectrum(Wire):
    """One spectrum inside a row of ``/sync/objects``."""

    id: int
    target_id: str
    grating: str
    signal_to_noise: float | None
    exposure_time: float | None
    redshift_auto: float | None
    dq_flags: int


class SyncedObject(ObjectBase):
    """One row of ``/sync/objects``; ``observations`` only from a server run with ``--fixed``."""

    photo_z_err_lo: float | None
    photo_z_err_hi: float | None
    updated_at: str
    member_target_ids: list[str]
    spectra: list[NestedSpectrum]
    lists: list[str]
    observations: list[str] | None = None


class SyncObjects(Wire):
    """A page of ``/sync/objects``."""

    data: list[SyncedObject]
    pagination: Pagination
    total_accessible_count: int | None = None


class SyncedSpectrum(Wire):
    """One row of ``/sync/spectra``."""

    id: int
    spectrum_id: str
    target_id: str
    object_id: str | None
    grating: str
    fits_path: str
    file_hash: str | None
    file_size: int | None
    signal_to_noise: float | None
    exposure_time: float | None
    reduction_version: str | None
    redshift_auto: float | None
    dq_flags: int
    program_slug: str
    observation: str
    field: str
    created_at: str | None
    updated_at: str


class SyncSpectra(Wire):
    """A page of ``/sync/spectra``."""

    data: list[SyncedSpectrum]
    pagination: Pagination
    total_accessible_count: int | None = None


class PhotometryRecord(Wire):
    """One row of ``/sync/photometry``."""

    id: int
    object_id: str
    field: str
    catalog_name: str
    catalog_id: str | None
    match_distance_arcsec: float | None
    photometry: dict[str, Any]
    photo_z: float | None
    photo_z_err_lo: float | None
    photo_z_err_hi: float | None
    has_pz: bool
    created_at: str | None
    updated_at: str


class PhotometrySync(Wire):
    """A page of ``/sync/photometry``."""

    data: list[PhotometryRecord]
    pagination: Pagination


class TagRow(Wire):
    """One row of ``/sync/lists``."""

    id: int
    slug: str
    name: str
    description: str | None
    visibility: str
    is_system: bool
    created_by: str | None
    created_at: str | None
    updated_at: str | None
    member_count: int


class SyncLists(Wire):
    """Every tag the caller can see."""

    data: list[TagRow]
