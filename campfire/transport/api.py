"""The service's routes as typed methods; paged ones are generators that hold one page at a time."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from campfire.errors import CampfireWarning
from campfire.transport import routes
from campfire.transport.response_schema import MOST_ROWS, SHAPES, fitting, malformed, require, set_aside

if TYPE_CHECKING:
    from campfire.transport.auth_session import Session
    from campfire.typing import Page, RedshiftFit, Row, SpectrumPayload

__all__ = ["API", "PAGE", "Manifest", "Metadata"]

PAGE = 1000
"""Rows asked for at once; the service's own default."""
_LARGEST = 1e300
_MOST_PAGES = 20_000  # four times what the most rows need
_MOST_AGAIN = 3
_MOST_PIXELS = 4096  # a side of a cutout; the service gives at most 2048
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


def _raw(body: Mapping[str, Any], key: str, route: str) -> list[Row]:
    rows = body.get(key)
    if rows is None:
        rows = []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise malformed(route, f"{key!r} is not a list of rows")
    return rows


def _rows(body: Mapping[str, Any], route: str) -> list[Row]:
    """Return the rows of an answer that fit; a warning tells of the others."""
    require(route, body)
    good, bad = fitting(route, _raw(body, SHAPES[route].rows or "", route))
    _warn(route, bad)
    return good


def _warn(route: str, bad: list[Row]) -> None:
    if bad:
        warnings.warn(set_aside(route, bad), CampfireWarning, stacklevel=2)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _numbers(values: object, path: str, key: str, *, nested: bool = False) -> list[Any]:
    """List (nested: of lists) of numbers with None for whatever is not finite."""
    if not isinstance(values, list):
        raise malformed(path, f"{key!r} is not a list of numbers")
    if nested:
        return [_numbers(row, path, key) for row in values]
    return [_finite(value) for value in values]


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < _LARGEST else None  # False for NaN; a larger integer has no float


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
            programs=_rows(body, path),
            fields=body.get("fields") or [],
            gratings=body.get("gratings") or [],
            observations=body.get("observations") or [],
        )

    def observations(self) -> list[Row]:
        """One row per observation, program and field, with counts and versions."""
        return _rows(self._session.get_json(routes.OBSERVATIONS), routes.OBSERVATIONS)

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
        aside: list[Row] = []
        run = _Run(path, page)
        while True:
            query = {**params, "limit": page, "offset": number * page}
            body = self._session.get_json(path, query, timeout=_SLOW)
            require(path, body)
            raw, total = _raw(body, "data", path), _total(body)
            if total is not None and len(raw) < min(page, total - number * page):
                raise malformed(path, f"{len(raw)} rows came at {number * page} of {total} rows")
            run.goes_on(raw, number * page)
            rows, bad = fitting(path, raw)
            aside += bad
            number += 1
            done = not raw or (number * page >= total if total else len(raw) < page)
            if done:
                _warn(path, aside)
            yield {"rows": rows, "total": total, "accessible": None, "aside": []}
            if done:
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
        aside: list[Row] = []
        run = _Run(path, self._page)
        while True:
            params = base | {"offset": offset}
            if counts and offset:
                params["include_counts"] = "false"  # counting is the slow part, and has been done
            body = self._session.get_json(path, params, timeout=_SLOW)
            require(path, body)
            raw = _raw(body, "data", path)
            if not offset:
                total, accessible = _total(body), _count(body.get("total_accessible_count"))
            run.goes_on(raw, offset)
            rows, bad = fitting(path, raw)
            aside += bad
            # The offset is a true one: a page cut short by the service leaves no hole behind it.
            offset += len(raw)
            done = not raw or (total is not None and offset >= total)
            if done:
                _warn(path, aside)
            keys = [row.get("id") for row in bad]
            yield {"rows": rows, "total": total, "accessible": accessible, "aside": keys}
            if done:
                return

    def sync_lists(self) -> list[Row]:
        """The tags this account may see."""
        return _rows(self._session.get_json(routes.SYNC_LISTS), routes.SYNC_LISTS)

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
        spectra = _rows(body, "manifest")
        return Manifest(observation=observation, url_expires_at=body.get("url_expires_at"), spectra=spectra)

    def file_url(self, fits_path: str) -> str:
        """Signed address of one file.

        Raises
        ------
        NotFoundError
            If the service does not know the path.
        """
        body = self._session.get_json(routes.FILE, {"path": fits_path})
        require(routes.FILE, body)
        return str(body["url"])

    def spectrum(self, fits_path: str) -> SpectrumPayload:
        """The spectrum as prepared for plotting."""
        path = routes.SPECTRUM
        body = self._session.get_json(path, {"path": fits_path})
        require(path, body)
        return {
            "wave": _numbers(body.get("wave"), path, "wave"),
            "fnu": _numbers(body.get("fnu"), path, "fnu"),
            "fnu_err": _numbers(body.get("fnu_err"), path, "fnu_err"),
            "snr_2d": _numbers(body.get("snr_2d"), path, "snr_2d", nested=True),
            "n_spatial": int(body["n_spatial"]),
            "n_wave": int(body["n_wave"]),
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
        require(path, body)
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
            raise malformed(routes.CUTOUT, "the answer is not a PNG image")
        width, height = struct.unpack(">II", content[16:24]) if len(content) >= 24 else (0, 0)
        if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS):
            raise malformed(routes.CUTOUT, f"the image is said to be of {width} x {height} pixels")
        return content

    def shutters(self, object_id: str, fov: float) -> dict[str, Any]:
        """Shutters within ±fov of an object: ``{"shutters": [...], "meta": {...}}``."""
        body = self._session.get_json(routes.SHUTTERS, {"object_id": object_id, "fov": fov})
        meta = body.get("meta") or {}
        if not isinstance(meta, dict):
            raise malformed(routes.SHUTTERS, "'meta' is no object")
        require("shutters meta", meta)
        return {"shutters": _rows(body, routes.SHUTTERS), "meta": meta}

    # --- account -----------------------------------------------------------------------------------------

    def whoami(self) -> Row:
        """The account that the token belongs to."""
        body = self._session.get_json(routes.WHOAMI)
        require(routes.WHOAMI, body)
        return body

    def version(self) -> Row:
        """Versions of the service's own client; nothing here depends on them."""
        body = self._session.get_json(routes.VERSION, anonymous=True)
        require(routes.VERSION, body)
        return body

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


