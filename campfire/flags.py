"""Per-spectrum data-quality flags, redshift quality, and the closed algebra of flag queries.

``DQFlags`` members are integers: ``row["dq_flags"] & DQFlags.LOW_SNR`` is integer arithmetic. Between members
the operators build a :class:`FlagQuery` instead, an expression that any nesting of ``|``, ``&`` and ``~``
keeps exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, overload

import numpy as np

from campfire.arguments import choice, did_you_mean, integer, shown
from campfire.errors import ValidationError

if TYPE_CHECKING:
    from campfire.typing import BoolArray, IntArray

__all__ = [
    "DQFlags",
    "FlagQuery",
    "RedshiftQuality",
    "decode_flags",
    "encode_flags",
    "list_flags",
    "parse_flags",
    "parse_quality",
]

Op = Literal["any", "all", "not", "and", "or"]


@dataclass(frozen=True, slots=True, eq=True)
class FlagQuery:
    """A condition on a flag bitmask, closed under ``|``, ``&`` and ``~``.

    Made by operators between :class:`DQFlags` members, not by hand. ``op`` is ``"any"`` (some bit of
    ``mask`` set) or ``"all"`` (every bit of ``mask`` set) on a leaf; ``"not"``, ``"and"``, ``"or"`` join
    ``args``.

    Examples
    --------
    >>> clean = ~(DQFlags.CONTAMINATION | DQFlags.LOW_SNR)
    >>> clean
    ~(CONTAMINATION | LOW_SNR)
    >>> clean.matches(0), clean.matches(32)
    (True, False)
    """

    op: Op
    mask: int = 0
    args: tuple[FlagQuery, ...] = ()

    def __or__(self, other: object) -> FlagQuery:
        return FlagQuery("or", args=(self, _as_query(other)))

    def __ror__(self, other: object) -> FlagQuery:
        return FlagQuery("or", args=(_as_query(other), self))

    def __and__(self, other: object) -> FlagQuery:
        return FlagQuery("and", args=(self, _as_query(other)))

    def __rand__(self, other: object) -> FlagQuery:
        return FlagQuery("and", args=(_as_query(other), self))

    def __invert__(self) -> FlagQuery:
        return self.args[0] if self.op == "not" else FlagQuery("not", args=(self,))

    def __bool__(self) -> NoReturn:
        raise ValidationError(
            "a flag query has no truth value",
            hint="join queries with & | ~ in place of and, or, not; test one value with query.matches(value)",
        )

    @overload
    def matches(self, flags: int) -> bool: ...
    @overload
    def matches(self, flags: IntArray) -> BoolArray: ...
    def matches(self, flags: int | IntArray) -> bool | BoolArray:
        """Evaluate the condition on bitmasks.

        Parameters
        ----------
        flags
            One integer, or an integer array of any shape.

        Returns
        -------
        bool or numpy.ndarray
            A bool for one integer, else a bool array of the same shape.
        """
        result = self._evaluate(np.asarray(flags, dtype=np.int64))
        return bool(result) if np.ndim(flags) == 0 else result

    def _evaluate(self, flags: Any) -> Any:
        if self.op == "any":
            return (flags & self.mask) != 0
        if self.op == "all":
            return (flags & self.mask) == self.mask
        parts = [arg._evaluate(flags) for arg in self.args]
        if self.op == "not":
            return ~parts[0]
        combine = np.logical_and if self.op == "and" else np.logical_or
        return combine.reduce(parts)

    @property
    def bits(self) -> int:
        """Every bit the condition mentions."""
        bits = self.mask
        for arg in self.args:
            bits |= arg.bits
        return bits

    def __repr__(self) -> str:
        if self.op in ("any", "all"):
            names = decode_flags(self.mask) or ["0"]
            text = (" | " if self.op == "any" else " & ").join(names)
            return text if len(names) == 1 else f"({text})"
        if self.op == "not":
            inner = repr(self.args[0])
            return f"~{inner}" if inner.startswith("(") or " " not in inner else f"~({inner})"
        joined = (" & " if self.op == "and" else " | ").join(map(repr, self.args))
        return f"({joined})"


class DQFlags(IntEnum):
    """Per-spectrum data-quality bits of the archive.

    Integers where they meet integers, queries where they meet each other.

    Examples
    --------
    >>> 34 & DQFlags.LOW_SNR
    32
    >>> (DQFlags.CHIP_GAP | DQFlags.LOW_SNR).matches(32)
    True
    """

    CHIP_GAP = 1
    CONTAMINATION = 2
    STUCK_SHUTTER = 4
    MULTIPLE_SOURCES = 8
    NO_DETECTION = 16
    LOW_SNR = 32
    SPECTRAL_OVERLAP = 64
    PRISM_CORRUPTED = 128
    GRATING_CORRUPTED = 256

    # With another member or a query: an expression. With anything else: what integers do.
    def __or__(self, other: Any) -> Any:
        return _as_query(self) | other if isinstance(other, DQFlags | FlagQuery) else int(self) | other

    def __and__(self, other: Any) -> Any:
        return _as_query(self) & other if isinstance(other, DQFlags | FlagQuery) else int(self) & other

    def __ror__(self, other: Any) -> Any:
        return other | int(self)

    def __rand__(self, other: Any) -> Any:
        return other & int(self)

    def __invert__(self) -> Any:
        return ~_as_query(self)

    @property
    def description(self) -> str:
        """One line on what the flag means."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    DQFlags.CHIP_GAP: "the detector gap affects the spectrum",
    DQFlags.CONTAMINATION: "light of a neighbour or through an open shutter",
    DQFlags.STUCK_SHUTTER: "a shutter is suspected to be stuck closed",
    DQFlags.MULTIPLE_SOURCES: "several sources in the slitlet",
    DQFlags.NO_DETECTION: "nothing detected",
    DQFlags.LOW_SNR: "too noisy to be useful",
    DQFlags.SPECTRAL_OVERLAP: "overlapping traces of other sources (gratings)",
    DQFlags.PRISM_CORRUPTED: "prism data unusable",
    DQFlags.GRATING_CORRUPTED: "grating data unusable",
}


