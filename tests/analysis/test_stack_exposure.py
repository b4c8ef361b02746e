"""Statement: the exposure time of a stack is the sum over all exposures of all inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campfire import SpectrumData
from campfire.analysis.stacking import stack_spectra
from tests.foreign_files import dja, x1d

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "spectra"
MSAEXP = {"EXPTIME": 2626.0, "EFFEXPTM": 525.2, "NCOMBINE": 5}


def _opened(folder: Path, **cards: Any) -> SpectrumData:
    dja(folder / "a.spec.fits", **cards)
    return SpectrumData.from_fits(folder / "a.spec.fits")


def test_of_msaexp_files_all_exposures_count(tmp_path: Path) -> None:
    one = _opened(tmp_path, **MSAEXP)
    header = stack_spectra([one, replace(one, spectrum_id="b")], method="mean").header
    assert header["EFFEXPTM"] == pytest.approx(5252.0)
    assert not {"EXPTIME", "TEXPTIME", "NCOMBINE"} & set(header)


def test_msaexp_and_pipeline_files_add_up_and_stacks_of_stacks_too(tmp_path: Path) -> None:
    one = _opened(tmp_path, **MSAEXP)
    x1d(tmp_path / "b_x1d.fits", GRATING="PRISM")
    both = stack_spectra([one, SpectrumData.from_fits(tmp_path / "b_x1d.fits")], method="mean")
    assert both.header["EFFEXPTM"] == pytest.approx(2626.0 + 8753.3)
    twice = stack_spectra([both, replace(one, spectrum_id="c")], method="mean")
    assert twice.header["EFFEXPTM"] == pytest.approx(2 * 2626.0 + 8753.3)


def test_an_input_that_does_not_say_leaves_the_total_unsaid(tmp_path: Path) -> None:
    one = _opened(tmp_path, **MSAEXP)
    silent = replace(one, spectrum_id="b", header={"GRATING": "PRISM"})
    assert "EFFEXPTM" not in stack_spectra([one, silent], method="mean").header


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no sample of real spectra beside the checkout")
def test_a_stack_of_a_real_file_counts_its_five_exposures() -> None:
    one = SpectrumData.from_fits(SAMPLE / "borg-v4_prism-clear_1747_732.spec.fits")
    header = stack_spectra([one, replace(one, spectrum_id="b")], method="mean").header
    assert header["EFFEXPTM"] == pytest.approx(2 * 5 * 525.2)
