"""Laws of the flag algebra, against brute force over all 512 masks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campfire.errors import ValidationError
from campfire.flags import (
    DQFlags,
    FlagQuery,
    RedshiftQuality,
    decode_flags,
    encode_flags,
    list_flags,
    parse_flags,
    parse_quality,
)

ALL = np.arange(512)
Truth = Callable[[int], bool]


def _leaf(flag: DQFlags) -> tuple[Any, Truth]:
    return flag, lambda value: bool(value & flag.value)


def _extend(children: st.SearchStrategy[tuple[Any, Truth]]) -> st.SearchStrategy[tuple[Any, Truth]]:
    pairs = st.tuples(children, children)
    return st.one_of(
        pairs.map(lambda p: (p[0][0] | p[1][0], lambda v: p[0][1](v) or p[1][1](v))),
        pairs.map(lambda p: (p[0][0] & p[1][0], lambda v: p[0][1](v) and p[1][1](v))),
        children.map(lambda c: (~c[0], lambda v: not c[1](v))),
    )


expressions = st.recursive(st.sampled_from(DQFlags).map(_leaf), _extend, max_leaves=12)


@given(expressions)
def test_any_nesting_of_operators_is_exact(pair: tuple[Any, Truth]) -> None:
    """Any nesting of |, &, ~ means what it says, for every one of the 512 masks."""
    query = parse_flags(pair[0])
    expected = [pair[1](int(value)) for value in ALL]
    assert query.matches(ALL).tolist() == expected
    assert [query.matches(int(value)) for value in ALL[:40]] == expected[:40]


@given(expressions, expressions)
def test_de_morgan_and_double_negation(a: tuple[Any, Truth], b: tuple[Any, Truth]) -> None:
    x, y = parse_flags(a[0]), parse_flags(b[0])
    assert np.array_equal((~(x | y)).matches(ALL), (~x & ~y).matches(ALL))
    assert np.array_equal((~(x & y)).matches(ALL), (~x | ~y).matches(ALL))
    assert ~~x == x


@given(expressions)
def test_queries_survive_pickle_and_copy_and_hash(pair: tuple[Any, Truth]) -> None:
    query = parse_flags(pair[0])
    again = pickle.loads(pickle.dumps(query))
    assert again == query
    assert hash(again) == hash(query)
    assert copy.deepcopy(query) == query


@given(expressions)
def test_repr_is_python_that_gives_the_same_condition(pair: tuple[Any, Truth]) -> None:
    query = parse_flags(pair[0])
    again = parse_flags(eval(repr(query), {"__builtins__": {}}, dict(DQFlags.__members__)))
    assert np.array_equal(again.matches(ALL), query.matches(ALL))


@pytest.mark.parametrize("flag", DQFlags)
def test_integer_and_member_is_integer_arithmetic(flag: DQFlags) -> None:
    """``row_int & DQFlags.X`` is a number; the natural test of one row is right."""
    for value in (0, 1, 33, 511, 1024):
        result = value & flag
        assert type(result) is int
        assert result == (value & flag.value)
        assert bool(value & flag) == bool(value & flag.value)
        assert value | flag == value | flag.value
        assert flag & value == value & flag.value
        assert np.int64(value) & flag == value & flag.value
    assert np.array_equal(ALL & flag, ALL & flag.value)
    assert np.array_equal(flag & ALL, ALL & flag.value)


def test_a_query_has_no_truth_value() -> None:
    query = DQFlags.CHIP_GAP | DQFlags.LOW_SNR
    with pytest.raises(ValidationError, match=r"join queries with & \| ~"):
        bool(query)
    with pytest.raises(ValidationError):
        _ = query and query


def test_documented_examples() -> None:
    assert (DQFlags.CHIP_GAP | DQFlags.LOW_SNR).matches(32)
    assert not (DQFlags.CHIP_GAP & DQFlags.LOW_SNR).matches(32)
    clean = ~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR
    assert clean.matches(0)
    assert not clean.matches(2)
    assert decode_flags(3, "dq_flags") == ["CHIP_GAP", "CONTAMINATION"]
    assert encode_flags(["CHIP_GAP", "CONTAMINATION"], "dq_flags") == 3


@given(st.integers(0, 2**20))
def test_decode_and_encode_are_inverse_also_for_unknown_bits(mask: int) -> None:
    assert encode_flags(decode_flags(mask)) == mask


def test_list_flags_prints_value_name_and_meaning(capsys: pytest.CaptureFixture[str]) -> None:
    list_flags()
    printed = capsys.readouterr().out
    list_flags("dq_flags")
    assert capsys.readouterr().out == printed
    lines = printed.splitlines()
    for flag in DQFlags:
        line = next(text for text in lines if f" {flag.name} " in text)
        assert str(flag.value) in line.split()
        assert flag.description in line
    assert len({flag.description for flag in DQFlags}) == len(DQFlags)


@pytest.mark.parametrize("value", [True, False, -1, 0, 1.5, "NOPE", [], None, ["LOW_SNR", "NOPE"], object()])
def test_what_is_no_condition_is_refused(value: object) -> None:
    with pytest.raises(ValidationError):
        parse_flags(value)


@pytest.mark.parametrize(
    ("value", "hits"),
    [
        (5, {1, 4, 5}),
        ("low_snr", {32, 33}),
        (DQFlags.CHIP_GAP, {1, 33}),
        (["CHIP_GAP", "LOW_SNR"], {1, 32, 33}),
        (np.int64(2), {2}),
    ],
)
def test_accepted_forms_of_a_condition(value: object, hits: set[int]) -> None:
    query = parse_flags(value)
    assert isinstance(query, FlagQuery)
    assert all(query.matches(hit) for hit in hits)
    assert not query.matches(0)


def test_unknown_names_are_answered_with_near_ones() -> None:
    with pytest.raises(ValidationError, match="CONTAMINATION"):
        encode_flags(["CONTAMINATON"])
    with pytest.raises(ValidationError, match="dq_flags"):
        decode_flags(1, "object_flags")


@pytest.mark.parametrize("name", ["secure", "SECURE", "Secure"])
def test_redshift_quality_by_name_or_code(name: str) -> None:
    assert RedshiftQuality(name) == 4
    assert parse_quality(name) is RedshiftQuality.SECURE
    assert parse_quality(4) is RedshiftQuality.SECURE
    assert parse_quality("not inspected") == 0


@pytest.mark.parametrize("value", [5, -1, True, "sure", 3.0, None])
def test_unknown_quality_is_refused_with_the_names(value: object) -> None:
    with pytest.raises(ValidationError, match="secure"):
        parse_quality(value)
