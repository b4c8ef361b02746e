"""The catalogue as somebody may see it: as if the programs they cannot read had never been in it."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from campfire.archive.catalogue.remove_programs import Partly, copy_catalogue, remove_programs
from campfire.archive.catalogue.served_catalogue import ServedCatalogue
from campfire.archive.indexing.objects import arrange, best_redshift, uninspected
from campfire.disk import mark_tree, remove_file, remove_tree
from campfire.store.catalog import Catalog
from campfire.store.writer import Writer
from campfire.typing import Row

__all__ = ["MATCH_RADIUS", "Views", "without_programs"]

MATCH_RADIUS = "match_radius"
"""Name of the value that says within how many arcsec spectra were made one object."""
_KIND = "views of a served catalogue"
_EVERYTHING = 180.0 * 3600.0


class Views:
    """Copies of a catalogue without the programs that somebody cannot read, one for each set of programs.

    A question put to such a copy cannot be answered with anything hidden, whatever the question. Copies are
    made when first asked for, and again when the catalogue has changed.

    Parameters
    ----------
    catalogue
        The whole catalogue.
    path
        Its file.
    folder
        Where copies are kept while the server runs.
    """

    def __init__(self, catalogue: ServedCatalogue, path: Path, folder: Path) -> None:
        self._whole, self._path = catalogue, path
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._parent = folder
        self._folder = Path(tempfile.mkdtemp(prefix="views-", dir=folder))
        mark_tree(self._folder, _KIND)
        self._lock = threading.Lock()
        self._making: dict[frozenset[str], threading.Lock] = defaultdict(threading.Lock)
        self._made: dict[frozenset[str], tuple[int, ServedCatalogue]] = {}

    def of(self, programs: frozenset[str]) -> ServedCatalogue:
        """Return the catalogue with nothing in it but ``programs``."""
        named = self._whole.named_programs()
        if named <= programs:
            return self._whole
        shown = named & programs
        with self._lock:
            making = self._making[shown]
        with making:
            # Looked at before the copy is made: a change during that is seen the next time.
            state = self._whole.state()
            made = self._made.get(shown)
            if made is None or made[0] != state:
                path = self._folder / hashlib.sha256(repr(sorted(shown)).encode()).hexdigest()
                self._make(path, shown)
                view = made[1] if made else ServedCatalogue(path, fixed=self._whole.fixed)
                made = self._made[shown] = state, view
            return made[1]

    def _make(self, path: Path, shown: frozenset[str]) -> None:
        # Aside first: what is hidden never is in the file that is read.
        aside = path.with_name(f"{path.name}.aside")
        try:
            copy_catalogue(self._path, aside)
            without_programs(aside, shown)
            copy_catalogue(aside, path)
        finally:
            for beside in ("", "-wal", "-shm", "-journal"):
                remove_file(aside.with_name(aside.name + beside), root=self._folder)

    def close(self) -> None:
        """Close and delete every copy."""
        for _, view in self._made.values():
            view.close()
        self.discard()

    def discard(self) -> None:
        """Delete every copy; what is being made at this moment may be left."""
        if self._folder.is_dir():
            with suppress(OSError):
                remove_tree(self._folder, root=self._parent, kind=_KIND)


def without_programs(path: Path, shown: Iterable[str]) -> None:
    """Delete from a catalogue every program but ``shown``, and put right what they had a part in.

    An object that lost targets or spectra lies where those that are left lie, and was made and changed when
    they were. Its inspection goes: whoever inspected it saw the others too. Where the catalogue was indexed,
    what is not within the matching radius of each other any more is several objects.
    """
    with Catalog(path) as catalog:
        radius = catalog.get_meta(MATCH_RADIUS)
        with catalog.write() as writer:
            writer.set_meta("retired_objects", None)
            partly = remove_programs(writer, shown)
            _mend(writer, partly, None if radius is None else float(radius))
            writer.aggregate()


def _mend(writer: Writer, partly: Partly, radius: float | None) -> None:
    """Write the targets and objects of which only a part is left."""
    for name in partly.cut & set(partly.targets):
        target, spectra = partly.targets[name], partly.spectra[name]
        first = min(spectra, key=lambda row: str(row["spectrum_id"]))
        created, updated = _times(spectra)
        target |= {
            "program_slug": first["program_slug"],
            "redshift_auto": best_redshift(spectra),
            "created_at": created,
            "updated_at": updated,
        }
    rows = {pk: row | uninspected() for pk, row in partly.objects.items()}
    owner = {name: str(rows[row["object_pk"]]["object_id"]) for name, row in partly.targets.items()}
    _place(rows, owner, partly, radius)
    members: dict[str, list[Row]] = defaultdict(list)
    spectra_of: dict[str, list[Row]] = defaultdict(list)
    for name, row in partly.targets.items():
        members[owner[name]] += [row, *partly.spectra.get(name, [])]
        spectra_of[owner[name]] += partly.spectra.get(name, [])
    for row in rows.values():
        name = row["object_id"]
        row["redshift"] = row["redshift_auto"] = best_redshift(spectra_of[name])
        row["created_at"], row["updated_at"] = _times(members[name])
        row |= {"version": 1, "staleness_reason": None, "last_data_change_at": None}
    writer.put_objects(rows.values())
    writer.put_targets(row | {"object_id": owner[name]} for name, row in partly.targets.items())


def _place(rows: dict[int, Row], owner: dict[str, str], partly: Partly, radius: float | None) -> None:
    """Move objects to the mean of the targets they have left, and take apart what these no longer hold."""
    unplaced = {row["object_pk"] for row in partly.targets.values() if row["ra"] is None}
    placed = [pk for pk in rows if pk not in unplaced]  # in a copy of a service, targets have no positions
    # Where nobody knows what made them one object, they stay one.
    for group in [[pk] for pk in placed] if radius is None else [placed]:
        targets = {name: row for name, row in partly.targets.items() if row["object_pk"] in group}
        known = {} if radius is None else {pk: {"object_id": name} for pk, name in partly.names.items()}
        found = arrange(
            targets,
            {name: partly.spectra.get(name, []) for name in targets},
            known | {pk: rows[pk] for pk in group},
            {name: row["object_pk"] for name, row in targets.items()},
            set(),
            radius=_EVERYTHING if radius is None else radius,
            now="",
        )
        rows |= {row["id"]: row for row in found.changed}
        owner |= found.owner


def _times(rows: Iterable[Row]) -> tuple[str | None, str | None]:
    """Return when the first of these rows was made and the last one changed, in UTC."""
    created = [_utc(row["created_at"]) for row in rows if row["created_at"]]
    updated = created + [_utc(row["updated_at"]) for row in rows if row["updated_at"]]
    return min(created, default=None), max(updated, default=None)


def _utc(text: str) -> str:
    """Return a time with its zone, so that it compares as text with those of other rows."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC).isoformat()
