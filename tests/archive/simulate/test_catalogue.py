"""Statement checked: large catalogues have the vocabulary, the numbers and the traps, in few seconds."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from campfire.archive.simulate.bulk_catalogue import make_catalogue
from campfire.archive.simulate.catalogue_rows import Tables
from campfire.config import DataPaths
from campfire.errors import ValidationError
from campfire.query import Query
from campfire.store.catalog import Catalog

NUMBER = 3000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tables]:
    root = tmp_path_factory.mktemp("catalogue")
    return root, make_catalogue(root, objects=NUMBER, seed=2)


def test_numbers_scale_with_the_archive(made: tuple[Path, Tables]) -> None:
    root, tables = made
    assert len(tables.objects) == NUMBER
    # 47,000 spectra for 33,000 objects.
    assert len(tables.spectra) / NUMBER == pytest.approx(47 / 33, rel=0.05)
    assert len({row["observation"] for row in tables.spectra}) == 150
    with Catalog(DataPaths(root).database, read_only=True) as catalog:
        assert catalog.count(Query.of("objects")) == NUMBER
        assert catalog.count(Query.of("spectra")) == len(tables.spectra)
        assert len(catalog.observations()) == 150
    assert not list(root.rglob("*.fits"))


def test_names_are_unique_and_well_formed(made: tuple[Path, Tables]) -> None:
    _, tables = made
    assert len({row["object_id"] for row in tables.objects}) == NUMBER
    assert len({row["spectrum_id"] for row in tables.spectra}) == len(tables.spectra)
    assert len({(row["target_id"], row["grating"]) for row in tables.spectra}) == len(tables.spectra)
    assert len({row["target_id"] for row in tables.targets}) == len(tables.targets)
    keys = {(row["field"], row["catalog_name"], row["catalog_id"]) for row in tables.photometry}
    assert len(keys) == len(tables.photometry)
    pattern = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9+_.,=@ -]{0,199}")
    assert all(pattern.fullmatch(row["observation"]) for row in tables.spectra)


def test_traps_are_set(made: tuple[Path, Tables]) -> None:
    _, tables = made
    objects, spectra = tables.objects, tables.spectra
    assert any(row["ra"] < 0.2 for row in objects)
    assert any(row["ra"] > 359.8 for row in objects)
    assert any(61 < row["dec"] < 63 for row in objects)
    assert any(row["dec"] > 89.9 for row in objects)
    assert all(0.0 <= row["ra"] < 360.0 and -90.0 <= row["dec"] <= 90.0 for row in objects)
    assert {row["redshift_quality"] for row in objects} == {0, 1, 2, 3, 4}
    assert any(row["redshift"] is None and row["redshift_quality"] == 0 for row in objects)
    for column in ("signal_to_noise", "redshift_auto", "file_hash"):
        assert any(row[column] is None for row in spectra), column
    assert any(row["dq_flags"] & 512 for row in spectra)
    union = 0
    for row in spectra:
        union |= row["dq_flags"]
    assert union & 511 == 511
    slugs = {row["slug"] for row in tables.programs}
    assert {"deep_wide", "deep-wide", "lens_a", "lens-a", "lensxa", "cluster_1", "cluster_10"} <= slugs
    assert sum(not row["is_public"] for row in tables.programs) >= 2
    copies = Counter(row["object_id"] for row in tables.photometry)
    assert set(copies.values()) == {1, 2}
    assert len(copies) < NUMBER
    assert any("my-secret-sample" in row["lists"] for row in objects)


def test_the_same_seed_gives_the_same_rows(tmp_path: Path) -> None:
    first, again, other = (
        make_catalogue(tmp_path / str(number), objects=150, seed=seed)
        for number, seed in enumerate((1, 1, 2))
    )
    assert (first.objects, first.spectra, first.photometry) == (
        again.objects,
        again.spectra,
        again.photometry,
    )
    assert first.objects != other.objects


def test_an_existing_catalogue_is_not_overwritten(made: tuple[Path, Tables]) -> None:
    with pytest.raises(ValidationError, match="holds a catalogue already"):
        make_catalogue(made[0], objects=5)
    with pytest.raises(ValidationError, match="objects=0"):
        make_catalogue(made[0], objects=0)
