"""Statement checked: the tables of the data-model page are those of the schema."""

from __future__ import annotations

import re
from pathlib import Path

from campfire.schema import VARIABLES, PixelDQ

PAGE = Path(__file__).parents[2] / "docs" / "data-model.md"
MEANING = {
    PixelDQ.NONFINITE_FLUX: "no measurement",
    PixelDQ.BAD_ERROR: "the error is not finite or not positive",
    PixelDQ.FLAGGED_IN_FILE: "the file, or the user's mask, says so",
    PixelDQ.OUTSIDE: "padding, or not covered by the input of a resampling",
    PixelDQ.CLIPPED: "rejected by a combine step",
}


def schema_table() -> str:
    rows = ["| variable | units | meaning |", "|---|---|---|"]
    rows += [f"| `{s.name}` | {f'`{s.units}`' if s.units else '—'} | {s.doc} |" for s in VARIABLES.values()]
    return "\n".join(rows)


def dq_table() -> str:
    rows = ["| bit | name | meaning |", "|---|---|---|"]
    rows += [f"| {bit.value} | `{bit.name}` | {MEANING[bit]} |" for bit in PixelDQ]
    return "\n".join(rows)


def test_tables_are_generated_from_the_schema() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("schema", schema_table()), ("dq", dq_table())):
        found = re.search(rf"<!-- {name}:begin -->\n(.*?)\n?<!-- {name}:end -->", text, re.DOTALL)
        assert found is not None
        assert found[1].strip() == table, f"replace the {name} table of {PAGE.name} by\n\n{table}"
