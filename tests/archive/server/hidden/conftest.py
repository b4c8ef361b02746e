"""Two archives: one with programs that are not public, and one from which those were really removed."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from campfire.archive.indexing.index import index_root
from campfire.archive.server.accounts import Accounts
from campfire.archive.simulate.archive import make_archive
from campfire.formats.spec_writer import SpecProduct, write_product
from campfire.store.catalog import Catalog
from campfire.store.rows import STORED

ACCOUNTS: dict[str, tuple[str, ...]] = {"nobody": (), "one": ("gto_wide",)}
"""Accounts, and the programs that are not public they may read; nobody may read all."""
SECRET = ("gleam", "gto_wide")
STRANGER = "0b6f0000-0000-0000-0000-0000000000ff"
CHAIN = [("left_p1", "9101"), ("mid_p1", "9303"), ("right_p1", "9101")]
"""Observations and program numbers of three spectra in a row: two objects without the middle one."""
NEVER_INSPECTED = {
    "redshift_quality": 0,
    "redshift_inspected": None,
    "inspected_used_auto": 0,
    "last_inspected_at": None,
    "last_inspected_by": None,
}


def make_whole(root: Path, product: Callable[..., SpecProduct]) -> None:
    """Simulate an archive with two programs that are not public, in every way in which one can show."""
    make_archive(root, objects=14, seed=3)
    for number, (observation, program) in enumerate(CHAIN):
        made = product("PRISM", 34.40, -5.10 + number * 0.25 / 3600.0, 70 + number)
        made["header"]["PROGRAM"] = program
        path = root / "products" / observation / f"{observation}_prism_clear_{number + 1}_spec.fits"
        path.parent.mkdir()
        write_product(path, made)
    with Catalog(root / "meta" / "campfire.db") as catalog:
        spectra = _rows(catalog, "spectra")
        gratings: dict[str, int] = defaultdict(int)
        for row in spectra:
            gratings[row["target_id"]] += 1
        shared = next(
            row for row in spectra if row["program_slug"] == "ember-uds" and gratings[row["target_id"]] > 1
        )

        def of(programs: str) -> list[str]:
            sql = "SELECT object_id FROM objects WHERE programs = ?"
            return [name for (name,) in catalog.execute(sql, (programs,))]

        hidden = of("gto_wide") + of("gleam;gto_wide") + of("gleam")
        both = of("ember-uds;gto_wide")
        assert hidden
        assert both
        programs = [row | {"is_public": row["slug"] not in SECRET} for row in catalog.programs()]
        blank: dict[str, Any] = {"description": None, "is_system": False, "color": None, "icon": None}
        blank |= {"created_at": "2026-01-01T00:00:00+00:00", "updated_at": "2026-03-01T00:00:00+00:00"}
        tags = {"only-secret": "public_read", "strangers-own": "private", "some-secret": "public_edit"}
        tags["never-used"] = "public_read"
        with catalog.write() as writer:
            writer.put_programs(programs)
            # A target whose spectra are of two programs.
            writer.put_spectra([shared | {"program_slug": "gto_wide"}])
            writer.put_tags(
                blank | {"slug": slug, "name": slug, "visibility": visibility, "created_by": STRANGER}
                for slug, visibility in tags.items()
            )
            writer.put_memberships((name, "only-secret") for name in hidden)
            writer.put_memberships((name, "some-secret") for name in hidden + both)
            writer.put_memberships((name, "strangers-own") for name in both)
            writer.aggregate()
    index_root(root, match_radius=0.3)


def remove(whole: Path, root: Path, secret: set[str]) -> None:
    """Copy an archive and remove programs: their files, so that indexing forgets them, and the rest."""
    shutil.copytree(whole, root)
    database = root / "meta" / "campfire.db"
    with Catalog(database) as catalog:
        before = _members(catalog)
        spectra = _rows(catalog, "spectra")
        targets = {row["target_id"]: row for row in _rows(catalog, "targets")}
        tags = {row["id"]: row for row in _rows(catalog, "tags")}
        held = catalog.execute("SELECT tag_id, object_pk FROM memberships").fetchall()
    for row in spectra:
        if row["program_slug"] in secret:
            stem = row["fits_path"].rpartition("/")[2].removesuffix("_spec.fits")
            for path in (root / "products" / row["observation"]).glob(f"{stem}_*.fits"):
                path.unlink()
    index_root(root, match_radius=0.3)
    with Catalog(database) as catalog:
        after = _members(catalog)
        left = _rows(catalog, "spectra")
        cut = {row["target_id"] for row in spectra if row["program_slug"] in secret}
        changed = {pk for pk, names in after.items() if names != before.get(pk) or names & cut}
        mended: list[dict[str, Any]] = []
        times: dict[int, list[tuple[str, str]]] = defaultdict(list)
        objects = {row["id"]: row for row in _rows(catalog, "objects")}
        for row in _rows(catalog, "targets"):
            name, pk = row["target_id"], row["object_pk"]
            mine = [_times(spectrum) for spectrum in left if spectrum["target_id"] == name]
            if name in cut:
                row |= {"created_at": min(mine)[0], "updated_at": max(last for _, last in mine)}
            else:
                row |= {key: targets[name][key] for key in ("created_at", "updated_at")}
            times[pk] += [*mine, _times(row)]
            mended.append(row | {"object_id": objects[pk]["object_id"]})
        for pk in changed:
            row = objects[pk]
            row |= NEVER_INSPECTED | {"redshift": row["redshift_auto"], "version": 1}
            row |= {"staleness_reason": None, "last_data_change_at": None, "programs": [], "gratings": []}
            row |= {"created_at": min(times[pk])[0], "updated_at": max(last for _, last in times[pk])}
        gone, touched = {"strangers-own"}, []
        for tag, row in tags.items():
            members = {pk for owner, pk in held if owner == tag}
            if members and not members & set(after):
                gone.add(row["slug"])
            elif members - set(after):
                touched.append(row | {"updated_at": row["created_at"]})
        orphans = [row["id"] for row in _rows(catalog, "photometry") if row["object_pk"] not in after]
        names = {row["target_id"] for row in mended}
        with catalog.write() as writer:
            writer.put_objects(objects[pk] for pk in changed)
            writer.put_targets(mended)
            writer.put_tags(touched)
            writer.delete_tags(gone)
            writer.keep_only("programs", {row["slug"] for row in catalog.programs()} - secret)
            writer.delete_photometry(orphans)
            for pk in changed:
                sql = "UPDATE photometry SET match_distance_arcsec = NULL WHERE object_pk = ?"
                writer.execute(sql, (pk,))
            for name in {row["target_id"] for row in _rows(catalog, "shutters")} - names:
                writer.execute("DELETE FROM shutters WHERE target_id = ?", (name,))
            writer.aggregate()


def _members(catalog: Catalog) -> dict[int, set[str]]:
    members: dict[int, set[str]] = defaultdict(set)
    for name, pk in catalog.execute("SELECT target_id, object_pk FROM targets"):
        members[pk].add(name)
    return dict(members)


def _rows(catalog: Catalog, table: str) -> list[dict[str, Any]]:
    names = [name for name in STORED[table] if name not in ("zone", "ux", "uy", "uz", "stale")]
    found = catalog.execute(f"SELECT {', '.join(names)} FROM {table}")
    return [dict(zip(names, row, strict=True)) for row in found]


def _times(row: dict[str, Any]) -> tuple[str, str]:
    moments = [datetime.fromisoformat(row[name]) for name in ("created_at", "updated_at")]
    first, last = (at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC).isoformat() for at in moments)
    return first, max(first, last)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory, make_product: Callable[..., SpecProduct]) -> Path:
    """The archive with everything in it, and accounts."""
    root = tmp_path_factory.mktemp("hidden") / "whole"
    make_whole(root, make_product)
    with Accounts(root) as accounts:
        for name, programs in ACCOUNTS.items():
            accounts.add_user(f"{name}@example.org", "correct horse battery")
            for program in programs:
                accounts.grant(f"{name}@example.org", program)
    return root


@pytest.fixture(scope="session")
def without(whole: Path) -> dict[str, Path]:
    """For each account, the archive from which what it cannot read was removed."""
    roots = {}
    for name, programs in ACCOUNTS.items():
        roots[name] = whole.with_name(f"without-{name}")
        remove(whole, roots[name], set(SECRET) - set(programs))
    return roots
