"""What all parts of a client share: where things are, and the lazily made connections to them."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from campfire.arguments import shown
from campfire.config import DataPaths, plain_text, resolve_base_url, service_name
from campfire.errors import CampfireError, NotFoundError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from campfire.access.remote import RemoteCatalogue
    from campfire.store.catalog import Catalog
    from campfire.store.file_hashes import FileHashes
    from campfire.transport.api import API
    from campfire.transport.auth import Authenticator
    from campfire.transport.http import Http, Sender
    from campfire.typing import PathInput, Row

__all__ = ["Context"]

T = TypeVar("T")
SERVICE = "service"
"""Name under which the catalogue notes where it came from."""


class Context:
    """Made at once, connected to nothing: the catalogue is opened, and the service spoken to, at first need.

    Parameters
    ----------
    base_url, data_dir, auto_refresh, token, session
        As for :class:`campfire.Campfire`.
    """

    def __init__(
        self,
        base_url: str | None,
        data_dir: PathInput | None,
        *,
        auto_refresh: bool,
        token: str | None,
        session: Sender | None,
    ) -> None:
        if token is not None and (not isinstance(token, str) or not token.strip()):
            raise ValidationError(
                "token is empty, or no text", hint="leave it out to use the login of `campfire login`"
            )
        if session is not None and not hasattr(session, "request"):
            raise ValidationError(
                f"session={shown(session)} sends no requests", hint="pass a requests.Session, or None"
            )
        self.base_url = resolve_base_url(base_url)
        self.paths = DataPaths.resolve(data_dir)
        self.auto_refresh = auto_refresh
        self._token = token
        self._session = session
        self._lock = threading.RLock()
        self._catalog: Catalog | None = None
        self._book: Catalog | None = None
        self._http: Http | None = None
        self._auth: Authenticator | None = None
        self._api: API | None = None
        self._remote: RemoteCatalogue | None = None

    # --- the local catalogue -----------------------------------------------------------------------------

    def catalog(self) -> Catalog | None:
        """Return the local catalogue, or None where nothing was ever synchronised.

        Raises
        ------
        ValidationError
            If it is that of another service.
        CampfireError
            If it is damaged: the service is not asked in its stead.
        """
        with self._lock:
            if self._catalog is not None and self.paths.database.exists():
                return self._catalog
            from campfire.store.catalog import Catalog
            from campfire.store.migrate import is_filled

            self._catalog = None
            if is_filled(self.paths.database):
                self._catalog = self._own(Catalog(self.paths.database))
            return self._catalog

    def _own(self, catalog: Catalog) -> Catalog:
        """Return a catalogue if it came from this service; one that does not say so may have."""
        service = catalog.get_meta(SERVICE)
        if service is not None and service != service_name(self.base_url):
            raise ValidationError(
                f"{catalog.path} is the catalogue of {service}, not of {service_name(self.base_url)}",
                hint="use another data_dir; if the archive has moved, `campfire sync --adopt`",
                path=catalog.path,
            )
        return catalog

    def is_local(self) -> bool:
        """Tell whether there is a valid local catalogue of this service."""
        try:
            return self.catalog() is not None
        except CampfireError:
            return False

    def last_synced(self) -> str | None:
        """Return when a synchronisation last completed, ISO 8601 in UTC, or None."""
        catalog = self.catalog() if self.is_local() else None
        return None if catalog is None else catalog.last_synced

    def needed_catalog(self, what: str) -> Catalog:
        """Return the local catalogue.

        Raises
        ------
        ValidationError
            If there is none.
        """
        catalog = self.catalog()
        if catalog is None:
            raise ValidationError(
                f"{what} needs a local catalogue, and there is none at {self.paths.database}",
                hint="call sync() first, or `campfire sync`",
            )
        return catalog

    def new_catalog(self, *, adopt: bool = False) -> Catalog:
        """Return the local catalogue, made if it is not there; it counts only once it is filled.

        Parameters
        ----------
        adopt
            Take over the catalogue of another service.
        """
        with self._lock:
            if self._book is None or not self.paths.database.exists():
                from campfire.store.catalog import Catalog

                fresh = not self.paths.database.exists()
                book = self._catalog or Catalog(self.paths.database)
                if fresh and not book.read_only:
                    with book.write() as writer:
                        writer.set_meta(SERVICE, service_name(self.base_url))
                self._book = book if adopt else self._own(book)
            return self._book

    def known_files(self) -> Catalog | None:
        """Return where files on this disk are noted, for reading; None where nothing ever was."""
        catalog = self.catalog()
        return catalog or (self.new_catalog() if self.paths.database.exists() else None)

    def record_book(self) -> Catalog | None:
        """Return where files on this disk are noted, or None where nothing can be written."""
        try:
            book = self.new_catalog()
        except ValidationError:  # another service's: nothing of this one may be noted there
            raise
        except (CampfireError, OSError):
            return None
        return None if book.read_only else book

    @cached_property
    def hashes(self) -> FileHashes:
        """The hashes of the files on this disk, remembered."""
        from campfire.formats.identification import claims_of
        from campfire.store.file_hashes import FileHashes

        return FileHashes(self.paths.products, lambda path: claims_of(path).to_text())

    # --- the service -------------------------------------------------------------------------------------

    def http(self) -> Http:
        """Return what sends requests."""
        with self._lock:
            if self._http is None:
                from campfire.transport.http import Http

                self._http = Http(self.base_url, session=self._session)
            return self._http

    def auth(self) -> Authenticator:
        """Return what knows the token."""
        with self._lock:
            if self._auth is None:
                from campfire.transport.auth import Authenticator

                self._auth = Authenticator(self.http(), token=self._token, auto_refresh=self.auto_refresh)
            return self._auth

    def api(self) -> API:
        """Return the service's routes."""
        with self._lock:
            if self._api is None:
                from campfire.transport.api import API
                from campfire.transport.auth_session import Session

                self._api = API(Session(self.http(), self.auth()))
            return self._api

    def remote(self) -> RemoteCatalogue:
        """Return the service as a catalogue."""
        with self._lock:
            if self._remote is None:
                from campfire.access.remote import RemoteCatalogue

                self._remote = RemoteCatalogue(self.api(), self._locate)
            return self._remote

    def _locate(self, rows: list[Row]) -> list[str | None]:
        from campfire.store.file_state import local_paths

        try:
            self.catalog()
        except ValidationError:  # files of another service, which may have the same names
            return [None] * len(rows)

        folders = [str(row.get("observation") or "") for row in rows]
        return local_paths(self.paths, folders, [str(row.get("fits_path") or "") for row in rows])

    # --- either ------------------------------------------------------------------------------------------

    def object_row(self, name: str, *, remote: bool = False) -> Row | None:
        """Return the row of an object, given its id or that of one of its targets, or None."""
        plain_text(name, "object id")
        return self._either(lambda c: c.object_row(name), lambda r: r.object_row(name), remote=remote)

    def spectrum_row(self, spectrum_id: str, *, remote: bool = False) -> Row | None:
        """Return the row of a spectrum, or None."""
        plain_text(spectrum_id, "spectrum id")
        return self._either(
            lambda c: c.spectrum_row(spectrum_id), lambda r: r.spectrum_row(spectrum_id), remote=remote
        )

    def unknown_spectrum(self, name: str) -> NotFoundError:
        """Return the error for an id that no spectrum has; where an object has it, it names its spectra."""
        name = str(name)  # not a text of numpy, whose repr is another
        catalog, row = self.catalog(), self.object_row(name)
        if row is not None:
            spectra = self._either(lambda c: c.spectra_of(name), lambda r: r.spectra_of(row), remote=False)
            ids = ", ".join(repr(str(spectrum["spectrum_id"])) for spectrum in spectra[:3])
            more = f" and {len(spectra) - 3} more" if len(spectra) > 3 else ""
            return NotFoundError(
                f"{name!r} is an object, not a spectrum",
                hint=f"its spectra: {ids}{more}; get_object({name!r}).spectra has them" if ids else None,
            )
        if catalog is None:
            where = "the archive"
            hint = "ids look like ember_uds_p4_prism_clear_123456; query_spectra() lists them"
        else:
            where = f"the local catalogue of {catalog.last_synced}"
            hint = "check the id, or call sync() if it is new"
        return NotFoundError(f"no spectrum {name!r} in {where}", hint=hint)

    def _either(
        self, local: Callable[[Catalog], T], service: Callable[[RemoteCatalogue], T], *, remote: bool
    ) -> T:
        catalog = None if remote else self.catalog()
        return service(self.remote()) if catalog is None else local(catalog)

    def close(self) -> None:
        """Close connections; using the client again opens new ones."""
        with self._lock:
            for catalog in (self._catalog, self._book):
                if catalog is not None:
                    catalog.close()
            if self._http is not None:
                self._http.close()
