"""Statement checked: lines and bands are found as they are typed, and never one for another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.analysis.lines import measure_lines
from campfire.bands import BANDS, find_band, near_bands
from campfire.errors import ValidationError
from campfire.formats.bandpasses import load_bandpass
from campfire.linelist import EMISSION_LINES, find_line
from campfire.models import SpectrumData

TYPED = {
    "Hα": "Ha Halpha H-alpha HALPHA ha Hα Ha6563 H_alpha Balmer-alpha",
    "Hβ": "Hb hbeta H-beta Hβ Hb4861",
    "Hγ": "Hg Hgamma",
    "Hδ": "Hd H-delta",
    "Lyα": "Lya LYA Ly-alpha lyalpha LyA1216 Lyman-alpha",
    "Paα": "Paa Pa-alpha Paschen-alpha Paa18751",
    "Paβ": "Pab",
    "[OIII]₂": "[OIII]5007 OIII5007 [OIII]5007A oiii5007 OIII₂ [OIII]2 OIII-5007 OIII5006.84 [OIII]λ5007",
    "[OIII]₁": "[OIII]4959 OIII4960",
    "[OIII]4363": "OIII4363 [OIII]4363",
    "[NII]": "NII6583 [NII]6584 nii6585 [NII] NII",
    "[NII]₁": "NII6548 [NII]6548",
    "[SII]₁": "SII6716 [SII]6717",
    "[SII]₂": "SII6731",
    "[SIII]₂": "SIII9531 SIII9533",
    "[OII]": "OII [OII]3727 OII3729 [OII]3726",
    "[OI]": "OI OI6300",
    "[NeIII]": "NeIII NeIII3869",
    "CIV": "CIV1548 CIV1550 civ CIV1549",
    "CIII]": "CIII CIII]1909 CIII1907",
    "MgII": "MgII2796 MgII2803 MGII",
    "HeII1640": "HeII HeII1640",
    "HeI5876": "HeI5876",
    "HeI10830": "HeI10830 HeI10833",
}


@pytest.mark.parametrize(("name", "typed"), [(n, t) for n, all_of in TYPED.items() for t in all_of.split()])
def test_a_line_is_found_as_it_is_typed(name: str, typed: str) -> None:
    assert find_line(typed)["name"] == name
    assert find_line(f" {typed} ")["name"] == name


def test_a_line_is_found_with_blanks_between() -> None:
    assert [find_line(t)["name"] for t in ("[O III] 5007", "H alpha", "N II 6583")] == [
        "[OIII]₂",
        "Hα",
        "[NII]",
    ]


@given(st.sampled_from(EMISSION_LINES), st.integers(0, 2**24))
def test_every_line_is_found_by_its_name_in_any_case(line: dict[str, object], cases: int) -> None:
    name = str(line["name"])
    mixed = "".join(c.upper() if cases >> k & 1 else c for k, c in enumerate(name.lower()))
    assert find_line(name) is line
    assert find_line(mixed)["wave"] == line["wave"]


@given(st.sampled_from(EMISSION_LINES), st.floats(-3e-4, 3e-4))
def test_a_number_near_no_line_of_the_ion_is_refused(line: dict[str, object], shift: float) -> None:
    angstrom = float(str(line["wave"])) * 1e4
    with pytest.raises(ValidationError, match="no line"):
        find_line(f"HeI{angstrom + 40 * (1 + shift):.0f}")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("OIII", r"may be any of 3 lines .*'\[OIII\]4363' or '\[OIII\]₁' or '\[OIII\]₂'"),
        ("SII", "may be any of 2 lines"),
        ("HeI", "may be any of 2 lines"),
        ("OIII6000", r"no line 'OIII6000' .*'\[OIII\]4363'"),
        ("Halpa", "did you mean 'Hα'"),
        ("ArIII7136", r"known: .?Lyα.* microns"),
        ("", "known: .?Lyα"),
        ("5007", "microns"),
    ],
)
def test_what_is_no_line_or_more_than_one_is_refused_with_what_would_do(typed: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=hint):
        find_line(typed)


def test_lines_are_measured_by_the_names_that_are_typed() -> None:
    wave = np.linspace(2.9, 5.1, 1300)
    spec = SpectrumData(wave, np.ones(1300), np.full(1300, 0.01), {}, "G395M", "demo", redshift=5.5)
    found = measure_lines(spec, ["Ha", "[O III] 5007", "OIII5007", 0.4862683])
    assert found.line.values.tolist() == ["Hα", "[OIII]₂", "0.486268"]
    with pytest.raises(ValidationError, match="did you mean 'Hα'"):
        measure_lines(spec, ["Halpa"])


@pytest.mark.parametrize("name", [name for name in BANDS if len(name) > 1])
def test_bands_of_several_letters_match_in_any_case(name: str) -> None:
    for typed in (name, name.upper(), name.lower(), name.title()):
        assert find_band(typed) is BANDS[name]


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("y", "y"),
        ("Y", "Y"),
        ("j", "J"),
        ("h", "H"),
        ("KS", "Ks"),
        *((c, None) for c in "UGRIZK"),
        ("", None),
    ],
)
def test_one_letter_is_never_taken_for_a_band_of_another_system(typed: str, name: str | None) -> None:
    found = find_band(typed)
    assert (found and found.name) == name


@pytest.mark.parametrize(
    ("typed", "near"),
    [
        ("f44w", ["f444w"]),
        ("F444", ["f444w"]),
        ("K", ["Ks"]),
        ("R", ["r"]),
        ("foo", []),
        ("F 444 W", ["f444w"]),
    ],
)
def test_a_band_that_is_not_known_is_refused_with_near_ones(typed: str, near: list[str]) -> None:
    assert near_bands(typed) == near
    with pytest.raises(ValidationError, match=f"did you mean '{near[0]}'" if near else "pass an object"):
        load_bandpass(typed)
