"""Statement: a spectrum's file is known by its content; another one is never opened, and never silently."""

from __future__ import annotations

import gzip
import os
import shutil
import sqlite3
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from campfire import SpectrumData
from campfire.client import Campfire
from campfire.errors import CampfireError, CampfireWarning, ValidationError
from campfire.formats.zfit import read_zfit, write_zfit
from campfire.store import file_hashes
from campfire.store.file_state import hash_file
from tests.client.conftest import Service

Swap = Callable[["Pair"], object]


class Pair:
    """Two downloaded spectra of one grating: the file of ``other`` gets into the place of ``name``."""

    def __init__(self, cf: Campfire) -> None:
        rows = cf.query_spectra(gratings=["PRISM"])
        self.cf = cf
        self.name, self.other = (str(name) for name in rows["spectrum_id"][:2])
        cf.download(spectrum_ids=[self.name, self.other])
        self.path, self.source = (self._path(name) for name in (self.name, self.other))
        self.right = SpectrumData.from_fits(self.path).fnu
        self.wrong = SpectrumData.from_fits(self.source).fnu
        self.spare = cf.data_dir / "spare"
        shutil.copy2(self.path, self.spare)

    def _path(self, name: str) -> Path:
        row = self.cf.get_spectrum(name)
        assert row is not None
        return self.cf.data_dir / "products" / str(row["observation"]) / f"{name}_spec.fits"

    def sql(self, statement: str, *values: object) -> None:
        self.cf.close()
        with closing(sqlite3.connect(self.cf.data_dir / "meta" / "campfire.db")) as db, db:
            assert db.execute(statement, values).rowcount > 0

    def in_place(self, content: bytes) -> None:
        """Write into the very file, and put its times back."""
        times = self.path.stat()
        with self.path.open("r+b") as file:
            file.write(content)
            file.truncate(len(content))
        os.utime(self.path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _same_size(pair: Pair) -> None:
    """The other's content, made as long as the file was, with the time it had."""
    content, size = pair.source.read_bytes(), pair.path.stat().st_size
    pair.in_place(content[:size] if len(content) > size else content + bytes(size - len(content)))


def _record_of_other(pair: Pair) -> None:
    shutil.copy(pair.source, pair.path)
    status = pair.path.stat()
    pair.sql(
        "UPDATE local_files SET hash = (SELECT hash FROM local_files WHERE spectrum_id = ?), size = ?, "
        "mtime = ? WHERE spectrum_id = ?",
        pair.other,
        status.st_size,
        status.st_mtime,
        pair.name,
    )


def _moved(pair: Pair) -> None:
    pair.path.rename(pair.spare)
    pair.source.rename(pair.path)
    pair.spare.rename(pair.source)


def _hard_link(pair: Pair) -> None:
    pair.path.unlink()
    os.link(pair.source, pair.path)


def _symbolic_link(pair: Pair) -> None:
    pair.path.unlink()
    pair.path.symlink_to(pair.source)


def _no_record(pair: Pair) -> None:
    shutil.copy(pair.source, pair.path)
    pair.sql("DELETE FROM local_files WHERE spectrum_id = ?", pair.name)


def _record_leads_elsewhere(pair: Pair) -> None:
    _symbolic_link(pair)
    pair.sql("UPDATE local_files SET path = ? WHERE spectrum_id = ?", pair.source.name, pair.name)


def _row_of_other(pair: Pair) -> None:
    """A catalogue that was rewritten: the other's hash under this name, and in the record of its file."""
    shutil.copy(pair.source, pair.path)
    digest, status = hash_file(pair.source), pair.path.stat()
    pair.sql(
        "UPDATE local_files SET hash = ?, size = ?, mtime = ? WHERE spectrum_id = ?",
        digest,
        status.st_size,
        status.st_mtime,
        pair.name,
    )
    pair.sql(
        "UPDATE spectra SET file_hash = ?, file_size = ? WHERE spectrum_id = ?",
        digest,
        status.st_size,
        pair.name,
    )


SWAPS: dict[str, Swap] = {
    "copied": lambda p: shutil.copy(p.source, p.path),
    "copied with its times": lambda p: shutil.copy2(p.source, p.path),
    "exchanged": _moved,
    "hard link": _hard_link,
    "symbolic link": _symbolic_link,
    "written in place, times put back": lambda p: p.in_place(p.source.read_bytes()),
    "no record of it": _no_record,
    "a record that says it is right": _record_of_other,
    "a record that leads to the other": _record_leads_elsewhere,
    "the catalogue's name leads to the other": lambda p: p.sql(
        "UPDATE spectra SET fits_path = (SELECT fits_path FROM spectra WHERE spectrum_id = ?), "
        "observation = (SELECT observation FROM spectra WHERE spectrum_id = ?) WHERE spectrum_id = ?",
        p.other,
        p.other,
        p.name,
    ),
    "the catalogue's hash is that of the other": lambda p: _row_of_other(p),
    "packed and changed": lambda p: p.path.write_bytes(gzip.compress(p.source.read_bytes())),
    "padded to the same size": _same_size,
}
CALLS: dict[str, Callable[[Campfire, str], np.ndarray]] = {
    "open_spectrum": lambda cf, name: cf.open_spectrum(name).fnu,
    "object": lambda cf, name: _of_object(cf, name),
    "collection": lambda cf, name: _row(cf, name, cache=True),
    "collection without a cache": lambda cf, name: _row(cf, name, cache=False),
    "plot data": lambda cf, name: np.array(cf.get_spectrum_data(name)["fnu"], dtype=float),
}


def _of_object(cf: Campfire, name: str) -> np.ndarray:
    row = cf.get_spectrum(name)
    assert row is not None
    obj = cf.get_object(row["object_id"])
    assert obj is not None
    return next(s for s in obj.spectra if s.spectrum_id == name).open().fnu


def _row(cf: Campfire, name: str, *, cache: bool) -> np.ndarray:
    ds = cf.open_collection([name], cache=cache)["PRISM"].to_dataset().compute()
    values: np.ndarray = ds.fnu.values[0, : int(ds.n_pixels.values[0])]
    return values


@pytest.mark.parametrize("before", [False, True], ids=["first opening", "opened before"])
@pytest.mark.parametrize("swap", SWAPS)
def test_another_spectrums_pixels_are_never_given_silently(swap: str, before: bool, cf: Campfire) -> None:
    pair = Pair(cf)
    if before:
        for call in CALLS.values():
            call(cf, pair.name)
    SWAPS[swap](pair)
    for name, call in CALLS.items():
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                values = call(cf, pair.name)
            except CampfireError:
                continue
        right = len(values) == len(pair.right) and np.allclose(values, pair.right, equal_nan=True, atol=1e-6)
        assert right or any(w.category is CampfireWarning for w in told), (swap, name)


def test_another_spectrums_file_is_not_locked_and_no_lock_file_is_made(cf: Campfire) -> None:
    pair = Pair(cf)
    pair.in_place(pair.source.read_bytes())
    with pytest.raises(ValidationError, match=f"is not the file of {pair.name}: its content is that of"):
        cf.lock(cf.data_dir / "a.lock", [pair.name])
    assert not (cf.data_dir / "a.lock").exists()


def test_the_refusal_says_what_is_there_and_what_to_do(cf: Campfire) -> None:
    pair = Pair(cf)
    shutil.copy2(pair.source, pair.path)
    with pytest.raises(ValidationError, match="its content is that of") as caught:
        cf.open_spectrum(pair.name)
    assert pair.other in str(caught.value)
    pair.path.unlink()  # what the hint says, and then its own file comes
    assert np.array_equal(cf.open_spectrum(pair.name).fnu, pair.right, equal_nan=True)
    assert np.array_equal(SpectrumData.from_fits(pair.source).fnu, pair.wrong, equal_nan=True)


@pytest.mark.parametrize(
    ("cards", "refused"),
    [
        ({}, False),
        ({"FILENAME": "somewhere_else_prism_clear_1_spec.fits"}, True),
        ({"GRATING": "G395M"}, True),
        ({"FILENAME": "my_reduction.fits"}, False),
    ],
)
def test_a_file_of_ones_own_is_opened_and_announced_unless_it_says_it_is_another(
    cards: dict[str, str], refused: bool, cf: Campfire
) -> None:
    pair = Pair(cf)
    own = SpectrumData.from_fits(pair.path)
    own.fnu = own.fnu * 1.1
    own.header |= cards
    own.grating = cards.get("GRATING", own.grating)
    pair.path.unlink()
    own.write(pair.path)
    pair.sql("DELETE FROM local_files WHERE spectrum_id = ?", pair.name)
    if refused:
        with pytest.raises(ValidationError, match="as its header says"):
            cf.open_spectrum(pair.name)
        return
    with pytest.warns(CampfireWarning, match="one of your own"):
        opened = cf.open_spectrum(pair.name)
    assert np.allclose(opened.fnu, pair.right * 1.1, equal_nan=True)
    cf.open_spectrum(pair.name)  # told once


def test_a_catalogue_that_was_rewritten_is_not_believed(cf: Campfire) -> None:
    """Where hash and header disagree on whose a file is: refused if the other is known, else announced."""
    pair = Pair(cf)
    _row_of_other(pair)
    for call in (CALLS["open_spectrum"], CALLS["collection"], CALLS["object"]):
        with pytest.raises(ValidationError, match=f"is not the file of {pair.name}: its content is that of"):
            call(cf, pair.name)
    with pytest.raises(ValidationError, match="is not the file of"):
        cf.lock(cf.data_dir / "a.lock", [pair.name])
    pair.sql("DELETE FROM spectra WHERE spectrum_id = ?", pair.other)
    with pytest.warns(CampfireWarning, match=f"says that it is {pair.other}; has it been renamed"):
        cf.open_spectrum(pair.name)
    cf.open_collection([pair.name])  # told once
    pair.sql("UPDATE spectra SET grating = 'G395M' WHERE spectrum_id = ?", pair.name)
    with pytest.raises(ValidationError, match="its content is a PRISM spectrum"):
        cf.open_spectrum(pair.name)


def _changed_in_place(pair: Pair) -> None:
    content = bytearray(pair.path.read_bytes())
    content[-3000] ^= 1
    pair.in_place(bytes(content))


def _replaced(pair: Pair) -> None:
    times = pair.path.stat()
    pair.spare.write_bytes(pair.path.read_bytes()[:-1] + b"x")
    os.utime(pair.spare, ns=(times.st_atime_ns, times.st_mtime_ns))
    pair.spare.replace(pair.path)


def _replaced_by_a_link(pair: Pair) -> None:
    _replaced(pair)
    pair.path.rename(pair.spare)
    pair.path.symlink_to(pair.spare)


UNSEEN: dict[str, Swap] = {
    "changed in place": _changed_in_place,
    "replaced": _replaced,
    "replaced by a link": _replaced_by_a_link,
}


@pytest.mark.parametrize("verified", [False, True], ids=["at once", "looked at before"])
@pytest.mark.parametrize("change", UNSEEN)
def test_a_change_that_size_and_time_do_not_show_is_seen(change: str, verified: bool, cf: Campfire) -> None:
    """Statement: verify and download know files by their content, not by size and time of modification."""
    pair = Pair(cf)
    if verified:
        assert cf.verify()["changed"] == []
    before = pair.path.stat()
    UNSEEN[change](pair)
    after = pair.path.stat()
    assert (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)
    assert cf.verify()["changed"] == [str(pair.path)]
    (entry,) = cf.download(spectrum_ids=[pair.name]).files
    assert entry["state"] == "local"
    cf.verify(repair=True)
    assert np.array_equal(cf.open_spectrum(pair.name).fnu, pair.right, equal_nan=True)
    assert cf.verify()["ok"] == 2


def test_redshift_fits_are_known_by_their_content(cf: Campfire, archive: Path) -> None:
    """Statement: the fit of another spectrum is refused, one of another redshift announced."""
    pair = Pair(cf)
    fit = pair.path.with_name(f"{pair.name}_zfit.fits")
    (own,) = archive.glob(f"products/*/{fit.name}")
    shutil.copy(own, fit)
    right = cf.get_redshift_fit_data(pair.name)["redshift"]
    mine = read_zfit(own)
    another = mine.copy()
    another["chi2"] = np.roll(mine["chi2"], 400)
    write_zfit(fit, another, overwrite=True)
    with pytest.warns(CampfireWarning, match="the catalogue"):
        assert cf.get_redshift_fit_data(pair.name)["redshift"] != right
    cf.get_redshift_fit_data(pair.name)  # told once
    g395m = next(p for p in archive.glob("products/*/*_zfit.fits") if "g395m" in p.name)
    shifted = mine.copy()
    shifted["model_wave"] = mine["model_wave"] * 1.001
    for other in (read_zfit(g395m), shifted):
        write_zfit(fit, other, overwrite=True)
        with pytest.raises(ValidationError, match="is not a fit of"):
            cf.get_redshift_fit_data(pair.name)
    fit.unlink()
    assert cf.get_redshift_fit_data(pair.name)["redshift"] == right  # of the service


MEMORIES = {
    "columns of another kind": "CREATE TABLE file_contents (x)",
    "a view": "CREATE VIEW file_contents AS SELECT 1 AS path",
    "values that are none": (
        "INSERT INTO file_contents SELECT path, size, mtime_ns, ctime_ns, inode, 5, 6 FROM c"
    ),
}


@pytest.mark.parametrize("memory", MEMORIES)
def test_a_memory_that_is_none_is_no_obstacle(
    memory: str, cf: Campfire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_WRITE_FROM", 1)
    monkeypatch.setattr(file_hashes, "_SETTLED_NS", 0)
    pair = Pair(cf)
    cf.close()
    with closing(sqlite3.connect(cf.data_dir / "meta" / "campfire.db")) as db, db:
        if "INSERT" in MEMORIES[memory]:
            db.execute("CREATE TEMP TABLE c AS SELECT * FROM file_contents")
            db.execute("DELETE FROM file_contents")
        else:
            db.execute("DROP TABLE file_contents")
        db.execute(MEMORIES[memory])
    for _ in range(2):
        with Campfire(cf.base_url, cf.data_dir, token="any") as later:
            assert np.array_equal(later.open_spectrum(pair.name).fnu, pair.right, equal_nan=True)
            assert later.verify()["ok"] == 2


@pytest.mark.parametrize(
    "spelled", ["{}_SPEC.FITS", "/data/x/{}_spec.fits", " {}_spec.fits", "{}_spec.fits.gz"]
)
def test_however_a_header_spells_the_name(spelled: str, cf: Campfire) -> None:
    pair = Pair(cf)
    name = spelled.format(pair.other.upper() if "SPEC" in spelled else pair.other)
    content = pair.path.read_bytes()
    at = content.index(b"FILENAME= ")
    pair.path.write_bytes(content[:at] + f"FILENAME= '{name}'".ljust(80).encode() + content[at + 80 :])
    pair.sql("UPDATE spectra SET file_hash = ? WHERE spectrum_id = ?", hash_file(pair.path), pair.name)
    for call in (CALLS["open_spectrum"], CALLS["collection"]):
        with pytest.raises(ValidationError, match="its content is that of"):
            call(cf, pair.name)


def test_a_file_that_was_there_when_it_was_to_be_fetched_is_looked_at(cf: Campfire) -> None:
    """Shorter than its record, and with the very hash that a catalogue that was rewritten gives it."""
    pair = Pair(cf)
    pair.path.write_bytes(gzip.compress(pair.source.read_bytes()))
    pair.sql("UPDATE spectra SET file_hash = ? WHERE spectrum_id = ?", hash_file(pair.path), pair.name)
    with pytest.raises(ValidationError, match="its content is that of"):
        cf.open_spectrum(pair.name)


def test_one_warning_tells_of_all_files_of_a_collection(cf: Campfire) -> None:
    names = [str(name) for name in cf.query_spectra(gratings=["PRISM"])["spectrum_id"]]
    cf.download(spectrum_ids=names)
    for name in names:
        spec = cf.open_spectrum(name)
        path = Path(str(spec.fits_path))
        spec.fnu = spec.fnu * 1.1
        path.unlink()
        spec.write(path)
    with pytest.warns(CampfireWarning, match=rf"and {len(names) - 1} more like this") as told:
        cf.open_collection(names)
    assert len(told) == 1


def test_without_a_catalogue_a_name_in_two_folders_is_refused(service: Service, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        place = tmp_path / "products" / folder
        place.mkdir(parents=True)
        SpectrumData([1.0, 2.0], [1.0, 2.0], [0.1, 0.1], {}, "PRISM", "x").write(place / "x_spec.fits")
    with Campfire(service.url, tmp_path, token="any") as cf:
        with pytest.raises(ValidationError, match="is in 2 folders"):
            cf.open_spectrum("x")
        (tmp_path / "products" / "b" / "x_spec.fits").unlink()
        with pytest.warns(CampfireWarning, match="is opened by its name"):
            assert len(cf.open_spectrum("x")) == 2


@pytest.mark.parametrize("path", ["../outside_spec.fits", "/outside_spec.fits", "a/../../outside_spec.fits"])
def test_a_record_never_leads_out_of_the_mirror(path: str, cf: Campfire) -> None:
    pair = Pair(cf)
    shutil.copy2(pair.source, cf.data_dir / "outside_spec.fits")
    pair.sql("UPDATE local_files SET path = ? WHERE spectrum_id = ?", path, pair.name)
    assert np.array_equal(cf.open_spectrum(pair.name).fnu, pair.right, equal_nan=True)
    assert all("outside" not in str(p) for p in cf.verify()["changed"] + cf.verify()["missing"])


def test_hashes_are_computed_once(cf: Campfire, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash is remembered as long as the file is what it was, in this process and beyond it."""
    names = [str(name) for name in cf.query_spectra()["spectrum_id"]]
    made: list[object] = []

    def counted(path: Path) -> str:
        made.append(path)
        return hash_file(path)

    monkeypatch.setattr(file_hashes, "hash_file", counted)
    monkeypatch.setattr(file_hashes, "_WRITE_FROM", 1)
    monkeypatch.setattr(file_hashes, "_SETTLED_NS", 0)
    cf.download(spectrum_ids=names)
    cf.open_collection(names, cache=False)
    assert made == []  # it was computed while the file came
    for path in cf.data_dir.glob("products/*/*_spec.fits"):
        os.utime(path)
    for _ in range(2):
        assert cf.verify()["ok"] == len(names)
        cf.open_collection(names, cache=False)
        cf.open_spectrum(names[0])
        cf.download(spectrum_ids=names)
    assert len(made) == len(names)
    with Campfire(cf.base_url, cf.data_dir, token="any") as later:
        later.open_collection(names, cache=False)
        later.open_spectrum(names[0])
    assert len(made) == len(names)
