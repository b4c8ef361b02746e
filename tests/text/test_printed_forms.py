"""Statement: what is documented to be printed can be printed on any stream, and obeys no name; in UTF-8 it is
as documented.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from campfire import Object, Photometry, Spectrum, SpectrumCollection, SpectrumData, ValidationError
from campfire.text import one_line, printed

PROGRAM = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
import campfire
from campfire import *
wave = np.linspace(0.6, 5.3, 1024)
spec = SpectrumData(wave, np.ones(1024), np.full(1024, 0.1), {}, "PRISM", "ember_uds_p4_prism_clear_123456")
named = SpectrumData(wave, np.ones(1024), np.full(1024, 0.1), {}, "PRISM", "β_μ_Ω\\x1b[31m")
phot = Photometry(["f150w", "f444w"], [1.0, 2.0], [0.1, 0.1], [1.5, 4.4], "UVCANDELS β", photo_z=3.51)
record = Spectrum("β", "J0", "PRISM", 12.0, opener=lambda _: spec.to_fields())
obj = Object("J0_β", "cosmos", 150.0, 2.0, redshift=3.421, tags=["lrd", "β"], photometry=phot,
             spectra=SpectrumCollection([record]))
result = calibrate_to_photometry(spec, phot)
stack = calibrate_and_stack([spec, spec], phot, object_id="β")
tree = spec.to_xarray()
for thing in (spec, named, phot, record, obj, obj.spectra, result, stack, stack.spectrum, DQFlags.LOW_SNR,
              ~DQFlags.LOW_SNR & ~DQFlags.CHIP_GAP, tree.campfire, campfire.Campfire(data_dir="x")):
    print(thing)
    print(repr(thing))
list_flags()
list_flags("dq_flags")
try:
    encode_flags("β")
except ValidationError as error:
    print(repr(str(error)).isascii() or "names are printed by Python")
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_documented_printed_form_can_be_printed(encoding: str) -> None:
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    run = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    lines = run.stdout.decode(encoding).splitlines()
    unit = "um" if encoding == "ascii" else "μm" if encoding == "utf-8" else "um"
    assert lines[0] == f"SpectrumData(ember_uds_p4_prism_clear_123456, PRISM, 1024 pixels, 0.60-5.30 {unit})"
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("verb", [["doctor"], ["nonsense β"]])
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_command_line_prints_on_any_stream(encoding: str, verb: list[str], tmp_path: Path) -> None:
    env = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0", "CAMPFIRE_ROOT": f"{tmp_path}/β"}
    run = subprocess.run([sys.executable, "-m", "campfire", *verb], env=env, capture_output=True)
    assert b"Traceback" not in run.stderr
    assert run.returncode == (1 if verb == ["doctor"] else 2)


HOSTILE = "evil\x1b[31m\r\nname\x07"


def test_no_name_of_a_file_reaches_the_terminal_as_a_command() -> None:
    ds = SpectrumData([1.0, 2.0], [3.0, 4.0], [0.1, 0.1], {}, HOSTILE, HOSTILE).to_xarray()
    spec = ds.campfire.to_spectrum()
    phot = Photometry([HOSTILE], [1.0], [0.1], [1.0], catalog=HOSTILE)
    record = Spectrum(HOSTILE, HOSTILE, HOSTILE)
    obj = Object(
        HOSTILE, HOSTILE, 1.0, 2.0, tags=[HOSTILE], spectra=SpectrumCollection([record]), photometry=phot
    )
    for thing in (spec, phot, record, obj, obj.spectra):
        assert repr(thing).replace("\n", "").isprintable(), type(thing)
    for thing in (spec, phot, obj, obj.spectra):
        assert "\x1b" not in thing._repr_html_(), type(thing)


def test_an_error_is_one_short_line_of_printable_text() -> None:
    error = ValidationError("table\n" * 1000 + HOSTILE, hint="x\n" * 1000 + HOSTILE)
    assert str(error).isprintable()
    assert len(str(error)) < 1100


@pytest.mark.parametrize("text", ["plain", "μm", "", "a  b"])
def test_what_is_short_and_printable_is_left_alone(text: str) -> None:
    assert printed(text) == text
    assert one_line(text) == " ".join(text.split())


def test_a_stream_of_unknown_encoding_is_taken_for_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(io.StringIO):
        encoding = "no such encoding"

    monkeypatch.setattr(sys, "stdout", Odd())
    assert printed("0.60-5.30 μm, χ²=1") == "0.60-5.30 um, chi2=1"


def test_html_is_there_for_whatever_a_notebook_shows() -> None:
    spec = SpectrumData([1.0, 2.0], [3.0, np.nan], [0.1, 0.1], {}, "PRISM", "demo")
    phot = Photometry(["f444w"], [1.0], [0.1], [4.4])
    record = Spectrum("demo", "J0", "PRISM")
    for thing in (
        spec,
        phot,
        Object("J0", "cosmos", 1.0, 2.0, spectra=SpectrumCollection([record]), photometry=phot),
        SpectrumCollection([record]),
        spec.to_xarray().campfire,
        xr.DataTree().campfire,
    ):
        assert "<" in thing._repr_html_(), type(thing)
