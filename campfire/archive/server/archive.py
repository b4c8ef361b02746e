"""What one running server knows: the data root, its settings, accounts and catalogue; and who is asking."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from campfire.archive.catalogue.reader import Viewer
from campfire.archive.catalogue.served_catalogue import ServedCatalogue
from campfire.archive.server.accounts import Accounts, User, server_folder
from campfire.archive.server.answers import auth_refusal, refusal
from campfire.archive.server.cutouts import CutoutMaker
from campfire.archive.server.devices import Devices
from campfire.archive.server.file_links import FileShelf
from campfire.archive.server.login_throttle import KEYS, Failures, address_of
from campfire.archive.server.pools import Pool
from campfire.archive.server.visible_catalogue import Views
from campfire.config import DataPaths
from campfire.errors import NotFoundError
from campfire.store.catalog import Catalog

__all__ = ["Archive", "Caller", "CallerDep", "PersonDep", "ServedDep", "bearer_user", "origin_of"]

API = "/api/v1"


class Archive:
    """One served data root.

    Parameters
    ----------
    root
        Data root holding ``meta/campfire.db``.
    open_access
        Any bearer token reads everything.
    fixed
        Answer correctly where the deployed service does not.
    base_url
        Public address, where a proxy does not say it; with or without ``/api/v1``.

    Raises
    ------
    NotFoundError
        If there is no catalogue below ``root``.
    """

    def __init__(
        self, root: Path, *, open_access: bool = False, fixed: bool = False, base_url: str | None = None
    ) -> None:
        self.paths = DataPaths(root.absolute())
        if not self.paths.database.is_file():
            raise NotFoundError(
                f"{root} has no catalogue (meta/campfire.db)",
                hint=f"`campfire index {root}` makes one from the FITS products",
                path=self.paths.database,
            )
        Catalog(self.paths.database).close()  # brings one of an older version up to date
        self.open_access = open_access
        self.fixed = fixed
        self.base_url = None if base_url is None else base_url.rstrip("/").removesuffix(API)
        self.accounts = Accounts(self.paths.root, guests=open_access)
        self.devices = Devices(self.accounts)
        self.failures = Failures()
        # A password takes 64 MB and all processors to check, on purpose; a picture takes images in memory.
        self.checking = Pool(2, 100, retry=5)
        self.drawing = Pool(2, 100, retry=10)
        self.catalogue = ServedCatalogue(self.paths.database, fixed=fixed)
        private = server_folder(self.paths.root)
        # What people look at has the faults of the deployed service nowhere.
        self._exact = self.catalogue if fixed else ServedCatalogue(self.paths.database, fixed=True)
        self._views = Views(self._exact, self.paths.database, private / "views")
        self.files = FileShelf(self.paths, self.accounts.signer)
        self.cutouts = CutoutMaker(self.paths.imaging, private / "cutouts")

    def close(self) -> None:
        """Close the files held open."""
        self._views.close()
        self._exact.close()
        self.catalogue.close()
        self.accounts.close()

    def discard(self) -> None:
        """Delete what is only for while the server runs, though it may be in use."""
        self._views.discard()

    def guest(self) -> User | None:
        """Return whom an unknown token stands for: nobody, unless access is open."""
        return self.accounts.guest()

    def programs_of(self, user: User) -> frozenset[str]:
        """Return the slugs of the programs an account can read: public, or granted."""
        if self.open_access:
            return self.catalogue.program_slugs(public_only=False)
        return self.catalogue.program_slugs(public_only=True) | self.accounts.grants_of(user.id)

    def lets_read(self, account: str, observation: str, name: str) -> bool:
        """Tell whether the account that a link was made for may read its file still; any may unless fixed."""
        if not self.fixed:
            return True
        user = self.accounts.user_by_id(account)
        return user is not None and self.catalogue_for(self.programs_of(user)).has_file(observation, name)

    def catalogue_for(self, programs: frozenset[str]) -> ServedCatalogue:
        """Return what the reader of these programs is answered from.

        The deployed service answers from everything; a fixed one as if there were no other programs.
        """
        return self.exact_catalogue_for(programs) if self.fixed else self.catalogue

    def exact_catalogue_for(self, programs: frozenset[str]) -> ServedCatalogue:
        """Return the catalogue as if there were no other programs, whichever way the interface answers."""
        return self._views.of(programs)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, what they can read, and what they are answered from."""

    user: User
    viewer: Viewer
    catalogue: ServedCatalogue

    @property
    def programs(self) -> frozenset[str]:
        """Slugs of the programs they can read."""
        return self.viewer.programs


async def served_archive(request: Request) -> Archive:
    """Return the archive the application serves (a dependency; async, so that it costs no thread)."""
    archive = request.app.state.archive
    if not isinstance(archive, Archive):
        raise TypeError("the application was not made by create_app")
    return archive


ServedDep = Annotated[Archive, Depends(served_archive)]
_bearer = HTTPBearer(auto_error=False, description="An API key (sk_...) or an access token")


def bearer_user(request: Request, archive: Archive) -> User | None:
    """Return whom the Authorization header stands for; the scheme word is case-sensitive, one space."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token.strip():
        return None
    if not token.startswith("sk_"):
        return archive.accounts.user_of(token) or archive.guest()
    # By how the key begins too, so that a wrong key keeps out no right one.
    with archive.failures.guess(f"key {address_of(request)} {token[:12]}", KEYS) as right:
        user = archive.accounts.user_of(token) or archive.guest()
        if user is not None:
            right()
    return user


def calling(request: Request, archive: ServedDep, _docs: Annotated[object, Security(_bearer)]) -> Caller:
    """Return who is asking, or refuse with 401 (a dependency of data endpoints)."""
    user = bearer_user(request, archive)
    if user is None:
        raise refusal(401, "missing, invalid or expired token")
    programs = archive.programs_of(user)
    return Caller(user, Viewer(programs, user.id), archive.catalogue_for(programs))


def person(request: Request, archive: ServedDep, _docs: Annotated[object, Security(_bearer)]) -> User:
    """Return who is asking, or refuse with 401 in the auth shape (a dependency of whoami)."""
    user = bearer_user(request, archive)
    if user is None:
        raise auth_refusal(401, "unauthorized", "missing, invalid or expired token")
    return user


CallerDep = Annotated[Caller, Depends(calling)]
PersonDep = Annotated[User, Depends(person)]


def origin_of(request: Request, archive: Archive) -> str:
    """Return the public address of the server without a trailing slash, for the links it hands out."""
    return archive.base_url or str(request.base_url).rstrip("/")
