"""The service's routes as typed methods; paged ones are generators that hold one page at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from campfire.errors import APIError
from campfire.transport import routes

if TYPE_CHECKING:
    from campfire.transport.session import Session
    from campfire.typing import Page, RedshiftFit, Row, SpectrumPayload

__all__ = ["API", "PAGE", "Manifest", "Metadata"]

PAGE = 1000
"""Rows asked for at once; the service's own default."""
_SLOW = (10.0, 150.0)  # the service gives its sync queries 120 s


class Metadata(TypedDict):
    """What the service says there is; all but the programs may go beyond what the account can see."""

    programs: list[Row]
    fields: list[str]
    gratings: list[str]
    observations: list[str]


class Manifest(TypedDict):
    """The files of one observation, each with a signed address."""

    observation: str
    url_expires_at: str | None
    spectra: list[Row]


def _malformed(path: str, what: str) -> APIError:
    return APIError(f"GET {path}: {what}", hint="the service answered in a form this client does not know")


def _rows(body: Mapping[str, Any], key: str, path: str) -> list[Row]:
    rows = body.get(key)
    if rows is None:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise _malformed(path, f"{key!r} is not a list of rows")
    return rows


def _texts(body: Mapping[str, Any], key: str, path: str) -> list[str]:
    values = body.get(key)
    if values is None:
        return []
    if not isinstance(values, list):
        raise _malformed(path, f"{key!r} is not a list")
    return [v for v in values if isinstance(v, str)]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _numbers(values: object, path: str, key: str) -> list[Any]:
    """Lists (nested too) of numbers with None for whatever is not finite."""
    if not isinstance(values, list):
        raise _malformed(path, f"{key!r} is not a list of numbers")
    return [
        _numbers(v, path, key)
        if isinstance(v, list)
        else (v if isinstance(v, int | float) and math.isfinite(v) else None)
        for v in values
    ]


