"""Sphinx directive ``campfire-table``: tables of the reference, made from those of the package."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from docutils.statemachine import StringList

Rows = Iterable[tuple[str, ...]]


def filters() -> tuple[tuple[str, ...], Rows]:
    """Return the keywords of queries."""
    from campfire.query.filters import FILTERS

    rows = (
        (f"``{f.name}``", f.doc, f"``{f.on_objects}``", f"``{f.on_spectra}``" + (" of its object" * f.parent))
        for f in FILTERS.values()
        if f.public
    )
    return ("keyword", "what it takes", "of an object", "of a spectrum"), rows


def columns(table: str) -> Callable[[], tuple[tuple[str, ...], Rows]]:
    """Return the columns of a table of results."""

    def made() -> tuple[tuple[str, ...], Rows]:
        from campfire.columns import COLUMNS

        rows = (
            (f"``{c.name}``", c.kind, c.unit or "", "yes" if c.masked else "", c.description)
            for c in COLUMNS[table]  # type: ignore[index]
        )
        return ("column", "kind", "unit", "may be unknown", "what it is"), rows

    return made


def variables() -> tuple[tuple[str, ...], Rows]:
    """Return the variables of Datasets."""
    from campfire.schema.variables import VARIABLES

    rows = (
        (f"``{name}``", f"``{spec.dtype}``", f"``{spec.units}``" if spec.units else "", spec.doc)
        for name, spec in VARIABLES.items()
    )
    return ("variable", "dtype", "units", "what it is"), rows


def flags() -> tuple[tuple[str, ...], Rows]:
    """Return the data-quality flags of spectra."""
    from campfire import DQFlags

    rows = ((f"``{flag.name}``", str(flag.value), flag.description) for flag in DQFlags)
    return ("flag", "value", "what it says"), rows


def lines() -> tuple[tuple[str, ...], Rows]:
    """Return the emission lines."""
    from campfire import EMISSION_LINES

    rows = ((line["name"], f"{1e4 * line['wave']:.2f}") for line in EMISSION_LINES)
    return ("line", "wavelength in vacuum (Å)"), rows


TABLES: dict[str, Callable[[], tuple[tuple[str, ...], Rows]]] = {
    "filters": filters,
    "objects": columns("objects"),
    "spectra": columns("spectra"),
    "variables": variables,
    "flags": flags,
    "lines": lines,
}


class CampfireTable(Directive):
    """A table of :data:`TABLES`."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {"widths": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Return a list table."""
        head, rows = TABLES[self.arguments[0]]()
        text = [".. list-table::", "   :header-rows: 1", ""]
        for row in (head, *rows):
            text += [("   * - " if k == 0 else "     - ") + cell for k, cell in enumerate(row)]
        container = nodes.container()
        self.state.nested_parse(StringList(text, source="campfire-table"), 0, container)
        return container.children


def setup(app: Any) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("campfire-table", CampfireTable)
    return {"parallel_read_safe": True}