class RedshiftQuality(IntEnum):
    """Confidence of an inspected redshift; "inspected" means greater than 0.

    Examples
    --------
    >>> RedshiftQuality("secure")
    <RedshiftQuality.SECURE: 4>
    """

    NOT_INSPECTED = 0
    IMPOSSIBLE = 1
    TENTATIVE = 2
    PROBABLE = 3
    SECURE = 4

    def __new__(cls, value: int | str) -> Self:
        """Make a member; the signature lets type checkers accept a name where a code is expected."""
        member = int.__new__(cls, value)
        member._value_ = int(value)
        return member

    @classmethod
    def _missing_(cls, value: object) -> RedshiftQuality | None:
        if isinstance(value, str):
            return cls.__members__.get(value.strip().upper().replace(" ", "_").replace("-", "_"))
        return None


def _as_query(value: object) -> FlagQuery:
    if isinstance(value, FlagQuery):
        return value
    if isinstance(value, DQFlags):
        return FlagQuery("all", int(value))
    raise ValidationError(
        f"cannot join a flag query with {value!r}", hint="use DQFlags members, e.g. ~DQFlags.LOW_SNR"
    )


def _flag(name: str) -> DQFlags:
    key = name.strip().upper().replace(" ", "_").replace("-", "_")
    if key in DQFlags.__members__:
        return DQFlags[key]
    raise ValidationError(f"unknown DQ flag {name!r}", hint=did_you_mean(key, DQFlags.__members__))


