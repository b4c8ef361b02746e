"""The names a catalogue knows, and what to say of one that it does not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from campfire.arguments import did_you_mean
from campfire.errors import ValidationError

__all__ = ["Vocabulary", "did_you_mean"]


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
