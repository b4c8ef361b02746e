"""What is true of a simulated archive: written beside it, so that results can be compared."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.archive.simulate.instrument import SlitLoss
from campfire.archive.simulate.noise import WHITE, NoiseModel
from campfire.errors import NotFoundError
from campfire.publishing import replacing

if TYPE_CHECKING:
    from campfire.typing import FloatArray, PathInput

__all__ = ["TRUTH_FILES", "ObjectTruth", "SpectrumTruth", "Truth"]

TRUTH_FILES = ("truth.json", "truth.npz")


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """What is true of one object.

    Parameters
    ----------
    object_id, field, ra, dec
        Identity; degrees.
    kind, redshift
        What it is, and where.
    beta, a_v, balmer_break
        Slope of f_lambda at rest 0.15 to 0.30 micron (dust included), attenuation in magnitudes, f_nu(0.42)
        over f_nu(0.35) before dust.
    radius, axis_ratio, angle
        Image: half-light radius in arcsec, degrees east of north.
    broad_fwhm
        Of broad lines, km/s; 0 without.
    lines
        Observed line fluxes, erg s-1 cm-2, broad components under ``"<name> broad"``.
    line_waves
        Rest wavelengths of the same lines, micron (vacuum).
    fluxes
        AB fluxes by band, microjansky.
    earned_tags
        System tags its physics earns; it carries them once it is inspected.
    target_ids, spectrum_ids
        Its members.
    """

    object_id: str
    field: str
    ra: float
    dec: float
    kind: str
    redshift: float
    beta: float
    a_v: float
    balmer_break: float
    radius: float
    axis_ratio: float
    angle: float
    broad_fwhm: float
    lines: dict[str, float]
    line_waves: dict[str, float]
    fluxes: dict[str, float]
    earned_tags: list[str]
    target_ids: list[str]
    spectrum_ids: list[str]


@dataclass(frozen=True, slots=True)
class SpectrumTruth:
    """What is true of one spectrum.

    Parameters
    ----------
    spectrum_id, target_id, object_id, grating
        Identity.
    slit_loss
        Chebyshev coefficients of the fraction of light recorded, over 0.5 to 5.5 micron.
    captured
        Fraction of that within the aperture of the ``fnu`` column (1 for optimal extractions).
    contaminated
        Whether light of another source is added.
    """

    spectrum_id: str
    target_id: str
    object_id: str
    grating: str
    slit_loss: tuple[float, ...]
    captured: float
    contaminated: bool

    def loss(self, wavelength: FloatArray) -> FloatArray:
        """Return the fraction of the light that is recorded, at wavelengths in micron."""
        return SlitLoss(self.slit_loss)(wavelength)


@dataclass(frozen=True)
class Truth:
    """What is true of a simulated archive.

    Parameters
    ----------
    seed
        What the archive was made from.
    objects, spectra
        In the order they were made.
    models
        Spectrum id -> noiseless f_nu (microjansky) on the pixels of the file, as its ``fnu`` column would
        have it: slit loss, contamination and the step between detectors included.
    noise
        How noise and wavelengths differ from what the files say.
    """

    seed: int
    objects: list[ObjectTruth]
    spectra: list[SpectrumTruth]
    models: dict[str, FloatArray] = field(repr=False)
    noise: NoiseModel = WHITE

    def object(self, object_id: str) -> ObjectTruth:
        """Return the record of an object.

        Raises
        ------
        NotFoundError
            If it is not part of the archive.
        """
        for record in self.objects:
            if record.object_id == object_id:
                return record
        raise NotFoundError(f"no simulated object {object_id!r}")

    def spectrum(self, spectrum_id: str) -> SpectrumTruth:
        """Return the record of a spectrum.

        Raises
        ------
        NotFoundError
            If it is not part of the archive.
        """
        for record in self.spectra:
            if record.spectrum_id == spectrum_id:
                return record
        raise NotFoundError(f"no simulated spectrum {spectrum_id!r}")

    def write(self, root: PathInput) -> None:
        """Write ``truth.json`` and ``truth.npz`` (the models) below ``root``."""
        folder = Path(root)
        content: dict[str, Any] = {
            "seed": self.seed,
            "noise": asdict(self.noise),
            "objects": [asdict(record) for record in self.objects],
            "spectra": [asdict(record) for record in self.spectra],
        }
        with replacing(folder / "truth.json") as partial:
            partial.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
        with replacing(folder / "truth.npz") as partial:
            np.savez(partial, allow_pickle=False, **self.models)

    @classmethod
    def read(cls, root: PathInput) -> Truth:
        """Read what :meth:`write` wrote.

        Raises
        ------
        NotFoundError
            If ``root`` holds no simulated archive.
        """
        folder = Path(root)
        if not (folder / "truth.json").is_file():
            raise NotFoundError(
                f"{folder} holds no simulated archive (truth.json)",
                hint=f"`campfire simulate {folder}` makes one",
                path=folder / "truth.json",
            )
        content = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
        with np.load(folder / "truth.npz", allow_pickle=False) as file:
            models = {name: file[name] for name in file.files}
        return cls(
            seed=content["seed"],
            objects=[ObjectTruth(**record) for record in content["objects"]],
            spectra=[
                SpectrumTruth(**(record | {"slit_loss": tuple(record["slit_loss"])}))
                for record in content["spectra"]
            ],
            models=models,
            noise=_noise(content.get("noise", {})),
        )


def _noise(content: dict[str, Any]) -> NoiseModel:
    """Return the noise of ``truth.json``, where tuples are lists; archives made before say none."""
    pairs = {name: tuple(map(tuple, content[name])) for name in ("scale", "zero_point") if name in content}
    given = {"correlation": tuple(content["correlation"])} if "correlation" in content else {}
    return NoiseModel(**(content | pairs | given))
