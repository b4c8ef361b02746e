"""Statement checked: an archive has exactly what was asked for, and from 20 objects on some of everything."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campfire.archive.simulate.archive import make_archive
from campfire.archive.simulate.inspections import unique_names
from campfire.archive.simulate.survey import place_objects, timestamp
from campfire.archive.simulate.truth import Truth
from campfire.config import DataPaths
from campfire.errors import NotFoundError, ValidationError
from campfire.flags import DQFlags
from campfire.formats.names import object_name
from campfire.query import Query
from campfire.store.catalog import Catalog


@pytest.fixture(scope="module")
def catalog(paths: DataPaths) -> Catalog:
    return Catalog(paths.database, read_only=True)


@pytest.fixture(scope="module")
def objects(catalog: Catalog, truth: Truth) -> list[dict[str, Any]]:
    """Only the first 20 objects: with them there has to be some of everything."""
    first = {record.object_id for record in truth.objects[:20]}
    return [row for row in catalog.iter_rows(Query.of("objects")) if row["object_id"] in first]


@pytest.fixture(scope="module")
def spectra(catalog: Catalog, truth: Truth) -> list[dict[str, Any]]:
    first = {record.object_id for record in truth.objects[:20]}
    return [row for row in catalog.iter_rows(Query.of("spectra")) if row["object_id"] in first]


def _file(paths: DataPaths, spectrum_id: str) -> Path:
    (path,) = paths.products.glob(f"*/{spectrum_id}_spec.fits")
    return path


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*.fits"))
    }


def test_there_are_exactly_as_many_objects(
    truth: Truth, catalog: Catalog, objects: list[dict[str, Any]]
) -> None:
    assert len(objects) == len({row["object_id"] for row in objects}) == 20
    assert catalog.count(Query.of("objects")) == len(truth.objects) == 24


@pytest.mark.parametrize("number", [1, 2, 5])
def test_small_archives_work(number: int, tmp_path: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    truth = make_archive(tmp_path, objects=number, seed=3, progress=lambda *what: told.append(what))
    with Catalog(tmp_path / "meta" / "campfire.db", read_only=True) as catalog:
        assert catalog.count(Query.of("objects")) == number
        assert catalog.count(Query.of("spectra")) == len(truth.spectra)
    assert told[-1] == ("objects", number, number)
    assert len(list(tmp_path.glob("products/*/*_spec.fits"))) == len(truth.spectra)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_archive(tmp_path / name, objects=2, seed=seed)
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again
    assert len(first) > 10
    assert not set(first.values()) & set(other.values())
    truths = [(tmp_path / name / "truth.json").read_text() for name in "ab"]
    assert truths[0] == truths[1]


def test_an_object_does_not_depend_on_how_many_there_are(truth: Truth, tmp_path: Path) -> None:
    few = make_archive(tmp_path, objects=1, seed=truth.seed)
    assert few.objects[0].redshift == truth.objects[0].redshift
    assert few.objects[0].lines == truth.objects[0].lines


def test_fields_lie_across_ra_0_and_at_dec_62(objects: list[dict[str, Any]]) -> None:
    fields = {row["field"] for row in objects}
    assert len(fields) >= 3
    assert all(name == name.lower() for name in fields)
    straddling = [
        {row["ra"] > 180.0 for row in objects if row["field"] == name and (row["ra"] < 1 or row["ra"] > 359)}
        for name in fields
    ]
    assert {True, False} in straddling
    assert any(61.9 < row["dec"] < 62.5 for row in objects)


def test_programs_observations_and_gratings(catalog: Catalog, spectra: list[dict[str, Any]]) -> None:
    programs = catalog.programs()
    assert len(programs) >= 3
    assert sum(not row["is_public"] for row in programs) >= 1
    assert all(re.fullmatch(r"[a-z0-9_-]+", row["slug"]) for row in programs)
    assert len(catalog.observations()) >= 4
    assert len({row["grating"] for row in spectra}) >= 4
    # Objects of the program that is not public: seen by it alone, and shared with public ones.
    private = {row["slug"] for row in programs if not row["is_public"]}
    owners: dict[str, set[str]] = {}
    for row in spectra:
        owners.setdefault(row["object_id"], set()).add(row["program_slug"])
    assert any(slugs <= private for slugs in owners.values())
    assert any(slugs & private and slugs - private for slugs in owners.values())


def test_every_redshift_quality_is_there_and_means_what_it_says(objects: list[dict[str, Any]]) -> None:
    assert {row["redshift_quality"] for row in objects} == {0, 1, 2, 3, 4}
    for row in objects:
        if row["redshift_quality"] == 1:
            assert row["redshift"] is None
        elif row["redshift_inspected"] is not None:
            assert row["redshift"] == row["redshift_inspected"] == round(row["redshift"], 6)
        else:
            assert row["redshift"] == row["redshift_auto"]
        assert (row["last_inspected_at"] is not None) == (row["redshift_quality"] > 0)


def test_tags_are_earned_by_physics(truth: Truth, catalog: Catalog, objects: list[dict[str, Any]]) -> None:
    personal = {"follow-up", "my-secret-sample"}
    carried = set()
    for row in objects:
        tags = set(row["tags"])
        carried |= tags
        earned = set(truth.object(row["object_id"]).earned_tags)
        assert tags - personal == (earned if row["redshift_quality"] > 1 else set())
    assert {"lrd", "blagn", "o3e", "hae", "qg", "star", "dusty"} <= carried
    tags_known = {row["slug"]: row for row in catalog.tags()}
    assert {"lrd", "blagn", "lae", "bbg", "o3e", "hae", "qg", "dusty", "star"} <= set(tags_known)


def test_somebody_else_has_a_private_list(catalog: Catalog, objects: list[dict[str, Any]]) -> None:
    secret = next(row for row in catalog.tags() if row["slug"] == "my-secret-sample")
    assert secret["visibility"] == "private"
    assert not secret["is_system"]
    assert secret["created_by"]
    assert any("my-secret-sample" in row["tags"] for row in objects)


def test_flags_are_there_and_true(truth: Truth, spectra: list[dict[str, Any]]) -> None:
    union = 0
    for row in spectra:
        union |= row["dq_flags"]
        flags = row["dq_flags"]
        assert bool(flags & int(DQFlags.LOW_SNR)) == (row["signal_to_noise"] < 8.0)
        assert bool(flags & int(DQFlags.CHIP_GAP)) == row["grating"].endswith("H")
        if flags & int(DQFlags.CONTAMINATION):
            assert truth.spectrum(row["spectrum_id"]).contaminated
    for flag in DQFlags:
        assert union & int(flag), flag.name
    assert union >= 512, "a bit without a name"
    assert any(row["dq_flags"] == 0 for row in spectra)


def test_visits_repeat_and_photometry_is_missing_sometimes(
    catalog: Catalog, objects: list[dict[str, Any]], spectra: list[dict[str, Any]]
) -> None:
    prisms: dict[str, set[str]] = {}
    for row in spectra:
        if row["grating"] == "PRISM":
            prisms.setdefault(row["object_id"], set()).add(row["observation"])
    assert max(len(visits) for visits in prisms.values()) >= 3
    assert sum(len(visits) >= 2 for visits in prisms.values()) >= 8
    without = [row for row in objects if not row["has_photometry"]]
    assert 0 < len(without) < len(objects) / 2
    records = [catalog.photometry_of(row["object_id"]) for row in objects]
    assert max(len(rows) for rows in records) == 2
    bands = [
        band
        for rows in records
        for row in rows
        for band in (
            json.loads(row["photometry"]) if isinstance(row["photometry"], str) else row["photometry"]
        )["bands"].values()
    ]
    assert any(band["flux"] < 0 for band in bands)
    assert any("wav" not in band for band in bands)
    for row in without:
        assert catalog.photometry_of(row["object_id"]) == []
        assert row["photo_z"] is None


def test_data_changed_after_some_inspections(objects: list[dict[str, Any]]) -> None:
    reasons = {row["staleness_reason"] for row in objects}
    assert {None, "reprocessed", "new_target", "membership_changed"} <= reasons
    later = [
        row
        for row in objects
        if row["last_inspected_at"]
        and row["last_data_change_at"]
        and row["last_data_change_at"] > row["last_inspected_at"]
    ]
    assert 0 < len(later) < len(objects)
    assert any(row["last_inspected_at"] and not row["last_data_change_at"] for row in objects)


def test_names_are_those_of_positions_and_members(
    truth: Truth, objects: list[dict[str, Any]], spectra: list[dict[str, Any]]
) -> None:
    for row in objects:
        assert re.fullmatch(r"J\d{6}\.\d\d[+-]\d{6}\.\d(_\d+)?", row["object_id"])
        assert row["object_id"].split("_")[0] == object_name(row["ra"], row["dec"])
        assert 0.0 <= row["ra"] < 360.0
    for spectrum in spectra:
        source = int(spectrum["target_id"].rpartition("_")[2])
        assert spectrum["target_id"] == f"{spectrum['observation']}_{source}"
        stem = spectrum["spectrum_id"]
        assert stem.startswith(f"{spectrum['observation']}_{spectrum['grating'].lower()}_")
        assert stem.endswith(f"_{source}")
        assert spectrum["fits_path"] == f"spectra/{spectrum['observation']}/{stem}_spec.fits"
    assert "ember_uds_p4_123456" in truth.objects[0].target_ids
    assert len({(row["target_id"], row["grating"]) for row in spectra}) == len(spectra)


def test_the_catalogue_says_what_the_files_say(paths: DataPaths, spectra: list[dict[str, Any]]) -> None:
    from astropy.io import fits

    for row in spectra:
        path = _file(paths, row["spectrum_id"])
        assert row["file_hash"] == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        assert row["file_size"] == path.stat().st_size
        header, table = fits.getheader(path), fits.getdata(path, 1)
        assert row["exposure_time"] == header["EFFEXPTM"]
        assert row["reduction_version"] == header["CMPFRVER"]
        good = np.isfinite(table["fnu"]) & np.isfinite(table["fnu_err"]) & (table["fnu_err"] > 0)
        ratio = table["fnu"][good].astype(float) / table["fnu_err"][good]
        assert row["signal_to_noise"] == pytest.approx(ratio.max(), rel=1e-6)
        fit = path.with_name(path.name.replace("_spec", "_zfit"))
        assert (row["redshift_auto"] is not None) == fit.exists()
        if fit.exists():
            curve = fits.getdata(fit, "CHI2")
            assert row["redshift_auto"] == curve["z"][np.argmin(curve["chi2"])]


def test_objects_summarise_their_spectra(
    objects: list[dict[str, Any]], spectra: list[dict[str, Any]]
) -> None:
    rank = {"P": 0, "M": 1, "H": 2}
    for row in objects:
        members = [item for item in spectra if item["object_id"] == row["object_id"]]
        assert row["n_spectra"] == len(members)
        assert row["n_targets"] == len({item["target_id"] for item in members})
        assert set(row["gratings"]) == {item["grating"] for item in members}
        assert set(row["programs"]) == {item["program_slug"] for item in members}
        assert row["max_snr"] == max(item["signal_to_noise"] for item in members)
        assert row["max_exposure_time"] == max(item["exposure_time"] for item in members)
        fitted = [item for item in members if item["redshift_auto"] is not None]
        if fitted:
            best = min(
                fitted,
                key=lambda item: (
                    rank["P" if item["grating"] == "PRISM" else item["grating"][-1]],
                    -item["exposure_time"],
                    item["id"],
                ),
            )
            assert row["redshift_auto"] == best["redshift_auto"]


def test_most_bright_spectra_have_right_redshifts_and_faint_ones_fail(
    truth: Truth, spectra: list[dict[str, Any]]
) -> None:
    bright, wrong = [], 0
    for row in spectra:
        if row["redshift_auto"] is None:
            continue
        true = truth.object(row["object_id"]).redshift
        right = abs(row["redshift_auto"] - true) < 0.01 * (1.0 + true)
        wrong += not right
        if row["signal_to_noise"] > 15.0 and row["grating"] == "PRISM":
            bright.append(right)
    assert np.mean(bright) > 0.9
    assert wrong > 0


def test_shutters_have_every_state(catalog: Catalog, paths: DataPaths, truth: Truth) -> None:
    import sqlite3

    with sqlite3.connect(paths.database) as connection:
        rows = connection.execute("SELECT target_id, shutter_state, field FROM shutters").fetchall()
    assert {state for _, state, _ in rows} == {"source", "open", "stuck_closed"}
    known = {target for record in truth.objects for target in record.target_ids}
    assert {target for target, *_ in rows} == known


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="objects=0"):
        make_archive(tmp_path, objects=0)
    make_archive(tmp_path, objects=1)
    with pytest.raises(ValidationError, match=r"holds meta.campfire\.db already"):
        make_archive(tmp_path, objects=1)
    with pytest.raises(NotFoundError, match=r"truth\.json"):
        Truth.read(tmp_path / "nothing")
    truth = Truth.read(tmp_path)
    with pytest.raises(NotFoundError, match="no simulated object"):
        truth.object("J0")
    with pytest.raises(NotFoundError, match="no simulated spectrum"):
        truth.spectrum("x")


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    "name", ["meta/campfire.db", "meta/campfire.db-wal", "products", "imaging", "truth.json", "truth.npz"]
)
def test_nothing_that_is_there_is_written_over(name: str, link: bool, tmp_path: Path) -> None:
    path = tmp_path / "root" / name
    path.parent.mkdir(parents=True)
    if link:
        path.symlink_to(tmp_path / "elsewhere")
    else:
        path.write_text("months of work")
    with pytest.raises(ValidationError, match="already"):
        make_archive(tmp_path / "root", objects=1)
    assert [p for p in (tmp_path / "root").rglob("*") if not p.is_dir()] == [path]
    assert not (tmp_path / "elsewhere").exists()
    assert link or path.read_text() == "months of work"


def test_small_things() -> None:
    assert unique_names(["a", "a", "b", "a"]) == ["a", "a_1", "b", "a_2"]
    assert timestamp(0.25, zone=False, digits=3) == "2026-01-05T06:15:00.000"
    assert object_name(359.9999999, -0.5) == "J000000.00-003000.0"
    assert object_name(15.0 * (1 + 2 / 60 + 3.45 / 3600), 12.5) == "J010203.45+123000.0"


@pytest.mark.parametrize("number", [1, 2, 3, 9, 50])
def test_objects_keep_their_distance(number: int) -> None:
    from campfire.archive.simulate.survey import FIELDS

    for field in FIELDS:
        ra, dec = place_objects(field, number, np.random.default_rng(number))
        east = ((ra - field.ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(field.dec)) * 3600.0
        north = (dec - field.dec) * 3600.0
        apart = np.hypot(east[:, None] - east, north[:, None] - north)
        np.fill_diagonal(apart, np.inf)
        assert number == 1 or apart.min() > 1.9
        assert number == 1 or east.min() < 0.0 < east.max()
