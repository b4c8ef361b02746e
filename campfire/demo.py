"""The main job from end to end, on a simulated archive served on loopback: what `campfire demo` runs."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from campfire.disk import MARKER, mark_tree, marked, remove_tree
from campfire.errors import NotFoundError, ValidationError
from campfire.plotting.static import draw_collection, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from campfire.client import Campfire
    from campfire.models import Object

    _Saver = Callable[[Axes, str], None]

__all__ = ["run_demo"]

EMAIL = "demo@example.org"
_KIND = "demo"
_FOLDERS = ("archive", "mirror", "pictures")
_OURS = {MARKER, *_FOLDERS, "api_key"}


@contextmanager
def _step(title: str) -> Iterator[list[str]]:
    """Time one step; print its title, the notes it made, and the seconds it took."""
    notes: list[str] = []
    start = time.perf_counter()
    yield notes
    print(f"{title:<12} {time.perf_counter() - start:6.2f} s   {notes[0] if notes else ''}", flush=True)
    for line in notes[1:]:
        print(f"{'':<23} {line}", flush=True)


def run_demo(root: Path, *, objects: int = 60, seed: int = 0, keep_serving: bool = False) -> list[Path]:
    """Simulate an archive, serve it on loopback and do the main job on it through the real client.

    Parameters
    ----------
    root
        Folder for the archive (``archive/``), the client's mirror (``mirror/``) and the pictures
        (``pictures/``). It has to be empty or new, or that of a former demo with nothing added: the marker
        that the demo leaves there says so.
    objects, seed
        Size and seed of the simulation.
    keep_serving
        Go on serving until interrupted.

    Returns
    -------
    list of pathlib.Path
        The pictures.

    Raises
    ------
    ValidationError
        If the folder holds anything that the demo did not make.
    ImportError
        If an extra is missing (:mod:`campfire.installation` says how to install it).
    """
    root = Path(root).expanduser().absolute()
    _prepare(root)
    from campfire.archive.server.accounts import Accounts
    from campfire.archive.simulate.archive import make_archive
    from campfire.testing import served

    archive, pictures = root / "archive", root / "pictures"
    start = time.perf_counter()
    with _step("simulate") as notes:
        make_archive(archive, objects=objects, seed=seed)
        files = sum(1 for _ in (archive / "products").rglob("*_spec.fits"))
        notes.append(f"{objects} objects, {files} spectra in {archive}")
    with Accounts(archive) as accounts:
        accounts.add_user(EMAIL, full_name="Demo User")
        key = accounts.add_key(EMAIL)
    with served(archive, open_access=False) as url:
        from campfire.client import Campfire

        with Campfire(url, root / "mirror", token=key) as cf:
            with _step("login") as notes:
                notes.append(f"{cf.whoami()['email']} at {url}, with an API key")
            made = _main_job(cf, pictures)
        print(f"{'total':<12} {time.perf_counter() - start:6.2f} s   pictures:", flush=True)
        for path in made:
            print(f"{'':<23} {path}")
        if keep_serving:
            print(f"\nserving {url} until Ctrl-C; sign in with the key in {_write_key(root, key)}")
            _wait()
    return made


def _prepare(root: Path) -> None:
    """Empty the folder of a former demo, known by its marker; refuse one that holds anything else."""
    if root.exists():
        if not root.is_dir():
            raise ValidationError(f"{root} is not a folder", hint="name an empty folder: --root DIR")
        names = sorted(path.name for path in root.iterdir())
        if names and not marked(root, _KIND):
            raise ValidationError(
                f"{root} was not made by this demo (it holds {', '.join(names[:3])})",
                hint="name an empty folder: --root DIR",
            )
        strange = _strangers(root)
        if strange:
            raise ValidationError(
                f"{root} holds things that the demo did not make ({', '.join(strange[:3])})",
                hint="move them away, or name an empty folder: --root DIR",
            )
        if names:
            remove_tree(root, root=root.parent, kind=_KIND)
    root.mkdir(parents=True, exist_ok=True)
    mark_tree(root, _KIND)
    for name in _FOLDERS:  # each bears the marker, so that one which took its place is not taken for it
        (root / name).mkdir()
        mark_tree(root / name, _KIND)


def _strangers(root: Path) -> list[str]:
    """Return the files among those of a former demo that it did not make.

    An archive that was simulated for a demo may have been added to since: its files are those that its truth
    names. The mirror and the pictures are copies of what can be made again.
    """
    strange = sorted({path.name for path in root.iterdir()} - _OURS)
    for name in _FOLDERS:
        path = root / name
        if os.path.lexists(path) and (path.is_symlink() or not marked(path, _KIND)):
            strange.append(name)
    products, truth = root / "archive" / "products", root / "archive" / "truth.json"
    if products.is_dir() and truth.is_file() and not strange:
        try:
            ours = {record["spectrum_id"] for record in json.loads(truth.read_bytes())["spectra"]}
        except (ValueError, TypeError, LookupError, RecursionError):
            return [str(truth.relative_to(root))]
        for path in sorted(products.rglob("*")):
            stem = path.name.removesuffix("_spec.fits").removesuffix("_zfit.fits")
            if not path.is_dir() and stem not in ours:
                strange.append(str(path.relative_to(root)))
    return strange


def _write_key(root: Path, key: str) -> Path:
    path = root / "api_key"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(key + "\n")
    return path


def _wait() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        print("stopped")


def _main_job(cf: Campfire, pictures: Path) -> list[Path]:
    made: list[Path] = []

    def save(axes: Axes, name: str) -> None:
        path = pictures / f"{name}.png"
        figure = axes.get_figure(root=True)
        assert figure is not None, "axes without a figure"
        figure.savefig(path, dpi=130)
        made.append(path)

    with _step("sync") as notes:
        result = cf.sync()
        notes.append(
            f"{result['objects']} objects, {result['spectra']} spectra, "
            f"{result['observations']} observations, {result['tags']} tags"
        )
    _query(cf)
    with _step("download") as notes:
        report = cf.download(everything=True)
        notes.append(
            f"{report['downloaded']} files, {report['bytes'] / 1e6:.1f} MB, {report['failed']} failed; "
            "every SHA-256 checked"
        )
    obj = _best_object(cf)
    _open(cf, obj, save)
    _calibrate(obj, save)
    _stack(obj, save)
    _collection(cf, save)
    with _step("cutout") as notes:
        (panel,) = new_axes(1, [1], figsize=(5, 5))
        ax = cf.plot_cutout(obj.object_id, fov=4.0, ax=panel)
        ax.set_title(obj.object_id, fontsize=9)
        save(ax, "cutout")
        notes.append(f"{obj.object_id} with its shutters")
    with _step("sheet") as notes:
        save(cf.sheet(obj.object_id, fov=4.0).axes[0], "sheet")
        notes.append(f"all that is known of {obj.object_id} on one page")
    return made


def _query(cf: Campfire) -> None:
    from campfire.flags import DQFlags

    with _step("query") as notes:
        secure = cf.query_objects(redshift_quality=["secure"], redshift_range=(1, None))
        clean = cf.query_spectra(gratings=["prism"], dq_flags=~(DQFlags.CONTAMINATION | DQFlags.LOW_SNR))
        tags = {row["slug"]: row["member_count"] for row in cf.get_tags() if row["member_count"]}
        notes.append(f"{len(secure)} objects with a secure redshift above 1")
        notes.append(f"{len(clean)} PRISM spectra neither contaminated nor of low S/N")
        notes.append("tags: " + ", ".join(f"{slug} ({count})" for slug, count in sorted(tags.items())))
        if len(secure):
            ra, dec = float(secure["ra"][0]), float(secure["dec"][0])
            near = cf.query_objects(cone_search=(ra, dec, 60.0))
            notes.append(f"{len(near)} objects within 60 arcsec of {secure['object_id'][0]}")


def _best_object(cf: Campfire) -> Object:
    """Choose the object to show: photometry, most PRISM spectra, then brightest."""
    table = cf.query_spectra(gratings=["PRISM"])
    count = Counter(str(name) for name in table["object_id"])
    rows = [row for row in cf.iter_objects() if count[str(row["object_id"])]]
    if not rows:
        raise NotFoundError("the archive has no PRISM spectra", hint="simulate more objects")

    def merit(row: dict[str, object]) -> tuple[bool, bool, int, float]:
        def number(name: str) -> float:
            value = row[name]
            return float(value) if isinstance(value, int | float | np.number) else 0.0

        return (
            bool(row["has_photometry"]),
            # A galaxy with a secure redshift, not one of the stars.
            number("redshift_quality") == 4 and number("redshift") > 0.5,
            min(count[str(row["object_id"])], 3),
            number("max_snr"),
        )

    found = cf.get_object(str(max(rows, key=merit)["object_id"]))
    assert found is not None, "an object of the catalogue has vanished"
    return found


def _open(cf: Campfire, obj: Object, save: _Saver) -> None:
    import campfire  # noqa: F401  (registers ds.campfire)

    prism = obj.spectra[obj.spectra.grating == "PRISM"]
    with _step("open") as notes:
        spectrum = cf.open_spectrum(prism[0].spectrum_id)
        ds = spectrum.to_xarray()
        good = int(ds.campfire.good().sum())
        notes.append(repr(spectrum))
        notes.append(
            f"Dataset: {dict(ds.sizes)}, variables {', '.join(map(str, ds.data_vars))}, {good} good pixels"
        )
        redshift = obj.redshift if obj.redshift is not None and np.isfinite(obj.redshift) else None
        ax = ds.campfire.plot(redshift=redshift)
        title = f"{spectrum.spectrum_id}  {spectrum.grating}"
        ax.set_title(title if redshift is None else f"{title}  z = {redshift:.4f}", fontsize=10)
        save(ax, "spectrum")


def _calibrate(obj: Object, save: _Saver) -> None:
    from campfire.calibration import calibrate_to_photometry

    if obj.photometry is None:
        return
    prism = obj.spectra[obj.spectra.grating == "PRISM"]
    with _step("calibrate") as notes:
        result = calibrate_to_photometry(prism[0], obj.photometry)
        low, high = float(np.min(result.multiplier)), float(np.max(result.multiplier))
        notes.append(f"{len(result.bands_used)} bands: {', '.join(result.bands_used)}")
        notes.append(f"correction {low:.2f} to {high:.2f}, chi-square {result.chi2:.1f}")
        save(result.plot()[0], "calibration")


def _stack(obj: Object, save: _Saver) -> None:
    from campfire.calibration import calibrate_and_stack

    prism = obj.spectra[obj.spectra.grating == "PRISM"]
    with _step("stack") as notes:
        result = calibrate_and_stack(prism, photometry=obj.photometry, object_id=obj.object_id)
        spectrum = result.spectrum
        good = ~spectrum.mask
        before = np.median([np.median((s.fnu / s.fnu_err)[~s.mask]) for s in result.input_spectra])
        after = np.median((spectrum.fnu / spectrum.fnu_err)[good])
        notes.append(f"{len(prism)} PRISM spectra -> {spectrum!r}")
        notes.append(f"median S/N {before:.1f} -> {after:.1f}")
        save(result.plot()[0], "stack")


def _collection(cf: Campfire, save: _Saver) -> None:
    with _step("collection") as notes:
        tree = cf.open_collection(redshift_quality=["probable", "secure"])
        sizes = ", ".join(f"{name} {tuple(node['fnu'].shape)}" for name, node in tree.children.items())
        notes.append(f"lazy tree: {sizes}")
        prism = tree["PRISM"].to_dataset()
        grid = np.geomspace(0.7, 5.2, 500)
        gridded = prism.campfire.resample(grid)
        gridded = gridded[["fnu"]].compute()
        fnu = gridded["fnu"].values
        ax = draw_collection(
            gridded["wavelength"].values,
            fnu,
            order=prism["redshift"].values,
            title=f"{len(fnu)} PRISM spectra by redshift",
        )
        notes.append(f"resampled to {gridded.fnu.shape} and computed")
        save(ax, "collection")
