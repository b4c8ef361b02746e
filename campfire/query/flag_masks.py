"""Which single masks a flag expression implies: what of it the wire can carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from campfire.flags import FlagQuery

__all__ = ["ImpliedMasks", "canonical", "implied_masks"]

MAX_BITS = 14
"""Expressions over more bits are not analysed (2**14 evaluations); nothing is implied then."""


@dataclass(frozen=True, slots=True)
class ImpliedMasks:
    """Masks every value that satisfies an expression satisfies too; 0 where there is none.

    ``leaf`` is the expression as one mask, where it is equivalent to one.
    """

    include_all: int = 0
    include_any: int = 0
    exclude: int = 0
    leaf: FlagQuery | None = None


def _one(op: str, mask: int) -> FlagQuery:
    single = mask & (mask - 1) == 0
    return FlagQuery("all" if op == "all" or single else "any", mask)


def implied_masks(query: FlagQuery) -> ImpliedMasks:
    """Work out by evaluation which masks follow from an expression.

    Examples
    --------
    >>> from campfire.flags import DQFlags
    >>> masks = implied_masks(~DQFlags.CONTAMINATION & ~DQFlags.LOW_SNR)
    >>> masks.exclude, masks.leaf
    (34, ~(CONTAMINATION | LOW_SNR))
    """
    bits = [1 << n for n in range(query.bits.bit_length()) if query.bits >> n & 1]
    if len(bits) > MAX_BITS:
        return ImpliedMasks()
    values = np.zeros(1, dtype=np.int64)
    for bit in bits:
        values = np.concatenate([values, values | bit])
    good = query.matches(values)
    chosen = values[good]
    if not chosen.size:  # nothing can satisfy it; any mask is implied
        return ImpliedMasks(include_all=query.bits)
    every = int(np.bitwise_and.reduce(chosen))
    never = query.bits & ~int(np.bitwise_or.reduce(chosen))
    some = 0
    if (chosen != 0).all():
        some = query.bits
        for bit in bits:  # the fewer bits, the fewer rows match
            if some & ~bit and ((chosen & (some & ~bit)) != 0).all():
                some &= ~bit
    candidates = [_one("all", every)] if every else []
    candidates += [_one("any", some)] if some else []
    candidates += [FlagQuery("not", args=(_one("any", never),))] if never else []
    leaf = next((c for c in candidates if np.array_equal(c.matches(values), good)), None)
    return ImpliedMasks(every, some, never, leaf)


def canonical(query: FlagQuery) -> FlagQuery:
    """Return the expression as one mask where it is equivalent to one, else as it is."""
    leaf = implied_masks(query).leaf
    return query if leaf is None else leaf
