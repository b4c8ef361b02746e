"""Statement: a citation names every program and reduction of the spectra, and no other."""

from __future__ import annotations

import re
from typing import Any

import pytest

from campfire.client import Campfire
from campfire.client.citing import cite
from campfire.errors import ValidationError

PROGRAMS: list[dict[str, Any]] = [
    {"slug": "a", "program_name": "ALPHA", "pi_name": "A. Person", "jwst_program": "1234"},
    {"slug": "b", "program_name": None, "pi_name": None, "jwst_program": None},
    {"slug": "c", "program_name": "GAMMA", "pi_name": "C. Person", "jwst_program": "9"},
]


def _row(program: str, version: str | None = "v1") -> dict[str, Any]:
    return {"program_slug": program, "reduction_version": version}


@pytest.mark.parametrize(
    ("rows", "told", "untold"),
    [
        (
            [_row("a")],
            ["JWST program 1234 (ALPHA, PI A. Person)", "1 spectrum was", "version v1 "],
            ["GAMMA"],
        ),
        ([_row("b"), _row("b", None)], ["the program b", "2 spectra were"], ["None", "PI "]),
        ([_row("a"), _row("c", "v2"), _row("z")], ["ALPHA", "GAMMA", "and the program z", "v1 and v2"], []),
    ],
)
def test_programs_and_reductions(rows: list[Any], told: list[str], untold: list[str]) -> None:
    citation = cite(rows, PROGRAMS)
    for words in told:
        assert words in citation.acknowledgement
    for words in untold:
        assert words not in str(citation)
    assert citation.n_spectra == len(rows)


def test_the_bibliography_is_bibtex() -> None:
    """Statement: braces are balanced, keys differ, and all that the text cites is there."""
    citation = cite([_row("a")], PROGRAMS)
    entries = re.split(r"\n\n(?=@)", citation.bibtex)
    keys = [re.match(r"@\w+\{(\w+),", entry)[1] for entry in entries]  # type: ignore[index]
    assert len(set(keys)) == len(keys) == 6
    for entry in entries:
        assert entry.count("{") == entry.count("}")
    years = re.findall(r"(?:et al\.|Hamman) (\d{4})", citation.acknowledgement)
    assert set(years) == set(re.findall(r"year = \{(\d{4})\}", citation.bibtex))


def test_a_client_cites_what_holds_spectra(cf: Campfire) -> None:
    table = cf.query_spectra(gratings=["PRISM"])
    citation = cf.cite(table)
    assert citation.n_spectra == len(table) == cf.cite(gratings=["PRISM"]).n_spectra
    assert {row["slug"] for row in citation.programs} == set(table["program_slug"])
    assert all(str(row["jwst_program"]) in citation.acknowledgement for row in citation.programs)
    with pytest.raises(ValidationError, match="no spectra"):
        cf.cite(redshift_range=(90, None))
