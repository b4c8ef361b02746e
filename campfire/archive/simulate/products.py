"""Headers and tables of simulated products: everything that goes into a ``_spec.fits``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.archive.simulate.observe import product_columns
from campfire.archive.simulate.survey import PROGRAMS

if TYPE_CHECKING:
    from campfire.archive.simulate.observe import Extraction, Setup
    from campfire.archive.simulate.shutters import Slitlet
    from campfire.archive.simulate.survey import Observation
    from campfire.formats.spec_writer import SpecProduct
    from campfire.typing import FloatArray

__all__ = ["CAL_VERSION", "CRDS_CONTEXT", "spec_product"]

CAL_VERSION = "1.20.2"
CRDS_CONTEXT = "jwst_1413.pmap"
SLIT_AREA = 0.27 * 0.10
"""Area of one rectified pixel on the sky, arcsec2."""
STERADIAN = (180.0 / np.pi * 3600.0) ** 2
"""Square arcseconds in a steradian."""


def _primary(
    filename: str, setup: Setup, observation: Observation, option: str, source_id: int
) -> dict[str, Any]:
    program = next(item for item in PROGRAMS if item.slug == observation.program)
    grating = setup.instrument
    header: dict[str, Any] = {
        "FILENAME": filename,
        "CMPFRTIM": f"{observation.date}T12:00:00",
        "CMPFRVER": observation.version,
        "CMPFROPT": option,
    }
    if setup.groups > 1:
        header |= {"CMPFRSTG": "stage3-1d", "NCOMBINE": setup.groups}
    visit = f"{program.number:05d}{observation.phase * 100:03.0f}001"
    return header | {
        "ORIGIN": "STSCI",
        "TIMESYS": "UTC",
        "TIMEUNIT": "s",
        "TELESCOP": "JWST",
        "PROGRAM": f"{program.number:05d}",
        "PI_NAME": program.pi,
        "CATEGORY": "GO",
        "DATE-OBS": observation.date,
        "TIME-OBS": "03:14:15.926",
        "VISIT_ID": visit,
        "OBSERVTN": visit[5:8],
        "TARGPROP": observation.field.upper(),
        "TARGNAME": f"{observation.field}-{source_id}",
        "FILTER": grating.filter,
        "GRATING": grating.name,
        "MSAMETFL": f"jw{visit[:8]}_01_msa.fits",
        "MSAMETID": 1,
        "MSACONID": 1,
        "EXP_TYPE": "NRS_MSASPEC",
        "READPATT": "NRSIRS2",
        "EFFEXPTM": setup.exposure_time,
        "CAL_VER": CAL_VERSION,
        "CAL_VCS": "RELEASE",
        "CRDS_VER": "12.1.11",
        "CRDS_CTX": CRDS_CONTEXT,
        "R_FFLAT": "crds://jwst_nirspec_fflat_0198.fits",
        "R_PTHLOS": "crds://jwst_nirspec_pathloss_0012.fits",
        "S_FLAT": "COMPLETE",
        "S_PTHLOS": "SKIPPED",
        "NDRIZ": 3,
        "RESWHT": "ivm",
        "PIXFRAC": 1.0,
        "PXSCLRT": 1.0,
    }


def spec_product(
    filename: str,
    setup: Setup,
    observation: Observation,
    slitlet: Slitlet,
    source_id: int,
    wave: FloatArray,
    extraction: Extraction,
) -> SpecProduct:
    """Return the content of one ``_spec.fits``.

    Parameters
    ----------
    filename
        Base name of the file.
    setup, observation, slitlet, source_id
        How, when and where it was taken.
    wave
        Pixel centres, micron.
    extraction
        1-D columns (microjansky) and 2-D data (MJy).
    """
    sci_header: dict[str, Any] = {
        "SRCTYPE": "POINT",
        "XPOSURE": setup.exposure_time,
        "PHOTMJSR": 1.0,
        "PHOTUJA2": STERADIAN**-1 * 1e12,
        "PIXAR_SR": SLIT_AREA / STERADIAN,
        "PIXAR_A2": SLIT_AREA,
        "DISPAXIS": 1,
        "SPORDER": 1,
        "SOURCEID": source_id,
        "STLARITY": 1.0 if setup.radius < 0.02 else 0.0,
        "SRCRA": slitlet.ra,
        "SRCDEC": slitlet.dec,
        "WAVECOR": "COMPLETE",
        "PTHLOSS": "SKIPPED",
    }
    planes = np.broadcast_to(wave.astype(np.float32), extraction.sci.shape)
    stem = f"jw{_primary(filename, setup, observation, '', source_id)['VISIT_ID']}_03101"
    return {
        "header": _primary(filename, setup, observation, extraction.option, source_id),
        "table": product_columns(
            wave, extraction, single=Path(filename).name.startswith("gto_wide") and setup.groups == 1
        ),
        "sci": extraction.sci,
        "err": extraction.err,
        "wavelength": np.ascontiguousarray(planes),
        "wht": extraction.wht,
        "sci_header": sci_header,
        "profile": extraction.profile,
        "exposures": slitlet.exposures(stem, setup.exposure_time),
    }