def parse_flags(value: object) -> FlagQuery:
    """Turn what users pass as ``dq_flags=`` into a query.

    Parameters
    ----------
    value
        A :class:`FlagQuery` (as it is), a member or a name (that flag set), an integer mask (any of its
        bits set), or a sequence of names or members (any of them set).

    Raises
    ------
    ValidationError
        For unknown names, booleans, negative or zero masks and empty sequences.
    """
    if isinstance(value, FlagQuery | DQFlags):
        return _as_query(value)
    if isinstance(value, str):
        return _as_query(_flag(value))
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        if value <= 0:
            raise ValidationError(
                f"dq_flags={int(value)} is not a mask",
                hint="for spectra without a flag write e.g. ~DQFlags.LOW_SNR",
            )
        return FlagQuery("any", int(value))
    if isinstance(value, Iterable):
        mask = encode_flags(value)
        if mask:
            return FlagQuery("any", mask)
    raise ValidationError(
        f"dq_flags={value!r} is not a flag condition", hint="use e.g. ~DQFlags.LOW_SNR, a name or a mask"
    )


def parse_quality(value: object) -> RedshiftQuality:
    """Turn a code (0 to 4) or a name (any case) into a :class:`RedshiftQuality`.

    Raises
    ------
    ValidationError
        For anything else.
    """
    if not isinstance(value, bool) and isinstance(value, int | np.integer | str):
        code: Any = value if isinstance(value, str) else int(value)
        if isinstance(code, int) and code in RedshiftQuality._value2member_map_:
            return RedshiftQuality(code)
        named = RedshiftQuality._missing_(code)
        if named is not None:
            return named
    names = ", ".join(f"{q.name.lower()} ({q.value})" for q in RedshiftQuality)
    raise ValidationError(f"unknown redshift quality {value!r}", hint=f"one of {names}")


def _check_type(flag_type: str | None) -> None:
    if flag_type is not None:
        choice(flag_type, "flag_type", ("dq_flags",))


def list_flags(flag_type: str | None = None) -> None:
    """Print every flag with its bit, value and meaning.

    Parameters
    ----------
    flag_type
        ``"dq_flags"``, the only type there is, or None for all types.
    """
    _check_type(flag_type)
    print("dq_flags")
    for flag in DQFlags:
        print(f"  {flag.value:>4}  {flag.name:<18} {flag.description}")


def decode_flags(value: int, flag_type: str = "dq_flags") -> list[str]:
    """Name the bits of a mask, lowest first; bits without a name appear as ``BIT_<n>``.

    Raises
    ------
    ValidationError
        If ``value`` is not a non-negative integer or the type is unknown.

    Examples
    --------
    >>> decode_flags(3, "dq_flags")
    ['CHIP_GAP', 'CONTAMINATION']
    """
    _check_type(flag_type)
    mask = integer(value, "bitmask", least=0)
    names = {int(flag): flag.name for flag in DQFlags}
    bits = (1 << n for n in range(mask.bit_length()))
    return [names.get(bit, f"BIT_{bit.bit_length() - 1}") for bit in bits if mask & bit]


def encode_flags(names: Iterable[str | int] | str, flag_type: str = "dq_flags") -> int:
    """Join flag names (any case) or members into one mask.

    Raises
    ------
    ValidationError
        For an unknown name or type.

    Examples
    --------
    >>> encode_flags(["CHIP_GAP", "contamination"], "dq_flags")
    3
    """
    _check_type(flag_type)
    if isinstance(names, Mapping) or not isinstance(names, Iterable):
        raise ValidationError(f"{shown(names)} is not a list of flag names", hint="e.g. ['LOW_SNR']")
    mask = 0
    for name in [names] if isinstance(names, str) else names:
        if isinstance(name, str):
            bit = re.fullmatch(r"BIT_([0-5]?[0-9]|6[0-2])", name.strip().upper())
            mask |= 1 << int(bit[1]) if bit else int(_flag(name))
        elif isinstance(name, DQFlags):
            mask |= int(name)
        else:
            raise ValidationError(f"{shown(name)} is not a flag name", hint="e.g. 'LOW_SNR'")
    return mask