class API:
    """Typed calls to one service.

    Parameters
    ----------
    session
        Sends them.
    page
        Rows asked for at once by the paged ones.
    """

    def __init__(self, session: Session, *, page: int = PAGE) -> None:
        self._session = session
        self._page = page

    # --- catalogue ---------------------------------------------------------------------------------------

    def metadata(self) -> Metadata:
        """Programs, fields, gratings and observations."""
        path = routes.METADATA
        body = self._session.get_json(path)
        return Metadata(
            programs=_rows(body, "programs", path),
            fields=_texts(body, "fields", path),
            gratings=_texts(body, "gratings", path),
            observations=_texts(body, "observations", path),
        )

    def observations(self) -> list[Row]:
        """One row per observation, program and field, with counts and versions."""
        return _rows(self._session.get_json(routes.OBSERVATIONS), "observations", routes.OBSERVATIONS)

    def objects(
        self, params: Mapping[str, Any] | None = None, *, start: int = 0, page: int = PAGE
    ) -> Iterator[Page]:
        """Pages of objects that match, ``page`` rows each, from page number ``start`` on.

        The service turns an offset into a page number: only multiples of the page size are ever sent.
        """
        return self._aligned(routes.OBJECTS, params or {}, start, page)

    def spectra(
        self, params: Mapping[str, Any] | None = None, *, start: int = 0, page: int = PAGE
    ) -> Iterator[Page]:
        """Pages of spectra that match, as :meth:`objects`."""
        return self._aligned(routes.SPECTRA, params or {}, start, page)

    def _aligned(self, path: str, params: Mapping[str, Any], start: int, page: int) -> Iterator[Page]:
        number = start
        while True:
            query = {**params, "limit": page, "offset": number * page}
            body = self._session.get_json(path, query, timeout=_SLOW)
            rows, total = _rows(body, "data", path), _total(body)
            if total is not None and len(rows) < min(page, total - number * page):
                raise _malformed(path, f"{len(rows)} rows came at {number * page} of {total} rows")
            yield {"rows": rows, "total": total, "accessible": None}
            number += 1
            if not rows or (number * page >= total if total else len(rows) < page):
                return

    # --- synchronisation ---------------------------------------------------------------------------------

    def sync_objects(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of all objects, or of those updated since a time; all carry the totals of the first page."""
        return self._synced(routes.SYNC_OBJECTS, updated_since, counts=True)

    def sync_spectra(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of spectra, as :meth:`sync_objects`."""
        return self._synced(routes.SYNC_SPECTRA, updated_since, counts=True)

    def sync_photometry(self, updated_since: str | None = None) -> Iterator[Page]:
        """Pages of photometry records, as :meth:`sync_objects`."""
        return self._synced(routes.SYNC_PHOTOMETRY, updated_since, counts=False)

    def _synced(self, path: str, updated_since: str | None, *, counts: bool) -> Iterator[Page]:
        base: dict[str, Any] = {"limit": self._page}
        if updated_since is not None:
            base["updated_since"] = updated_since
        offset, total, accessible = 0, None, None
        while True:
            params = base | {"offset": offset}
            if counts and offset:
                params["include_counts"] = "false"  # counting is the slow part, and has been done
            body = self._session.get_json(path, params, timeout=_SLOW)
            rows = _rows(body, "data", path)
            if not offset:
                total, accessible = _total(body), _count(body.get("total_accessible_count"))
            yield {"rows": rows, "total": total, "accessible": accessible}
            # The offset is a true one: a page cut short by the service leaves no hole behind it.
            offset += len(rows)
            if not rows or (total is not None and offset >= total):
                return

    def sync_lists(self) -> list[Row]:
        """The tags this account may see."""
        return _rows(self._session.get_json(routes.SYNC_LISTS), "data", routes.SYNC_LISTS)

    # --- files and products ------------------------------------------------------------------------------

    def manifest(self, observation: str) -> Manifest:
        """Signed addresses of all files of an observation.

        Raises
        ------
        NotFoundError
            If the observation is unknown, empty, or not accessible.
        """
        path = routes.manifest(observation)
        body = self._session.get_json(path)
        expires = body.get("url_expires_at")
        return Manifest(
            observation=observation,
            url_expires_at=expires if isinstance(expires, str) else None,
            spectra=_rows(body, "spectra", path),
        )

    def file_url(self, fits_path: str) -> str:
        """Signed address of one file.

        Raises
        ------
        NotFoundError
            If the service does not know the path.
        """
        url = self._session.get_json(routes.FILE, {"path": fits_path}).get("url")
        if not isinstance(url, str):
            raise _malformed(routes.FILE, "'url' is missing")
        return url

    def spectrum(self, fits_path: str) -> SpectrumPayload:
        """The spectrum as prepared for plotting."""
        path = routes.SPECTRUM
        body = self._session.get_json(path, {"path": fits_path})
        shape = [_count(body.get(key)) for key in ("n_spatial", "n_wave")]
        if shape[0] is None or shape[1] is None:
            raise _malformed(path, "its shape is missing")
        return {
            "wave": _numbers(body.get("wave"), path, "wave"),
            "fnu": _numbers(body.get("fnu"), path, "fnu"),
            "fnu_err": _numbers(body.get("fnu_err"), path, "fnu_err"),
            "snr_2d": _numbers(body.get("snr_2d"), path, "snr_2d"),
            "n_spatial": shape[0],
            "n_wave": shape[1],
            "profile": _numbers(body.get("profile"), path, "profile"),
            "profile_fit": _numbers(body.get("profile_fit"), path, "profile_fit"),
            "profile_pix": _numbers(body.get("profile_pix"), path, "profile_pix"),
        }

    def redshift_fit(self, fits_path: str) -> RedshiftFit:
        """The automated redshift fit; the service knows it by the file's path only.

        Raises
        ------
        NotFoundError
            If there is no fit for that spectrum.
        """
        path = routes.REDSHIFT_FIT
        body = self._session.get_json(path, {"path": fits_path})
        scalars = {key: body.get(key) for key in ("redshift", "chi2_min", "confidence")}
        if not all(isinstance(v, int | float) for v in scalars.values()):
            raise _malformed(path, "redshift, chi2_min or confidence is missing")
        return {
            "redshift": float(body["redshift"]),
            "chi2_min": float(body["chi2_min"]),
            "confidence": float(body["confidence"]),
            "z_grid": _numbers(body.get("z_grid"), path, "z_grid"),
            "chi2_grid": _numbers(body.get("chi2_grid"), path, "chi2_grid"),
            "model_wave": _numbers(body.get("model_wave"), path, "model_wave"),
            "model_fnu": _numbers(body.get("model_fnu"), path, "model_fnu"),
        }

    def cutout(self, object_id: str, fov: float, size: int | None = None) -> bytes:
        """A PNG image around an object.

        Raises
        ------
        NotFoundError
            If the object, or imaging of its field, is not there.
        """
        params: dict[str, Any] = {"object_id": object_id, "fov": fov}
        if size is not None:
            params["size"] = size
        content = self._session.get_bytes(routes.CUTOUT, params, accept="image/png")
        if not content.startswith(b"\x89PNG\r\n\x1a\n"):
            raise _malformed(routes.CUTOUT, "the answer is not a PNG image")
        return content

    def shutters(self, object_id: str, fov: float) -> dict[str, Any]:
        """Shutters within ±fov of an object: ``{"shutters": [...], "meta": {...}}``."""
        body = self._session.get_json(routes.SHUTTERS, {"object_id": object_id, "fov": fov})
        meta = body.get("meta")
        return {
            "shutters": _rows(body, "shutters", routes.SHUTTERS),
            "meta": meta if isinstance(meta, dict) else {},
        }

    # --- account -----------------------------------------------------------------------------------------

    def whoami(self) -> Row:
        """The account that the token belongs to."""
        return self._session.get_json(routes.WHOAMI)

    def version(self) -> Row:
        """Versions of the service's own client; nothing here depends on them."""
        return self._session.get_json(routes.VERSION, anonymous=True)

    # --- by id -------------------------------------------------------------------------------------------

    def find_object(self, object_id: str) -> Row | None:
        """Return the row of an object given its id or the id of one of its targets, or None.

        The service searches for a part of the text, with ``%`` and ``_`` as wildcards, so other rows come
        first at times: pages are read until the very one is found.
        """
        return self._find(
            self.objects({"search": object_id}),
            lambda row: (
                row.get("object_id") == object_id
                or any(t.get("target_id") == object_id for t in row.get("member_targets") or [])
            ),
        )

    def find_spectrum(self, spectrum_id: str) -> Row | None:
        """Return the row of a spectrum, or None."""
        return self._find(
            self.spectra({"search": spectrum_id}), lambda row: row.get("spectrum_id") == spectrum_id
        )

    @staticmethod
    def _find(pages: Iterator[Page], wanted: Any) -> Row | None:
        return next((row for page in pages for row in page["rows"] if wanted(row)), None)


def _total(body: Mapping[str, Any]) -> int | None:
    pagination = body.get("pagination")
    return _count(pagination.get("total")) if isinstance(pagination, dict) else None
