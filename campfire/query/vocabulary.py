"""The names a catalogue knows, and what to say of one that it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from campfire.errors import ValidationError

__all__ = ["Vocabulary", "did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the names near to ``name``, or with all of them where none is near.

    Examples
    --------
    >>> did_you_mean("PRSM", ["PRISM", "G395M"])
    "did you mean 'PRISM'?"
    """
    folded = {item.casefold(): item for item in known}
    near = [folded[item] for item in get_close_matches(name.casefold(), folded, n=3)]
    if near:
        return "did you mean " + " or ".join(map(repr, near)) + "?"
    if not folded:
        return "there are none here"
    shown = ", ".join(list(folded.values())[:20])
    return f"known: {shown}" + (", ..." if len(folded) > 20 else "")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names a catalogue, or a service, knows; queries are checked against it.

    ``jwst_programs`` maps JWST program numbers (as text) to program slugs.
    """

    fields: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    gratings: tuple[str, ...] = ()
    observations: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    jwst_programs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve(self, name: str, values: Iterable[str]) -> tuple[str, ...]:
        """Return the names as the catalogue spells them.

        Parameters
        ----------
        name
            Which keyword: ``fields``, ``programs``, ``gratings``, ``observations`` or ``tags``.
        values
            Names in any case; program numbers as text.

        Raises
        ------
        ValidationError
            For a name that is not known, with the near matches.

        Examples
        --------
        >>> Vocabulary(gratings=("PRISM", "G395M")).resolve("gratings", ["prism"])
        ('PRISM',)
        """
        known: tuple[str, ...] = getattr(self, name)
        spelled: dict[str, list[str]] = {}
        for item in known:
            spelled.setdefault(item.casefold(), []).append(item)
        found: set[str] = set()
        for value in values:
            if name == "programs" and value in self.jwst_programs:
                found.update(self.jwst_programs[value])
            elif value.casefold() in spelled:
                found.update(spelled[value.casefold()])
            else:
                what = name.removesuffix("s")
                raise ValidationError(f"unknown {what} {value!r}", hint=did_you_mean(value, known))
        return tuple(sorted(found))
