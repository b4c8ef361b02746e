"""Statements: accessors list what they offer, and a mistyped name gets near ones."""

from __future__ import annotations

import inspect
from html.parser import HTMLParser
from typing import Any

import pytest
import xarray as xr

import campfire  # noqa: F401 - registers the accessors

ACCESSORS: list[Any] = [xr.Dataset().campfire, xr.DataTree().campfire]


def offered(accessor: Any) -> list[str]:
    return [n for n, _ in inspect.getmembers(type(accessor), inspect.isfunction) if not n.startswith("_")]


@pytest.mark.parametrize("accessor", ACCESSORS)
def test_repr_lists_every_method_with_what_it_does(accessor: Any) -> None:
    title, *lines = repr(accessor).splitlines()
    assert title in ("Dataset.campfire", "DataTree.campfire")
    assert [line.split("(")[0].strip() for line in lines] == offered(accessor)
    for line in lines:
        call, _, summary = line.strip().partition(")  ")
        assert "(" in call
        assert summary.strip().endswith(".")
        assert ":meth:" not in line
        assert "``" not in line


@pytest.mark.parametrize("accessor", ACCESSORS)
def test_html_lists_the_same_and_is_whole(accessor: Any) -> None:
    opened: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            opened.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert opened.pop() == tag

    page = accessor._repr_html_()
    Parser().feed(page)
    assert opened == []
    assert page.count("<tr>") == len(offered(accessor))
    assert all(f"<code>{name}(" in page for name in offered(accessor))


def test_html_is_escaped() -> None:
    from campfire.accessors.method_list import Listed

    class Hostile(Listed):
        _title = "<script>"

        def method(self, a: int = 0) -> None:
            """Return <b>this</b> & that."""

    page = Hostile()._repr_html_()
    assert "&lt;script&gt;" in page
    assert "Return &lt;b&gt;this&lt;/b&gt; &amp; that." in page


@pytest.mark.parametrize("accessor", ACCESSORS)
@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stak", "stack"),
        ("resampel", "resample"),
        ("to_spectrum_list", "to_spectra"),
        ("photometry", "synthetic"),
    ],
)
def test_a_mistyped_name_gets_near_ones(accessor: Any, typed: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=rf"has no '{typed}' \(did you mean .*'{meant}"):
        getattr(accessor, typed)
    assert not hasattr(accessor, "_ipython_display_")
    assert getattr(accessor, typed, None) is None