class _Run:
    """Pages that are read one after the other, as long as they lead somewhere."""

    def __init__(self, path: str, page: int) -> None:
        self._path, self._page = path, page
        self._former: list[Row] = []
        self._known: set[int] = set()
        self._pages = self._again = 0

    def goes_on(self, rows: list[Row], offset: int) -> None:
        """Look at one more page.

        Raises
        ------
        APIError
            If it is too long, or if the pages would not come to an end.
        """
        if len(rows) > self._page:
            raise malformed(self._path, f"{len(rows)} rows came where {self._page} were asked for")
        if offset + len(rows) > MOST_ROWS:
            raise malformed(self._path, f"its rows do not end: more than {MOST_ROWS:,} came")
        if rows and rows == self._former:
            raise malformed(self._path, f"the page at {offset} is the one before it")
        ids = {key for row in rows if type(key := row.get("id")) is int}
        # A row may come twice where the archive changes meanwhile, but not whole pages again and again.
        self._again += bool(ids) and ids <= self._known
        self._pages += 1
        if self._again > _MOST_AGAIN or self._pages > _MOST_PAGES:
            raise malformed(
                self._path, f"its pages do not end: {self._pages} came, {self._again} of them twice"
            )
        self._known.update(ids)
        self._former = rows


def _total(body: Mapping[str, Any]) -> int | None:
    pagination = body.get("pagination")
    return _count(pagination.get("total")) if isinstance(pagination, dict) else None
