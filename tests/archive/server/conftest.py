"""A tiny data root whose rows are written by hand, from the wire contract, and servers on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from campfire.archive.server.accounts import Accounts
from campfire.formats.spec_reader import file_hash
from campfire.formats.spec_writer import SpecProduct, write_product
from campfire.formats.zfit import write_zfit
from campfire.store.catalog import Catalog
from campfire.testing import served

OWNER = "0b6f0000-0000-4000-8000-000000000001"
T0, T1 = "2026-01-01T00:00:00+00:00", "2026-02-01T10:00:00.5+00:00"
BLANK: dict[str, Any] = dict.fromkeys(
    (
        *("redshift", "redshift_inspected", "redshift_auto", "last_inspected_at", "last_inspected_by"),
        *("last_data_change_at", "staleness_reason", "max_snr", "max_exposure_time", "created_at"),
    )
)
# name, field, ra, dec, redshift, quality, snr; four in cosmos, one each side of RA 0, one at dec 62.
SKY = {
    "J100001.23+021500.4": ("cosmos", 150.00512, 2.25011, 4.25, 4, 12.5),
    "J100001.24+021500.4_1": ("cosmos", 150.00513, 2.2503, None, 1, None),
    "J100010.00+021500.0": ("cosmos", 150.0416, 2.25, 0.5, 2, 3.0),
    "J100020.00+021500.0": ("cosmos", 150.0833, 2.25, 8.0, 0, 0.5),
    "J235959.99+000000.0": ("stripe", 359.99996, 0.0, 1.0, 3, 7.0),
    "J000000.01+000000.0": ("stripe", 0.00004, 0.0, 2.0, 3, 8.0),
    "J123640.00+620000.0": ("goods-n", 189.16667, 62.0, 3.0, 0, 9.0),
}
# observation, program, source, object number, gratings
TARGETS = [
    ("demo_p1", "demo-survey", 11, 0, ["PRISM", "G395M"]),
    ("demo_p2", "secret_gto", 11, 0, ["PRISM"]),
    ("demo_p1", "demo-survey", 12, 1, ["PRISM"]),
    ("demo_p1", "demo-survey", 13, 2, ["G140H"]),
    ("demo_p2", "secret_gto", 14, 3, ["PRISM"]),
    ("stripe_p1", "demo-survey", 1, 4, ["PRISM"]),
    ("stripe_p1", "demo-survey", 2, 5, ["PRISM"]),
    ("north_p1", "demo-survey", 1, 6, ["G235M", "PRISM"]),
]
FILTERS = {"PRISM": "CLEAR", "G395M": "F290LP", "G140H": "F100LP", "G235M": "F170LP"}
FLAGS = [0, 1, 3, 32, 2, 35, 0, 64, 0, 0]


def product(grating: str, ra: float, dec: float, seed: int) -> SpecProduct:
    """A small product file with a line in it."""
    rng = np.random.default_rng(seed)
    wave = np.linspace(0.6, 5.3, 60)
    shape = (9, len(wave))
    profile = np.exp(-0.5 * ((np.arange(9) - 4.0) / 1.2) ** 2)
    sci = (profile[:, None] * (1.0 + 3.0 * np.exp(-0.5 * ((wave - 3.0) / 0.1) ** 2)) * 1e-13).astype(
        np.float32
    )
    err = np.full(shape, 2e-14, dtype=np.float32)
    fnu = sci.sum(axis=0) * 1e12 + rng.normal(0, 0.01, len(wave))
    fnu[:2] = np.nan
    exposure = {"filename": "jw01", "dither_type": "NONE", "nod_type": "3-SHUTTER-SLITLET", "nod_number": 1}
    exposure |= {"dither_number": 1, "exptime": 1167.0, "stuck_shutter_list": "N/A", "shutter_state": "1x1"}
    exposure |= {"source_ra": ra, "source_dec": dec, "source_xpos": 0.5, "source_ypos": 0.5, "v3pa": 12.0}
    return SpecProduct(
        header={
            "CMPFRTIM": "2026-01-01T00:00:00",
            "CMPFRVER": "0.5.0",
            "GRATING": grating,
            "FILTER": FILTERS[grating],
            "EFFEXPTM": 3501.5 + seed,
            "PROGRAM": "4233",
            "PI_NAME": "A. Person",
        },
        table={"wave": wave, "fnu": fnu, "fnu_err": np.full(len(wave), 0.02)},
        sci=sci,
        err=err,
        wavelength=np.broadcast_to(wave, shape).copy(),
        wht=np.ones(shape),
        sci_header={"SRCRA": ra, "SRCDEC": dec, "SOURCEID": seed},
        profile={
            "ypos": np.arange(9) + 0.5,
            **dict.fromkeys(("opt", "3px", "4px", "5px"), profile / profile.sum()),
        },
        exposures=[exposure],
    )


def _catalogue(root: Path) -> None:
    spectra: list[dict[str, Any]] = []
    names = list(SKY)
    for observation, program, source, number, gratings in TARGETS:
        field, ra, dec, *_ = SKY[names[number]]
        for grating in gratings:
            stem = f"{observation}_{grating}_{FILTERS[grating]}_{source}".lower()
            path = root / "products" / observation / f"{stem}_spec.fits"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_product(path, product(grating, ra, dec, len(spectra)))
            bare = len(spectra) == 4
            spectra.append(
                {
                    "id": 31 + len(spectra),
                    "spectrum_id": stem,
                    "target_id": f"{observation}_{source}",
                    "grating": grating,
                    "fits_path": f"spectra/{observation}/{stem}_spec.fits",
                    "file_hash": None if bare else file_hash(path),
                    "file_size": None if bare else path.stat().st_size,
                    "signal_to_noise": None if bare else 2.0 + len(spectra),
                    "exposure_time": None if bare else 1000.0 * (1 + len(spectra)),
                    "reduction_version": None if bare else "v0.3",
                    "redshift_auto": None if bare else 4.2498,
                    "dq_flags": FLAGS[len(spectra)],
                    "program_slug": program,
                    "observation": observation,
                    "field": field,
                    "created_at": "2026-01-01T00:00:00.1",
                    "updated_at": T0 if len(spectra) % 2 else T1,
                }
            )
    grid = np.linspace(0.0, 10.0, 101)
    zfit = {"redshift": 4.25, "zqual": 0, "confidence": 99.8, "chi2_min": 812.4, "z": grid}
    zfit |= {
        "chi2": 812.4 + (grid - 4.3) ** 2,
        "model_wave": np.array([0.6, 0.7]),
        "model_fnu": np.array([0.1, 0.2]),
    }
    write_zfit(root / "products/demo_p1/demo_p1_prism_clear_11_zfit.fits", zfit)  # type: ignore[arg-type]
    with Catalog(root / "meta" / "campfire.db") as catalog, catalog.write() as writer:
        writer.put_programs(
            [
                {
                    "slug": "demo-survey",
                    "program_name": "Demo Survey",
                    "pi_name": "A. Person",
                    "is_public": True,
                },
                {"slug": "secret_gto", "program_name": "Secret GTO", "pi_name": None, "is_public": False},
            ]
        )
        writer.put_observations(
            [
                {
                    "observation": "demo_p1",
                    "program_slug": "demo-survey",
                    "field": "cosmos",
                    "pointings": [
                        {"gratings": ["PRISM"], "footprint": [[[150.0, 2.2], [150.1, 2.2], [150.1, 2.3]]]}
                    ],
                    "reduction_version": "0.5.0",
                    "n_patches_since_full": 2,
                }
            ]
        )
        writer.put_objects(
            BLANK
            | {
                "id": 7 + number,
                "object_id": name,
                "field": field,
                "ra": ra,
                "dec": dec,
                "redshift": z,
                "redshift_auto": z,
                "redshift_inspected": 4.25 if number == 0 else None,
                "redshift_quality": quality,
                "last_inspected_at": T1 if quality else None,
                "last_inspected_by": OWNER if quality else None,
                "last_data_change_at": "2026-03-01T00:00:00+00:00" if number == 2 else None,
                "staleness_reason": {0: None, 2: "reprocessed", 4: "new_target"}.get(number),
                "version": 2,
                "created_at": T0,
                "updated_at": T1 if number == 0 else T0,
            }
            for number, (name, (field, ra, dec, z, quality, _)) in enumerate(SKY.items())
        )
        writer.put_targets(
            {
                "target_id": f"{observation}_{source}",
                "object_id": names[number],
                "ra": SKY[names[number]][1],
                "dec": SKY[names[number]][2],
                "program_slug": program,
                "observation": observation,
                "field": SKY[names[number]][0],
                "source_id": source,
                "redshift_auto": 4.2498 if number == 0 else None,
                "created_at": "2026-01-01T00:00:00",
                "updated_at": "2026-01-02T00:00:00",
            }
            for observation, program, source, number, _ in TARGETS
        )
        writer.put_spectra(spectra)
        writer.put_photometry(
            [
                {
                    "id": 90,
                    "object_id": names[0],
                    "field": "cosmos",
                    "catalog_name": "Demo v1",
                    "catalog_id": "55",
                    "match_distance_arcsec": 0.0421,
                    "photometry": {
                        "flux_unit": "uJy",
                        "bands": {
                            "f444w": {
                                "flux": 0.42,
                                "flux_err": 0.03,
                                "wav": 4.415974,
                                "wav_min": 3.8,
                                "wav_max": 5.1,
                            },
                            "J": {"flux": -0.1, "flux_err": 0.0},
                        },
                    },
                    "photo_z": 4.1,
                    "photo_z_err_lo": 3.9,
                    "photo_z_err_hi": 4.3,
                    "has_pz": True,
                    "created_at": T0,
                    "updated_at": T0,
                },
                {
                    "id": 91,
                    "object_id": names[3],
                    "field": "cosmos",
                    "catalog_name": "Demo v1",
                    "photometry": {},
                    "created_at": T0,
                    "updated_at": T1,
                },
            ]
        )
        tag = {
            "created_at": T0,
            "updated_at": T0,
            "description": None,
            "created_by": None,
            "icon": None,
            "color": None,
        }
        writer.put_tags(
            [
                tag
                | {
                    "id": 1,
                    "slug": "lrd",
                    "name": "Little Red Dots",
                    "visibility": "public_edit",
                    "is_system": True,
                    "icon": "🔴",
                    "color": "#ffcccb",
                    "description": "demo",
                },
                tag
                | {
                    "id": 2,
                    "slug": "a-mine",
                    "name": "A mine",
                    "visibility": "private",
                    "is_system": False,
                    "created_by": OWNER,
                },
                tag
                | {
                    "id": 3,
                    "slug": "everyone",
                    "name": "Everyone",
                    "visibility": "public_read",
                    "is_system": False,
                },
            ]
        )
        writer.put_memberships(
            [(names[0], "lrd"), (names[0], "a-mine"), (names[3], "lrd"), (names[4], "everyone")]
        )
        writer.put_shutters(
            {
                "target_id": target,
                "source_id": source,
                "center_ra": ra,
                "center_dec": dec,
                "position_angle": 87.5,
                "shutter_idx": index,
                "dither_id": 0,
                "shutter_state": state,
                "observation": target.rpartition("_")[0],
                "field": field,
            }
            for target, source, field, ra, dec, index, state in [
                ("demo_p1_11", 11, "cosmos", 150.0051, 2.2501, 0, "source"),
                ("demo_p1_11", 11, "cosmos", 150.0051, 2.2502, 1, "open"),
                ("demo_p1_12", 12, "cosmos", 150.00513, 2.2503, 0, "stuck_closed"),
                ("demo_p1_13", 13, "cosmos", 150.0416, 2.25, 0, "source"),
                ("stripe_p1_1", 1, "stripe", 359.99996, 0.0, 0, "source"),
                ("stripe_p1_2", 2, "stripe", 0.00004, 0.0, 0, "source"),
            ]
        )
        writer.aggregate()


@pytest.fixture(scope="session", autouse=True)
def quick_hashes() -> Iterator[None]:
    """Hash passwords with the least effort: what takes time in earnest would take most of the tests' time."""
    from argon2 import PasswordHasher

    with pytest.MonkeyPatch.context() as patch:
        hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        patch.setattr("campfire.archive.server.accounts._hasher", lambda: hasher)
        yield


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data root; never changed, so copy it first where a test writes."""
    root = tmp_path_factory.mktemp("served") / "root"
    _catalogue(root)
    return root


@pytest.fixture(scope="session")
def make_product() -> Callable[..., SpecProduct]:
    """Function that makes a small product: ``make_product(grating, ra, dec, seed)``."""
    return product


@pytest.fixture
def fresh_root(template: Path, tmp_path: Path) -> Path:
    """A copy of the data root for a test that changes it."""
    ignore = shutil.ignore_patterns("views-*")  # of a server that runs there
    return Path(shutil.copytree(template, tmp_path / "root", ignore=ignore))


@pytest.fixture(scope="session")
def keys(template: Path) -> dict[str, str]:
    """API keys of accounts: ``plain`` reads public programs, ``granted`` the other one too."""
    with Accounts(template) as accounts:
        for name in ("plain", "granted"):
            accounts.add_user(f"{name}@example.org", "correct horse battery")
        accounts.grant("granted@example.org", "secret_gto")
        return {name: accounts.add_key(f"{name}@example.org") for name in ("plain", "granted")}


@pytest.fixture(scope="session")
def urls(template: Path, keys: dict[str, str]) -> Iterator[dict[str, str]]:
    """Base URLs of servers with accounts: ``traps`` as deployed, ``fixed``."""
    with ExitStack() as stack:
        yield {
            mode: stack.enter_context(served(template, open_access=False, fixed=mode == "fixed"))
            for mode in ("traps", "fixed")
        }


Get = Callable[..., Any]


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """One connection pool for all tests."""
    with httpx.Client(timeout=20) as client:
        yield client


@pytest.fixture(scope="session")
def ask(urls: dict[str, str], keys: dict[str, str], http: httpx.Client) -> Get:
    """Ask a server: ``ask(path, mode="traps", who="granted", **params)`` gives the response."""

    def get(path: str, /, mode: str = "traps", who: str = "granted", **params: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {keys[who]}"}
        return http.get(urls[mode] + path, params=params, headers=headers)

    return get


CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)
DRIVER = shutil.which("chromedriver")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("no Chromium with its driver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=900,900",
    ):
        options.add_argument(flag)
    options.add_argument(f"--user-data-dir={tmp_path / 'profile'}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield made
    finally:
        made.quit()
