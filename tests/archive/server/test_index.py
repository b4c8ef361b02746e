"""Statements checked: what indexing promises: groups, names, what stays on a re-run, what is reported."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from astropy.table import Table

from campfire.archive.indexing.index import IndexReport, index_root
from campfire.errors import NotFoundError, ValidationError
from campfire.formats.spec_reader import file_hash, product_facts
from campfire.formats.spec_writer import SpecProduct, write_product
from campfire.formats.zfit import ZFit, read_zfit, write_zfit
from campfire.query import Query
from campfire.store.catalog import Catalog
from campfire.testing import served

Make = Callable[..., Path]
FILTERS = {"PRISM": "clear", "G395M": "f290lp", "G140H": "f100lp"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def put(root: Path, make_product: Callable[..., SpecProduct]) -> Make:
    """Write a product: ``put(observation, grating, source, ra, dec, seed=..., z=...)``."""

    def write(
        observation: str,
        grating: str,
        source: int,
        ra: float,
        dec: float,
        *,
        seed: int = 0,
        z: float | None = None,
        kind: str = "",
    ) -> Path:
        stem = f"{observation}_{grating.lower()}_{kind or FILTERS[grating]}_{source}"
        path = root / "products" / observation / f"{stem}_spec.fits"
        path.parent.mkdir(parents=True, exist_ok=True)
        made = make_product(grating, ra, dec, seed)
        write_product(path, made, overwrite=True)
        if z is not None:
            grid = np.linspace(0.0, 10.0, 1001)
            fit = ZFit(
                redshift=z,
                zqual=0,
                confidence=90.0,
                chi2_min=5.0,
                z=grid,
                chi2=5.0 + (grid - z) ** 2,
                model_wave=made["table"]["wave"],
                model_fnu=made["table"]["fnu"],
            )
            write_zfit(path.with_name(f"{stem}_zfit.fits"), fit, overwrite=True)
        return path

    return write


def objects(root: Path) -> list[dict[str, Any]]:
    with Catalog(root / "meta" / "campfire.db") as catalog:
        return list(catalog.iter_rows(Query.of("objects")))


def spectra(root: Path) -> dict[str, dict[str, Any]]:
    with Catalog(root / "meta" / "campfire.db") as catalog:
        return {row["spectrum_id"]: row for row in catalog.iter_rows(Query.of("spectra"))}


def changes(report: IndexReport) -> dict[str, list[str]]:
    """The lists of a report that are not empty."""
    lists = {"added": report["added"], "updated": report["updated"], "removed": report["removed"]}
    return {name: found for name, found in (lists | {"broken": report["broken"]}).items() if found}


def test_a_folder_becomes_a_catalogue(root: Path, put: Make) -> None:
    path = put("ember_p1", "PRISM", 11, 150.1, 2.2, seed=1, z=4.25)
    put("ember_p1", "G395M", 11, 150.1, 2.2, seed=2, z=4.27)
    put("gto_p2", "PRISM", 7, 150.1 + 0.2 / 3600, 2.2, seed=3)
    put("gto_p2", "PRISM", 8, 150.1 + 0.7 / 3600, 2.2, seed=4, z=1.5)
    report = index_root(root)
    assert changes(report) == {"added": sorted(spectra(root))}
    assert (report["spectra"], report["objects"], report["unchanged"]) == (4, 2, 0)
    first, second = objects(root)
    assert first["object_id"] == "J100024.01+021200.0"
    assert first["member_target_ids"] == ["ember_p1_11", "gto_p2_7"]
    assert first["gratings"] == ["G395M", "PRISM"]
    assert first["observations"] == ["ember_p1", "gto_p2"]
    assert (first["field"], first["programs"], first["n_spectra"]) == ("cosmos", ["jwst-4233"], 3)
    assert first["ra"] == pytest.approx(150.1 + 0.1 / 3600, abs=1e-9)
    assert first["redshift"] == first["redshift_auto"] == pytest.approx(4.25, abs=1e-9)
    assert (second["member_target_ids"], second["redshift"]) == (["gto_p2_8"], pytest.approx(1.5, abs=1e-9))
    row, facts = spectra(root)["ember_p1_prism_clear_11"], product_facts(path)
    assert row["fits_path"] == "spectra/ember_p1/ember_p1_prism_clear_11_spec.fits"
    assert row["file_hash"] == file_hash(path) == facts["file_hash"]
    assert row["signal_to_noise"] == facts["signal_to_noise"]
    assert (row["exposure_time"], row["reduction_version"]) == (3502.5, "0.5.0")
    with Catalog(root / "meta" / "campfire.db") as catalog:
        assert catalog.programs() == [
            {
                "slug": "jwst-4233",
                "program_name": "JWST 4233",
                "pi_name": "A. Person",
                "is_public": True,
                "jwst_program": "4233",
            }
        ]
        assert [row["spectrum_count"] for row in catalog.observations()] == [2, 2]


def test_indexing_again_changes_nothing(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 0.00001, 0.0, z=2.0)
    put("a_p1", "G395M", 1, 0.00001, 0.0)
    put("b_p1", "PRISM", 1, 359.99999, 0.0)
    index_root(root)
    with Catalog(root / "meta" / "campfire.db") as catalog:
        revision = catalog.revision
    before = objects(root), spectra(root)
    assert len(before[0]) == 1
    report = index_root(root)
    assert (changes(report), report["unchanged"]) == ({}, 3)
    assert (objects(root), spectra(root)) == before
    with Catalog(root / "meta" / "campfire.db") as catalog:
        assert catalog.revision == revision


def test_the_order_of_arrival_does_not_matter(root: Path, put: Make, tmp_path: Path) -> None:
    places = [
        ("a_p1", 1, 10.0),
        ("b_p1", 1, 10.0 + 0.25 / 3600),
        ("c_p1", 1, 10.0 + 0.5 / 3600),
        ("d_p1", 9, 10.1),
    ]
    for observation, source, ra in places[::-1]:
        put(observation, "PRISM", source, ra, 0.0)
        index_root(root)
    other = tmp_path / "other"
    shutil.copytree(root / "products", other / "products")
    index_root(other)
    members = [[row["member_target_ids"] for row in objects(folder)] for folder in (root, other)]
    assert sorted(members[0]) == sorted(members[1]) == [["a_p1_1", "b_p1_1", "c_p1_1"], ["d_p1_9"]]


def _inspect(root: Path, object_id: str) -> None:
    """Do what people do: inspect, tag, flag."""
    with Catalog(root / "meta" / "campfire.db") as catalog:
        row = next(r for r in catalog.iter_rows(Query.of("objects")) if r["object_id"] == object_id)
        with catalog.write() as writer:
            writer.put_tags([{"slug": "lrd", "name": "Little Red Dots", "visibility": "public_edit"}])
            row |= {
                "redshift_quality": 4,
                "redshift_inspected": 6.5,
                "redshift": 6.5,
                "last_inspected_at": "2026-01-01T00:00:00+00:00",
                "lists": ["lrd"],
            }
            writer.put_objects([row])
            writer.execute("UPDATE spectra SET dq_flags = 2")


def test_inspections_tags_flags_and_ids_are_kept(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2, seed=1, z=1.0)
    index_root(root)
    _inspect(root, "J100024.00+021200.0")
    before = spectra(root)["a_p1_prism_clear_1"]
    put("a_p1", "PRISM", 1, 150.1, 2.2, seed=2, z=1.0)
    put("a_p1", "G395M", 1, 150.1, 2.2, seed=3)
    put("b_p1", "PRISM", 5, 150.1 + 0.1 / 3600, 2.2, seed=4)
    report = index_root(root)
    assert changes(report) == {
        "added": ["a_p1_g395m_f290lp_1", "b_p1_prism_clear_5"],
        "updated": ["a_p1_prism_clear_1"],
    }
    (row,) = objects(root)
    assert (row["id"], row["object_id"]) == (1, "J100024.00+021200.0")
    assert (row["redshift"], row["redshift_quality"], row["tags"]) == (6.5, 4, ["lrd"])
    assert (row["staleness_reason"], row["version"]) == ("new_target", 2)
    assert row["last_data_change_at"] > row["last_inspected_at"]
    after = spectra(root)["a_p1_prism_clear_1"]
    assert (after["id"], after["dq_flags"]) == (before["id"], 2)
    assert after["file_hash"] != before["file_hash"]
    assert after["updated_at"] > before["updated_at"]


def test_a_reprocessed_file_makes_its_object_stale(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2, seed=1)
    put("a_p1", "PRISM", 2, 150.2, 2.2, seed=1)
    index_root(root)
    put("a_p1", "PRISM", 1, 150.1, 2.2, seed=2)
    index_root(root)
    assert [row["staleness_reason"] for row in objects(root)] == ["reprocessed", None]


def test_a_new_fit_beside_an_old_spectrum_is_seen(root: Path, put: Make) -> None:
    path = put("a_p1", "PRISM", 1, 150.1, 2.2)
    index_root(root)
    assert objects(root)[0]["redshift_auto"] is None
    put("a_p1", "PRISM", 1, 150.1, 2.2, z=3.0)
    assert changes(index_root(root)) == {"updated": ["a_p1_prism_clear_1"]}
    assert objects(root)[0]["redshift_auto"] == pytest.approx(3.0, abs=1e-9)
    path.with_name(path.name.replace("_spec", "_zfit")).unlink()
    index_root(root)
    assert objects(root)[0]["redshift_auto"] is None


def test_files_that_are_gone_and_come_back(root: Path, put: Make, tmp_path: Path) -> None:
    kept = put("a_p1", "PRISM", 1, 150.1, 2.2)
    put("b_p1", "PRISM", 1, 34.2, -5.1)
    index_root(root)
    _inspect(root, "J100024.00+021200.0")
    away = shutil.move(kept, tmp_path / kept.name)
    assert changes(index_root(root)) == {"removed": ["a_p1_prism_clear_1"]}
    assert [row["field"] for row in objects(root)] == ["uds"]
    put("c_p1", "PRISM", 1, 214.9, 52.9)
    index_root(root)
    shutil.move(away, kept)
    assert changes(index_root(root)) == {"added": ["a_p1_prism_clear_1"]}
    back = next(row for row in objects(root) if row["field"] == "cosmos")
    assert (back["id"], back["tags"], back["redshift"]) == (1, ["lrd"], 6.5)
    assert len({row["id"] for row in objects(root)}) == 3


def test_objects_that_become_one_keep_tags_and_inspection(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    put("b_p1", "PRISM", 1, 150.1 + 0.5 / 3600, 2.2)
    put("b_p1", "G395M", 1, 150.1 + 0.5 / 3600, 2.2)
    index_root(root)
    _inspect(root, objects(root)[1]["object_id"])
    put("c_p1", "PRISM", 1, 150.1 + 0.25 / 3600, 2.2)
    index_root(root)
    (row,) = objects(root)
    assert row["member_target_ids"] == ["a_p1_1", "b_p1_1", "c_p1_1"]
    assert (row["redshift_quality"], row["tags"]) == (4, ["lrd"])


def test_a_broken_file_is_named_and_the_rest_indexed(root: Path, put: Make) -> None:
    good, bad = put("a_p1", "PRISM", 1, 150.1, 2.2), put("a_p1", "PRISM", 2, 150.2, 2.2)
    whole = bad.read_bytes()
    bad.write_bytes(whole[:4000])
    (good.parent / "a_p1_prism_clear_3_spec.fits").write_bytes(b"")
    report = index_root(root)
    assert report["added"] == ["a_p1_prism_clear_1"]
    named = [entry.partition(":")[0] for entry in report["broken"]]
    assert named == ["a_p1/a_p1_prism_clear_2_spec.fits", "a_p1/a_p1_prism_clear_3_spec.fits"]
    bad.write_bytes(whole)
    assert index_root(root)["added"] == ["a_p1_prism_clear_2"]
    before = spectra(root)["a_p1_prism_clear_2"]
    bad.write_bytes(whole[:4000])
    assert sorted(changes(index_root(root))) == ["broken"]
    assert spectra(root)["a_p1_prism_clear_2"] == before


def test_only_exact_names_count(root: Path, put: Make) -> None:
    path = put("a_p1", "PRISM", 1, 150.1, 2.2)
    for name in (
        *("a_p1_prism_clear_1_g1_spec.fits", "a_p1_prism_clear_1_s2d.fits", "A_P1_PRISM_CLEAR_2_spec.fits"),
        *(
            "other_p1_prism_clear_2_spec.fits",
            ".a_p1_prism_clear_5_spec.fits",
            "a_p1_prism_clear_6_spec.fits.tmp",
        ),
    ):
        shutil.copy(path, path.with_name(name))
    report = index_root(root)
    assert changes(report) == {"added": ["a_p1_prism_clear_1"]}
    # Nothing is passed over in silence, but for what a pipeline leaves behind.
    assert [entry.partition(": ")[0] for entry in report["ignored"]] == [
        "a_p1/A_P1_PRISM_CLEAR_2_spec.fits",
        "a_p1/a_p1_prism_clear_1_s2d.fits",
        "a_p1/other_p1_prism_clear_2_spec.fits",
    ]
    assert all(entry.partition(": ")[2] for entry in report["ignored"])


def test_one_spectrum_a_target_and_grating(root: Path, put: Make) -> None:
    put("a_p1", "G140H", 1, 150.1, 2.2, seed=1, kind="f070lp")
    put("a_p1", "G140H", 1, 150.1, 2.2, seed=9, kind="f100lp")
    report = index_root(root)
    assert report["added"] == ["a_p1_g140h_f100lp_1"]
    assert report["broken"][0].startswith("a_p1/a_p1_g140h_f070lp_1_spec.fits: same target and grating")


def test_the_fit_of_another_spectrum_is_named_and_not_believed(root: Path, put: Make) -> None:
    """Statement: a fit belongs to a spectrum by its wavelengths, whatever it is called."""
    path = put("a_p1", "PRISM", 1, 0.00001, 0.0, z=2.0)
    other = put("a_p1", "PRISM", 2, 1.0, 0.0, z=3.0)
    fits = [p.with_name(p.name.replace("_spec", "_zfit")) for p in (path, other)]
    shifted = read_zfit(fits[1])
    shifted["model_wave"] = shifted["model_wave"] * 1.01
    write_zfit(fits[0], shifted, overwrite=True)
    report = index_root(root)
    assert [entry.split(":")[0] for entry in report["broken"]] == [f"a_p1/{fits[0].name}"]
    assert [row["redshift_auto"] for row in spectra(root).values()] == [None, pytest.approx(3.0)]


def test_redshift_of_the_best_resolution_exposure_and_id(root: Path, put: Make) -> None:
    put("a_p1", "G140H", 1, 150.1, 2.2, seed=9, z=1.0)
    put("a_p1", "G395M", 1, 150.1, 2.2, seed=5, z=2.0)
    index_root(root)
    assert objects(root)[0]["redshift"] == pytest.approx(2.0, abs=1e-9)
    put("b_p1", "PRISM", 1, 150.1, 2.2, seed=1, z=3.0)
    put("c_p1", "PRISM", 1, 150.1, 2.2, seed=2, z=4.0)
    put("d_p1", "PRISM", 1, 150.1, 2.2, seed=2, z=5.0)
    put("e_p1", "PRISM", 1, 150.1, 2.2, seed=3)
    index_root(root)
    assert objects(root)[0]["redshift"] == pytest.approx(4.0, abs=1e-9)


def test_fields(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 34.2, -5.1)
    put("b_p1", "PRISM", 1, 250.0, 10.0)
    index_root(root)
    assert {row["field"] for row in objects(root)} == {"uds", "unknown"}
    index_root(root, field="Mine")
    assert (
        {row["field"] for row in objects(root)}
        == {row["field"] for row in spectra(root).values()}
        == {"mine"}
    )
    index_root(root)
    assert {row["field"] for row in objects(root)} == {"mine"}


def _table(path: Path, name: str = "f444w") -> None:
    table = Table(
        {
            "id": [11, 12, 13],
            "ra": [150.1 + 0.1 / 3600, 150.1 + 0.05 / 3600, 10.0],
            "dec": [2.2, 2.2, 0.0],
            f"f_{name}": [1.0, 2.0, 3.0],
            f"e_{name}": [0.1, np.nan, 0.3],
            "f_odd": [5.0, 6.0, 7.0],
            "e_odd": [0.5, 0.6, 0.7],
            "photo_z": [1.0, 2.0, 3.0],
        },
        meta={"name": "Demo v2"},
    )
    formats = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".fits": "fits"}
    table.write(path, format=formats[path.suffix], overwrite=True)


@pytest.mark.parametrize("suffix", [".ecsv", ".csv", ".fits"])
def test_photometry_by_position(root: Path, put: Make, tmp_path: Path, suffix: str) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    put("a_p1", "PRISM", 2, 150.2, 2.2)
    path = tmp_path / f"phot{suffix}"
    _table(path)
    assert index_root(root, photometry=path)["photometry"] == 1
    first, second = objects(root)
    assert (first["has_photometry"], first["photo_z"], second["has_photometry"]) == (True, 2.0, False)
    with Catalog(root / "meta" / "campfire.db") as catalog:
        (record,) = catalog.photometry_of(first["object_id"])
        assert record["photometry"] == {"flux_unit": "uJy", "bands": {"odd": {"flux": 6.0, "flux_err": 0.6}}}
        assert (record["catalog_id"], record["match_distance_arcsec"]) == ("12", 0.05)
        assert record["catalog_name"] == ("phot" if suffix == ".csv" else "Demo v2")
        revision = catalog.revision
    index_root(root, photometry=path)
    with Catalog(root / "meta" / "campfire.db") as catalog:
        assert catalog.revision == revision


def test_photometry_units_and_wavelengths(root: Path, put: Make, tmp_path: Path) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    table = Table({"RA": [150.1], "DEC": [2.2], "F444W": [2.0], "F444W_err": [0.5], "ra_err": [1.0]})
    table["F444W"].unit = table["F444W_err"].unit = "nJy"
    table.write(tmp_path / "p.ecsv", format="ascii.ecsv")
    index_root(root, photometry=tmp_path / "p.ecsv")
    with Catalog(root / "meta" / "campfire.db") as catalog:
        bands = catalog.photometry_of(objects(root)[0]["object_id"])[0]["photometry"]["bands"]
    assert list(bands) == ["F444W"]
    assert (bands["F444W"]["flux"], bands["F444W"]["wav"]) == (pytest.approx(2e-3), 4.415974)


def test_bad_input(root: Path, put: Make, tmp_path: Path) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    with pytest.raises(NotFoundError):
        index_root(tmp_path / "nowhere")
    with pytest.raises(NotFoundError):
        index_root(root, photometry=tmp_path / "none.ecsv")
    for radius in (0.0, -1.0, float("nan")):
        with pytest.raises(ValidationError):
            index_root(root, match_radius=radius)
    for name, text in (("a.ecsv", "no table"), ("b.csv", "x,y\n1,2\n"), ("c.txt", "")):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValidationError):
            index_root(root, photometry=tmp_path / name)
    assert not (root / "meta" / "campfire.db").exists()


def test_a_copy_of_a_service_is_not_touched(root: Path, put: Make) -> None:
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    with Catalog(root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.set_meta("last_synced", "2026-01-01T00:00:00+00:00")
    with pytest.raises(ValidationError, match="copy of a service"):
        index_root(root)


def test_progress_and_an_empty_folder(root: Path, put: Make) -> None:
    seen: list[tuple[str, int, int | None]] = []
    report = index_root(root, progress=lambda *args: seen.append(args))
    assert (report["spectra"], seen) == (0, [])
    put("a_p1", "PRISM", 1, 150.1, 2.2)
    put("a_p1", "PRISM", 2, 150.1, 2.2)
    index_root(root, progress=lambda *args: seen.append(args))
    assert seen == [("index", 1, 2), ("index", 2, 2)]


def test_a_running_server_sees_the_new_hash(root: Path, put: Make) -> None:
    path = put("a_p1", "PRISM", 1, 150.1, 2.2, seed=1)
    index_root(root)
    headers = {"Authorization": "Bearer x"}
    with served(root) as url, httpx.Client(headers=headers, verify=False) as client:

        def row() -> dict[str, Any]:
            found: dict[str, Any] = client.get(f"{url}/sync/spectra").json()["data"][0]
            return found

        first = row()
        put("a_p1", "PRISM", 1, 150.1, 2.2, seed=2)
        index_root(root)
        changed = client.get(f"{url}/sync/spectra", params={"updated_since": first["updated_at"]}).json()[
            "data"
        ]
        assert [r["file_hash"] for r in changed] == [file_hash(path)]
        link = client.get(f"{url}/observations/a_p1/manifest").json()["spectra"][0]["download_url"]
        assert httpx.get(link).headers["etag"] == f'"{row()["file_hash"]}"'
