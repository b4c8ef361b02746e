"""Statement: local, remote and a plain reading of the documents give the same rows, whatever is asked.

The service here is written from the wire contract alone and shares no code with the package: it clips cones,
drops filters it cannot resolve, ignores flags, rounds offsets down to pages, leaves out columns, and embeds
the private tags of others. What must come out is evaluated row by row in plain Python.
"""

from __future__ import annotations

import json
import math
import random
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from campfire import Campfire
from campfire.errors import ValidationError
from campfire.flags import DQFlags

Row = dict[str, Any]
NEVER = "2026-01-01T00:00:00+00:00"
NOT_SENT = {"reduction_version", "photo_z_err_lo", "photo_z_err_hi", "updated_at"}
GRATINGS = ["PRISM", "G140M", "G235M", "G395M"]
CENTRES = {"zero": (0.0, -5.2), "goods-n": (189.2, 62.2), "polar": (37.0, 89.995), "uds": (34.4, -5.2)}
PROGRAMS = ["a_b", "axb", "gto-wide"]


def degrees_apart(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Vincenty's formula: exact at every distance."""
    lon, one, two = math.radians(ra2 - ra1), math.radians(dec1), math.radians(dec2)
    x = math.cos(two) * math.sin(lon)
    y = math.cos(one) * math.sin(two) - math.sin(one) * math.cos(two) * math.cos(lon)
    z = math.sin(one) * math.sin(two) + math.cos(one) * math.cos(two) * math.cos(lon)
    return math.degrees(math.atan2(math.hypot(x, y), z))


class World:
    """What the service holds; ``granted`` are the programs the caller may see."""

    def __init__(self, seed: int = 5, objects: int = 60) -> None:
        rng = random.Random(seed)
        self.granted = set(PROGRAMS)
        self.objects: dict[int, Row] = {}
        self.targets: dict[str, Row] = {}
        self.spectra: dict[int, Row] = {}
        self.photometry: dict[int, Row] = {}
        self.lists: dict[int, Row] = {}
        names = [("lrd", "public_edit"), ("qg", "public_read"), ("a_b", "private"), ("secret", "private")]
        for n, (slug, visibility) in enumerate(names, 1):
            owner = None if n < 3 else ("me" if slug == "a_b" else "other")
            self.lists[n] = {"id": n, "slug": slug, "name": slug.upper(), "visibility": visibility}
            self.lists[n] |= {"owner": owner, "members": set(rng.sample(range(1, objects + 1), 12))}
        for pk in range(1, objects + 1):
            self._object(pk, rng)
        for _ in range(3):  # not linked yet
            self._target(None, "uds", "axb", rng)

    def _object(self, pk: int, rng: random.Random) -> None:
        field = list(CENTRES)[pk % 4]
        ra0, dec0 = CENTRES[field]
        wide = 180.0 if field == "polar" else 0.02 / math.cos(math.radians(dec0))
        ra, dec = (ra0 + rng.uniform(-wide, wide)) % 360, min(90.0, dec0 + rng.uniform(-0.004, 0.004))
        quality, auto = rng.choice([0, 0, 1, 2, 3, 4]), rng.choice([None, round(rng.uniform(0, 9), 4)])
        inspected = round(rng.uniform(0, 9), 6) if quality > 1 else None
        changed = rng.choice([None, "2026-02-01T00:00:00+00:00", "2026-03-01T02:00:00.5+02:00"])
        self.objects[pk] = {
            "id": pk,
            "object_id": f"J{ra * 240:010.2f}{'+' if dec > 0 else '-'}{abs(dec):08.5f}"
            + ("_1" if pk % 9 == 0 else ""),
            "field": field,
            "ra": ra,
            "dec": dec,
            "redshift": None if quality == 1 else (inspected if inspected is not None else auto),
            "redshift_quality": quality,
            "redshift_inspected": inspected,
            "redshift_auto": auto,
            "inspected_used_auto": False,
            "last_inspected_at": "2026-03-01T00:00:00+00:00" if quality else None,
            "last_inspected_by": "0b6f" if quality else None,
            "last_data_change_at": changed,
            "staleness_reason": rng.choice([None, "new_target"]),
            "version": rng.randint(1, 3),
            "is_active": True,
            "created_at": NEVER,
            "updated_at": NEVER,
        }
        for _ in range(rng.choice([1, 1, 2, 3])):
            self._target(pk, field, rng.choice(PROGRAMS), rng)
        for n in range(rng.choice([0, 1, 1, 2, 3])):
            z = rng.choice([None, round(rng.uniform(0, 9), 3)])
            record: Row = {"id": pk * 10 + n, "owner": pk, "field": field, "catalog_name": f"C{2 - n}"}
            record |= {
                "catalog_id": None,
                "match_distance_arcsec": rng.choice([None, round(rng.random(), 4)]),
            }
            record |= {
                "photometry": {"flux_unit": "uJy", "bands": {"f444w": {"flux": -0.4, "flux_err": 0.1}}}
            }
            record |= {"photo_z": z, "photo_z_err_lo": z and z - 0.1, "photo_z_err_hi": z and z + 0.1}
            self.photometry[record["id"]] = record | {"has_pz": z is not None, "updated_at": NEVER}

    def _target(self, pk: int | None, field: str, program: str, rng: random.Random) -> None:
        observation = f"{program.replace('-', '_')}_{field.replace('-', '_')}_p{rng.randint(1, 2)}"
        name = f"{observation}_{len(self.targets) + 1}"
        at = self.objects[pk] if pk else {"ra": 34.4, "dec": -5.2}
        self.targets[name] = {
            "target_id": name,
            "owner": pk,
            "program_slug": program,
            "observation": observation,
        }
        self.targets[name] |= {"field": field, "ra": at["ra"], "dec": at["dec"] - 2e-5}
        for grating in rng.sample(GRATINGS, rng.choice([1, 1, 2])):
            number, base = (
                len(self.spectra) + 1,
                f"{observation}_{grating.lower()}_clear_{name.split('_')[-1]}",
            )
            self.spectra[number] = {
                "id": number,
                "spectrum_id": base,
                "target_id": name,
                "grating": grating,
                "fits_path": f"spectra/{observation}/{base}_spec.fits",
                "file_hash": rng.choice([None, f"sha256:{number:064x}"]),
                "file_size": rng.choice([None, 800_000 + number]),
                "signal_to_noise": rng.choice([None, round(rng.uniform(0, 40), 2)]),
                "exposure_time": rng.choice([None, 3000.0 + number]),
                "redshift_auto": rng.choice([None, round(rng.uniform(0, 9), 4)]),
                "dq_flags": rng.choice([0, 0, 1, 2, 3, 32, 34, 512]),
                "reduction_version": "v0.3",
                "updated_at": NEVER,
            }

    # --- who belongs to whom ------------------------------------------------------------

    def seen_targets(self, pk: int | None) -> list[Row]:
        return [t for t in self.targets.values() if t["owner"] == pk and t["program_slug"] in self.granted]

    def seen_objects(self) -> list[Row]:
        return [o for o in self.objects.values() if o["is_active"] and self.seen_targets(o["id"])]

    def spectra_of(self, targets: list[Row]) -> list[Row]:
        names = {t["target_id"] for t in targets}
        return [s for s in self.spectra.values() if s["target_id"] in names]

    def seen_spectra(self) -> list[tuple[Row, Row, Row | None]]:
        found = []
        for spectrum in self.spectra.values():
            target = self.targets[spectrum["target_id"]]
            owner = self.objects.get(target["owner"])
            if target["program_slug"] in self.granted and (owner is None or owner["is_active"]):
                found.append((spectrum, target, owner))
        return found

    def seen_lists(self) -> list[Row]:
        return [item for item in self.lists.values() if item["owner"] in (None, "me")]

    def records_of(self, pk: int) -> list[Row]:
        mine = [p for p in self.photometry.values() if p["owner"] == pk]
        near = "match_distance_arcsec"
        return sorted(mine, key=lambda p: (p[near] is None, p[near] or 0, p["catalog_name"], p["id"]))

    def whole(self, item: Row) -> Row:
        """The object with what is aggregated over all programs."""
        targets = [t for t in self.targets.values() if t["owner"] == item["id"]]
        spectra = self.spectra_of(targets)
        snr = [s["signal_to_noise"] for s in spectra if s["signal_to_noise"] is not None]
        times = [s["exposure_time"] for s in spectra if s["exposure_time"] is not None]
        best: Row = next((p for p in self.records_of(item["id"]) if p["photo_z"] is not None), {})
        return item | {
            "n_targets": len(targets),
            "n_spectra": len(spectra),
            "programs": sorted({t["program_slug"] for t in targets}),
            "gratings": sorted({s["grating"] for s in spectra}),
            "max_snr": max(snr, default=None),
            "max_exposure_time": max(times, default=None),
            "has_photometry": bool(self.records_of(item["id"])),
            **{name: best.get(name) for name in ("photo_z", "photo_z_err_lo", "photo_z_err_hi")},
        }

    # --- what must come out ------------------------------------------------------------

    def object_rows(self) -> list[Row]:
        rows = []
        for item in self.seen_objects():
            targets = self.seen_targets(item["id"])
            spectra = self.spectra_of(targets)
            row = self.whole(item) | {"_flags": 0, "_names": [t["target_id"] for t in targets]}
            for spectrum in spectra:
                row["_flags"] |= spectrum["dq_flags"]
            row["tags"] = sorted(t["slug"] for t in self.seen_lists() if item["id"] in t["members"])
            row["observations"] = sorted({self.targets[s["target_id"]]["observation"] for s in spectra})
            row["member_target_ids"] = sorted(row["_names"])
            rows.append(row | {"_parent": row, "_snr": row["max_snr"]})
        return rows

    def spectrum_rows(self) -> list[Row]:
        parents = {row["id"]: row for row in self.object_rows()}
        blank = dict.fromkeys(("object_id", "ra", "dec", "redshift", "redshift_quality"))
        rows = []
        for spectrum, target, owner in self.seen_spectra():
            parent = parents.get(owner["id"]) if owner else None
            row = target | {k: parent[k] for k in blank} if parent else target | blank
            row |= spectrum | {"local_path": None, "_flags": spectrum["dq_flags"], "_parent": parent}
            rows.append(row | {"_snr": row["signal_to_noise"], "_names": [row["target_id"]]})
        return rows


# --- the service ------------------------------------------------------------


def answer(world: World, path: str, given: dict[str, str]) -> Any:
    lists = {item["id"]: item for item in world.seen_lists()}
    if path == "/metadata":
        programs = [
            {"slug": p, "program_name": p.upper(), "pi_name": None, "is_public": True}
            for p in sorted(world.granted)
        ]
        observations = sorted({t["observation"] for t in world.targets.values()})
        return {
            "programs": programs,
            "fields": sorted(CENTRES),
            "gratings": GRATINGS,
            "observations": observations,
        }
    if path == "/observations":
        counts: dict[tuple[str, str, str], int] = {}
        for _, target, _ in world.seen_spectra():
            key = (target["observation"], target["program_slug"], target["field"])
            counts[key] = counts.get(key, 0) + 1
        names = ("observation", "program_slug", "field")
        return {
            "observations": [
                dict(zip(names, key, strict=True)) | {"spectrum_count": counts[key]} for key in sorted(counts)
            ]
        }
    if path == "/sync/lists":
        hidden = ("owner", "members")
        kept = [{k: v for k, v in item.items() if k not in hidden} for item in lists.values()]
        return {"data": [row | {"member_count": len(lists[row["id"]]["members"])} for row in kept]}
    if path.startswith("/sync/"):
        return synced(world, path.removeprefix("/sync/"), given)
    if path in ("/objects", "/spectra/list"):
        return listed(world, path == "/objects", given)
    return None


def synced(world: World, table: str, given: dict[str, str]) -> Any:
    rows: list[Row] = []
    if table == "objects":
        for item in sorted(world.seen_objects(), key=lambda o: o["object_id"]):
            row = world.whole(item)
            targets = world.seen_targets(item["id"])
            row["member_target_ids"] = [t["target_id"] for t in targets]
            row["lists"] = [t["slug"] for t in world.seen_lists() if item["id"] in t["members"]]
            rows.append(row | {"spectra": [{"id": s["id"]} for s in world.spectra_of(targets)]})
    elif table == "spectra":
        for spectrum, target, owner in sorted(world.seen_spectra(), key=lambda s: s[0]["spectrum_id"]):
            kept = {k: target[k] for k in ("program_slug", "observation", "field")}
            rows.append(spectrum | kept | {"object_id": owner and owner["object_id"]})
    else:
        seen = {o["id"] for o in world.objects.values() if world.seen_targets(o["id"])}
        for record in sorted(world.photometry.values(), key=lambda p: p["id"]):
            if record["owner"] in seen:
                row = record | {"object_id": world.objects[record["owner"]]["object_id"], "created_at": NEVER}
                rows.append({k: v for k, v in row.items() if k != "owner"})
    total = len(rows)
    since = given.get("updated_since")
    rows = [row for row in rows if since is None or row["updated_at"] > since]
    offset, limit = int(given.get("offset", 0)), int(given.get("limit", 1000))
    counted = given.get("include_counts") != "false" or table == "photometry"
    page = {"total": len(rows) if counted else 0, "limit": limit, "offset": offset}
    body: Row = {"data": rows[offset : offset + limit], "pagination": page}
    return body if table == "photometry" else body | {"total_accessible_count": total if counted else 0}


def listed(world: World, objects: bool, given: dict[str, str]) -> Any:
    rows = world.object_rows() if objects else world.spectrum_rows()
    for test in service_tests(world, objects, given):
        rows = [row for row in rows if test(row)]
    cone = [float(given[k]) for k in ("ra", "dec", "radius")] if "radius" in given else None
    for row in rows:
        at = row if objects else world.targets[row["target_id"]]
        row["distance"] = degrees_apart(cone[0], cone[1], at["ra"], at["dec"]) if cone else None
    by = given.get("sort", "")
    down = given.get("sort_dir") == "desc"
    default = "object_id" if objects else "spectrum_id"
    if cone and by in ("", default) and not down:
        by = "distance"
    rows = ordered(rows, by if rows and by in rows[0] else default, down, objects)
    page = {"total": len(rows), "limit": int(given.get("limit", 1000)), "offset": int(given.get("offset", 0))}
    first = page["offset"] // page["limit"] * page["limit"]
    shown = [wire(world, row, objects) for row in rows[first : first + page["limit"]]]
    return {"data": shown, "pagination": page}


def service_tests(world: World, objects: bool, given: dict[str, str]) -> Iterator[Callable[[Row], bool]]:
    def csv(key: str) -> set[str]:
        return {item.strip() for item in given.get(key, "").split(",")} - {""}

    def within(key: str, low: str, high: str) -> Callable[[Row], bool]:
        lo, hi = float(given.get(low, "-inf")), float(given.get(high, "inf"))
        return lambda row: row[key] is not None and lo <= row[key] <= hi

    for param, many, one in (
        ("programs", "programs", "program_slug"),
        ("fields", "", "field"),
        ("gratings", "gratings", "grating"),
        ("observations", "observations", "observation"),
    ):
        wanted = csv(param) & world.granted if param == "programs" else csv(param)
        if wanted and objects and many:
            yield lambda row, w=wanted, k=many: not w.isdisjoint(row[k])  # type: ignore[misc]
        elif wanted:
            yield lambda row, w=wanted, k=one: row[k] in w  # type: ignore[misc]
    slugs = {item["slug"]: item["members"] for item in world.lists.values() if item["slug"] in csv("lists")}
    if slugs:
        yield lambda row: bool(row["_parent"]) and any(row["_parent"]["id"] in m for m in slugs.values())
    codes = {int(item) for item in csv("redshift_quality") if item.isdecimal()}
    if codes:
        yield lambda row: row["redshift_quality"] in codes
    if given.keys() & {"redshift_min", "redshift_max"}:
        yield within("redshift", "redshift_min", "redshift_max")
    if given.keys() & {"max_snr_min", "max_snr_max"}:
        yield within("_snr", "max_snr_min", "max_snr_max")
    if given.get("inspected_only"):
        inspected = given["inspected_only"].lower() == "true"
        yield lambda row: row["redshift_quality"] is not None and (row["redshift_quality"] > 0) == inspected
    if given.get("has_photometry"):
        has = given["has_photometry"].lower() == "true"
        yield lambda row: bool(row["_parent"]) and row["_parent"]["has_photometry"] == has
    if given.get("search"):
        pattern = "".join({"%": ".*", "_": "."}.get(c, re.escape(c)) for c in given["search"])
        name = "object_id" if objects else "spectrum_id"
        yield lambda row: any(re.search(pattern, t, re.I | re.S) for t in (row[name], *row["_names"]))
    if "radius" in given:
        ra, dec, radius = (float(given[k]) for k in ("ra", "dec", "radius"))

        def inside(row: Row) -> bool:
            at = row if objects else world.targets[row["target_id"]]
            box = abs(at["ra"] - ra) <= radius / 3600 and abs(at["dec"] - dec) <= radius / 3600
            return box and degrees_apart(ra, dec, at["ra"], at["dec"]) * 3600 <= radius

        yield inside
    masks = {
        k: int(given[f"dq_flags_{k}"])
        for k in ("include_all", "exclude", "include_any")
        if f"dq_flags_{k}" in given
    }
    if masks and not objects:
        word, mask = next(iter(masks.items()))

        def hit(row: Row) -> bool:
            common = row["_flags"] & mask
            return bool(common == mask if word == "include_all" else (common > 0) == (word == "include_any"))

        yield hit


def wire(world: World, row: Row, objects: bool) -> Row:
    absent = {"observations", "member_target_ids", "tags", "photo_z_err_lo", "photo_z_err_hi", "updated_at"}
    if not objects:
        absent = {"object_id", "reduction_version", "local_path"}
        target = world.targets[row["target_id"]]
        row = row | {"parent_object_id": row["object_id"], "ra": target["ra"], "dec": target["dec"]}
        row |= {"created_at": "2026-01-01T00:00:00", "updated_at": "2026-01-01T00:00:00"}
    else:
        items = [item for item in world.lists.values() if row["id"] in item["members"]]
        members = [t | {"redshift_auto": None} for t in world.seen_targets(row["id"])]
        row = row | {
            "lists": [{"slug": i["slug"], "name": i["name"]} for i in items],
            "member_targets": members,
        }
    return {k: v for k, v in row.items() if k not in absent and not k.startswith("_")}


def ordered(rows: list[Row], by: str, down: bool, objects: bool) -> list[Row]:
    rows = sorted(rows, key=lambda r: (r["object_id"],) if objects else (r["target_id"], r["grating"]))
    known = sorted((r for r in rows if r[by] is not None), key=lambda r: r[by], reverse=False)
    if down:  # the ties stay as they are
        known = sorted(known, key=lambda r: r[by], reverse=True)
    return known + [r for r in rows if r[by] is None]


class Service:
    """The world on a real socket; ``asked`` are the requests so far, ``drop`` a filter it does not know."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.drop = ""
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                path, given = parts.path.removeprefix("/api/v1"), dict(parse_qsl(parts.query))
                service.asked.append((path, dict(given)))
                given.pop(service.drop, None)
                body = answer(service.world, path, given)
                content = json.dumps(body or {"error": "no"}).encode()
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/api/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Campfire]]:
    service = Service(World())
    with Campfire(service.url, tmp_path_factory.mktemp("mirror"), token="any") as cf:
        cf.sync()
        yield service, cf
    service.close()


# --- questions, and their plain evaluation ------------------------------------------------------------


def draw(rng: random.Random, world: World, objects: bool) -> dict[str, Any]:
    def some(names: list[str]) -> list[str]:
        return rng.sample(names, rng.randint(1, 2))

    observations = sorted({t["observation"] for t in world.targets.values()})
    at = rng.choice(list(world.objects.values()))
    low, high = sorted((rng.uniform(0, 9), rng.uniform(0, 9)))
    texts = ["J0", "+", "_1", "%", "a_b_", "PRISM", at["object_id"][3:9].lower(), "nothing"]
    a, b = rng.sample(list(DQFlags), 2)
    choices: dict[str, Any] = {
        "fields": [name.upper() for name in some(list(CENTRES))],
        "programs": [name.title() for name in some(PROGRAMS)],
        "gratings": [name.lower() for name in some(GRATINGS)],
        "observations": some(observations),
        "redshift_range": rng.choice([(low, high), (low, None), (None, high)]),
        "redshift_quality": rng.choice([["secure", 0], [1], [2, 3, 4]]),
        "max_snr_range": rng.choice([(low, 4 * high), (low, None), (None, high)]),
        "dq_flags": rng.choice(
            [a | b, a & b, ~a & ~b, ~(a | b), (~a) | b, a | (b & ~a), DQFlags.CHIP_GAP | a]
        ),
        "tags": some(["lrd", "QG", "a_b"]),
        "inspected_only": rng.random() < 0.5,
        "staleness": rng.random() < 0.5,
        "has_photometry": rng.random() < 0.5,
        "search": rng.choice(texts),
        "cone_search": (at["ra"] + 0.0005, at["dec"], rng.choice([2.0, 20.0, 77.7, 400.0])),
    }
    asked: dict[str, Any] = {
        name: choices[name] for name in rng.sample(sorted(choices), rng.choice([0, 1, 1, 2, 3]))
    }
    sorts = [
        "object_id",
        "ra",
        "redshift",
        "max_snr",
        "photo_z",
        "updated_at",
        "n_spectra",
        "redshift_quality",
    ]
    if not objects:
        sorts = ["spectrum_id", "target_id", "signal_to_noise", "redshift", "ra", "object_id", "grating"]
    if rng.random() < 0.6:
        asked["sort"] = rng.choice([*sorts, "distance"] if "cone_search" in asked else sorts)
    asked["sort_dir"] = rng.choice(["asc", "desc"])
    return asked | {"limit": rng.choice([None, 0, 1, 7, 30]), "offset": rng.choice([0, 0, 5, 13, 500])}


def flags_match(query: Any, value: int) -> bool:
    return bool(query.matches(value)) if hasattr(query, "matches") else value & int(query) == int(query)


def expected(world: World, objects: bool, asked: dict[str, Any]) -> list[Row]:
    """Evaluate a question row by row, as the documents read."""
    rows = [
        row
        for row in (world.object_rows() if objects else world.spectrum_rows())
        if keep(row, objects, asked)
    ]
    cone = asked.get("cone_search")
    by = asked.get("sort") or ("distance" if cone else "object_id" if objects else "spectrum_id")
    for row in rows:
        if cone:
            row["distance"] = degrees_apart(cone[0], cone[1], row["ra"], row["dec"])
            row["distance_arcsec"] = 3600 * row["distance"]
    rows = ordered(rows, by, asked["sort_dir"] == "desc", objects)[asked["offset"] :]
    return rows if asked["limit"] is None else rows[: asked["limit"]]


def keep(row: Row, objects: bool, asked: dict[str, Any]) -> bool:
    parent: Row = row["_parent"] or {}
    for name, value in asked.items():
        if name in ("fields", "programs", "gratings", "observations", "tags"):
            single = {
                "fields": "field",
                "programs": "program_slug",
                "gratings": "grating",
                "observations": "observation",
            }
            key = single.get(name, name) if name == "fields" or not objects else name
            held = parent.get("tags", []) if name == "tags" else row[key]
            held = held if isinstance(held, list) else [held]
            good = bool({v.lower() for v in value} & {v.lower() for v in held})
        elif name in ("redshift_range", "max_snr_range"):
            number = row["redshift" if name == "redshift_range" else "_snr"]
            lo, hi = -math.inf if value[0] is None else value[0], math.inf if value[1] is None else value[1]
            good = number is not None and lo <= number <= hi
        elif name == "redshift_quality":
            good = row["redshift_quality"] in [4 if v == "secure" else v for v in value]
        elif name == "dq_flags":
            good = flags_match(value, row["_flags"])
        elif name == "inspected_only":
            good = bool(parent) and (parent["redshift_quality"] > 0) == value
        elif name == "staleness":
            good = bool(parent) and stale(parent) == value
        elif name == "has_photometry":
            good = bool(parent) and parent["has_photometry"] == value
        elif name == "search":
            texts = [row["object_id" if objects else "spectrum_id"], *row["_names"]]
            good = any(value.lower() in text.lower() for text in texts)
        elif name == "cone_search":
            ra, dec = row["ra"], row["dec"]
            good = ra is not None and degrees_apart(value[0], value[1], ra, dec) * 3600 <= value[2]
        else:
            continue
        if not good:
            return False
    return True


def stale(row: Row) -> bool:
    """Of the two times that data changed at, 02:00:00.5+02:00 is half a second after the inspection."""
    changed = row["last_data_change_at"]
    return changed is not None and (row["last_inspected_at"] is None or changed.endswith("+02:00"))


def check(found: Any, rows: list[Row], remote: bool) -> None:
    key = "spectrum_id" if "spectrum_id" in found.colnames else "object_id"
    assert found[key].tolist() == [row[key] for row in rows]
    for name in found.colnames:
        values = found[name].tolist()
        if remote and name in NOT_SENT:
            assert values == [None] * len(rows)
        elif name == "distance_arcsec":
            assert np.allclose(values, [row[name] for row in rows], rtol=0, atol=1e-6)
        else:
            assert values == [row[name] for row in rows], name


@pytest.mark.parametrize("objects", [True, False], ids=["objects", "spectra"])
@pytest.mark.parametrize("seed", range(2))
def test_local_remote_and_plain_reading_agree(
    both: tuple[Service, Campfire], objects: bool, seed: int
) -> None:
    service, cf = both
    rng = random.Random(100 * seed + objects)
    ask = cf.query_objects if objects else cf.query_spectra
    walk = cf.iter_objects if objects else cf.iter_spectra
    for _ in range(12):
        asked = draw(rng, service.world, objects)
        rows = expected(service.world, objects, asked)
        here, there = ask(**asked), ask(**asked, remote=True)
        check(here, rows, remote=False)
        check(there, rows, remote=True)
        assert [(c.name, c.dtype, c.unit, type(c)) for c in here.itercols()] == [
            (c.name, c.dtype, c.unit, type(c)) for c in there.itercols()
        ]
        key = "object_id" if objects else "spectrum_id"
        for remote in (False, True):
            assert [row[key] for row in walk(**asked, remote=remote)] == [row[key] for row in rows]


def test_objects_and_spectra_by_name(both: tuple[Service, Campfire]) -> None:
    """By object id or target id, on either side, with all that belongs to it; wildcards match nothing."""
    service, cf = both
    for row in service.world.object_rows()[::13]:
        spectra = sorted(
            service.world.spectra_of(service.world.seen_targets(row["id"])),
            key=lambda s: (s["target_id"], s["grating"]),
        )
        records = sorted(r["catalog_name"] for r in service.world.records_of(row["id"]))
        for name in (row["object_id"], row["member_target_ids"][-1]):
            for remote in (False, True):
                found = cf.get_object(name, remote=remote)
                assert found is not None
                assert found.object_id == row["object_id"]
                assert found.spectra.spectrum_id.tolist() == [s["spectrum_id"] for s in spectra]
                assert (found.tags, found.observations) == (row["tags"], row["observations"])
                assert [p.catalog for p in found.photometries] == records
                bounds = (found.photo_z, found.photo_z_err_lo, found.photo_z_err_hi)
                assert bounds == (row["photo_z"], row["photo_z_err_lo"], row["photo_z_err_hi"])
    for row in service.world.spectrum_rows()[::31]:
        here, there = (cf.get_spectrum(row["spectrum_id"], remote=remote) for remote in (False, True))
        assert here is not None
        assert here == {name: row[name] for name in here}
        assert there == here | dict.fromkeys(NOT_SENT & here.keys())
    for name in ("J%", "_", "%", "nothing"):
        for remote in (False, True):
            assert cf.get_object(name, remote=remote) is None
            assert cf.get_spectrum(name, remote=remote) is None


@pytest.mark.parametrize("table", ["objects", "spectra"])
def test_leaving_an_iterator_early_asks_for_no_more(both: tuple[Service, Campfire], table: str) -> None:
    service, cf = both
    service.asked.clear()
    walk = cf.iter_objects if table == "objects" else cf.iter_spectra
    next(iter(walk(remote=True, limit=3)))
    # names may be asked for before, where what is known of them is old
    asked = [query for path, query in service.asked if path in ("/objects", "/spectra/list")]
    assert len(asked) == (1 if table == "objects" else 2)
    assert asked[0]["limit"] == "3"


def test_remote_answers_follow_the_service(tmp_path: Path) -> None:
    """``remote=True`` is what the service holds now: an object renamed, a tag made, between two questions."""
    service = Service(World(objects=12))
    world = service.world
    with Campfire(service.url, tmp_path, token="any") as cf:
        known = next(row for row in world.object_rows() if row["has_photometry"])
        assert cf.get_object(known["object_id"], remote=True) is not None
        world.objects[known["id"]]["object_id"] = "J0+new"
        found = cf.get_object("J0+new", remote=True)
        assert found is not None
        assert found.photometry is not None
        world.lists[9] = {"id": 9, "slug": "fresh", "name": "F", "owner": None, "members": {known["id"]}}
        asked = cf.query_objects(tags=["FRESH"], remote=True)
        assert asked["object_id"].tolist() == ["J0+new"]
        assert "fresh" in asked["tags"][0]
        with pytest.raises(ValidationError, match=r"unknown tag .freshh"):
            cf.query_objects(tags=["freshh"], remote=True)
    service.close()


def test_rows_that_do_not_match_take_nobodys_place(tmp_path: Path) -> None:
    """A service that drops a filter altogether still gives the right rows of a limited query."""
    service = Service(World(objects=40))
    service.drop = "has_photometry"
    with Campfire(service.url, tmp_path, token="any") as cf:
        asked: dict[str, Any] = {"has_photometry": False, "limit": 5, "offset": 1, "sort_dir": "asc"}
        check(cf.query_objects(**asked, remote=True), expected(service.world, True, asked), remote=True)
    service.close()
