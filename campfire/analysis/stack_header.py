"""What the header of a stack says about how it was made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from campfire.kernels.sampling_error import BOOTSTRAP_DRAWS, Sampling

if TYPE_CHECKING:
    from campfire.typing import FloatArray, IntArray

__all__ = ["StackOptions", "stack_cards"]


class StackOptions(NamedTuple):
    """How spectra are stacked; ``window`` is that of ``normalize``.

    Errors are propagated, or from the spread of the objects: by bootstrap where ``rng`` is a seed or
    generator, or by the jackknife.
    """

    method: str
    window: tuple[float, float] | None = None
    clip: float | None = None
    rng: Any = None
    match: bool = False
    jackknife: bool = False

    def sampling(self, objects: IntArray) -> Sampling | None:
        """Return how the spread of the objects of rows is found, if it is."""
        return Sampling(objects, self.rng) if self.jackknife or self.rng is not None else None


def stack_cards(
    n: int,
    names: Sequence[str],
    options: StackOptions,
    redshift: FloatArray | None,
    calibrated: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the cards of a stack, and its HISTORY.

    Parameters
    ----------
    n
        Number of spectra in it.
    names
        Theirs; none where they have none.
    options
        How they were stacked.
    redshift
        One a spectrum, where the stack is in the rest frame; NaN for one that was there of unknown redshift.
    calibrated
        What the history of the spectra says about calibrations.

    Examples
    --------
    >>> stack_cards(2, ["a", "b"], StackOptions("mean", clip=3.0), np.array([1.0, 1.5]))["HISTORY"][1:]
    ['rejected beyond 3 sigma', 'input: a, redshift 1', 'input: b, redshift 1.5']
    """
    cards: dict[str, Any] = {"NSTACK": n, "STACKMTH": options.method}
    cards["STACKFRM"] = "observed" if redshift is None else "rest"
    history = [f"stack of {n} spectra, {options.method}, resampled once, conserving flux"]
    if redshift is not None:
        known = redshift[np.isfinite(redshift)]
        if len(known) == len(redshift):
            cards["STACKZLO"], cards["STACKZHI"] = float(known.min()), float(known.max())
    if options.match:
        cards["STACKRES"] = "lowest"
        history.append("smoothed to the lowest resolving power among them, wavelength by wavelength")
    if options.window is not None:
        cards["STACKNRM"] = "{:g}-{:g} um".format(*options.window)
        history.append(f"relative to the mean fnu of each at {cards['STACKNRM']}")
    if options.clip is not None:
        cards["STACKCLP"] = float(options.clip)
        history.append(f"rejected beyond {options.clip:g} sigma")
    if options.rng is not None:
        cards["STACKBST"] = BOOTSTRAP_DRAWS
        seed = ""
        if isinstance(options.rng, int | np.integer):
            cards["STACKSED"] = int(options.rng)
            seed = f", seed {cards['STACKSED']}"
        history.append(f"errors: no less than the scatter of {BOOTSTRAP_DRAWS} bootstrap stacks{seed}")
    if options.jackknife:
        cards["STACKJCK"] = True
        history.append("errors: no less than the jackknife's, objects left out one by one")
    shifts = (
        [""] * n
        if redshift is None
        else [f", redshift {z:.7g}" if np.isfinite(z) else ", in the rest frame" for z in redshift]
    )
    history += [f"input: {name}{shift}" for name, shift in zip(names, shifts, strict=False)]
    cards["HISTORY"] = [*history, *dict.fromkeys(calibrated)]
    return cards
