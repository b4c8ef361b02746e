"""Statement checked: the tables of the data-model and fitting pages are those of the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from campfire.schema import FIT, VARIABLES, PixelDQ, VariableSpec

DOCS = Path(__file__).parents[2] / "docs"
MEANING = {
    PixelDQ.NONFINITE_FLUX: "no measurement",
    PixelDQ.BAD_ERROR: "the error is not finite or not positive",
    PixelDQ.FLAGGED_IN_FILE: "the file, or the user's mask, says so",
    PixelDQ.OUTSIDE: "padding, or not covered by the input of a resampling",
    PixelDQ.CLIPPED: "rejected by a combine step",
}


def schema_table(table: dict[str, VariableSpec]) -> str:
    rows = ["| variable | units | meaning |", "|---|---|---|"]
    rows += [f"| `{s.name}` | {f'`{s.units}`' if s.units else '—'} | {s.doc} |" for s in table.values()]
    return "\n".join(rows)


def dq_table() -> str:
    rows = ["| bit | name | meaning |", "|---|---|---|"]
    rows += [f"| {bit.value} | `{bit.name}` | {MEANING[bit]} |" for bit in PixelDQ]
    return "\n".join(rows)


TABLES = [
    ("data-model.md", "schema", schema_table(VARIABLES)),
    ("data-model.md", "dq", dq_table()),
    ("fitting.md", "fit", schema_table(FIT)),
]


@pytest.mark.parametrize(("page", "name", "table"), TABLES, ids=[name for _, name, _ in TABLES])
def test_tables_are_generated_from_the_schema(page: str, name: str, table: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name}:begin -->\n(.*?)\n?<!-- {name}:end -->", text, re.DOTALL)
    assert found is not None
    assert found[1].strip() == table, f"replace the {name} table of {page} by\n\n{table}"
