"""Cards for notebooks: plain HTML with inline SVG, no scripts, no network, bounded in size.

Every text that comes from a server or a file is escaped and cut; numbers are formatted by us.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.errors import CampfireError
from campfire.models.spectrum_data import SpectrumData
from campfire.schema import in_rest_frame
from campfire.text import printable

if TYPE_CHECKING:
    from campfire.models.collection import SpectrumCollection
    from campfire.models.object import Object
    from campfire.models.photometry import Photometry
    from campfire.models.spectrum import Spectrum
    from campfire.typing import FloatArray

__all__ = ["collection_card", "object_card", "photometry_card", "spectrum_card"]

WIDTH, HEIGHT, PAD = 360, 90, 4
_POINTS = 180  # of a sparkline: more than the pixels of the card would show
_TEXT, _ITEMS, _ROWS = 80, 12, 10
_BOX = (
    "font-family:sans-serif;font-size:13px;line-height:1.5;max-width:560px;"
    "border:1px solid #8888;border-radius:6px;padding:8px 12px"
)
_CHIP = "display:inline-block;border:1px solid #8888;border-radius:9px;padding:0 8px;margin:1px 3px 1px 0"
_CELL = "text-align:left;padding:0 10px 0 0;background:none"


def _text(value: Any) -> str:
    text = printable(str(value))
    return escape(text if len(text) <= _TEXT else text[: _TEXT - 1] + "…", quote=True)


def _number(value: float | None, form: str = ".2f") -> str:
    return "–" if value is None or not np.isfinite(value) else format(value, form)


def _chips(items: Sequence[str]) -> str:
    shown = "".join(f'<span style="{_CHIP}">{_text(item)}</span>' for item in items[:_ITEMS])
    more = f" +{len(items) - _ITEMS}" if len(items) > _ITEMS else ""
    return f"<div>{shown}{more}</div>" if items else ""


def _card(title: Any, kind: str, *parts: str) -> str:
    head = f"<div><b>{_text(title)}</b> <span style='opacity:.6'>{kind}</span></div>"
    return f'<div style="{_BOX}">{head}{"".join(parts)}</div>'


def _facts(**facts: str) -> str:
    pairs = (f"<span style='opacity:.6'>{escape(k.replace('_', ' '))}</span> {v}" for k, v in facts.items())
    return f"<div>{' &nbsp; '.join(pairs)}</div>"


def _line(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_CELL}">{cell}</{tag}>' for cell in cells) + "</tr>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], total: int) -> str:
    """Lay out cells that are escaped already; ``total`` rows, of which some are shown."""
    body = _line("th", head) + "".join(_line("td", row) for row in rows)
    more = f"<div style='opacity:.6'>… {total - _ROWS} more</div>" if total > _ROWS else ""
    return f'<table style="border-collapse:collapse;font-size:inherit;width:auto">{body}</table>{more}'


def _scale(values: FloatArray, low: float, high: float, length: float) -> FloatArray:
    span = (high - low) or 1.0
    return PAD + (np.clip(values, low, high) - low) / span * (length - 2 * PAD)


def _svg(label: str, body: str) -> str:
    return (
        f'<svg role="img" aria-label="{_text(label)}" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'style="max-width:100%" stroke="currentColor" fill="none">{body}</svg>'
    )


def _limits(values: FloatArray) -> tuple[float, float]:
    """Range of the drawing: outliers of a few pixels must not flatten the rest."""
    low, high = np.percentile(values, [1, 99.5]).tolist()
    return min(low, 0.0), high


def _sparkline(spec: SpectrumData) -> str:
    good = ~spec.mask & np.isfinite(spec.wavelength)
    if not good.any():
        return "<div style='opacity:.6'>no good pixels</div>"
    wave, flux = spec.wavelength[good].astype(float), spec.fnu[good].astype(float)
    step = max(1, int(np.ceil(wave.size / _POINTS)))
    starts = np.arange(0, wave.size, step)
    counts = np.diff(np.append(starts, wave.size))
    wave = np.add.reduceat(wave, starts) / counts
    # Of each group the value farthest from the median is kept, so that narrow lines stay visible.
    centre = float(np.median(flux))
    groups = [flux[a : a + step] for a in starts]
    flux = np.array([g[np.argmax(np.abs(g - centre))] for g in groups])
    low, high = _limits(flux)
    x = _scale(wave, float(wave.min()), float(wave.max()), WIDTH)
    y = HEIGHT - _scale(flux, low, high, HEIGHT)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    zero = HEIGHT - float(_scale(np.array([0.0]), low, high, HEIGHT)[0])
    return _svg(
        "flux density against wavelength",
        f'<line x1="0" x2="{WIDTH}" y1="{zero:.1f}" y2="{zero:.1f}" opacity=".3"/>'
        f'<polyline points="{points}" stroke-width="1"/>',
    )


def _sed(phot: Photometry) -> str:
    shown = np.isfinite(phot.flux) & np.isfinite(phot.wavelength) & (phot.wavelength > 0)
    if not shown.any():
        return ""
    wave, flux = np.log(phot.wavelength[shown]), phot.flux[shown]
    error = np.where(np.isfinite(phot.flux_err[shown]), phot.flux_err[shown], 0.0)
    low, high = min(float((flux - error).min()), 0.0), float((flux + error).max())
    x = _scale(wave, float(wave.min()), float(wave.max()), WIDTH)
    y = HEIGHT - _scale(flux, low, high, HEIGHT)
    top, bottom = (HEIGHT - _scale(flux + s * error, low, high, HEIGHT) for s in (1, -1))
    marks = "".join(
        f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{t:.1f}" y2="{u:.1f}"/>'
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="currentColor"/>'
        for a, b, t, u in list(zip(x, y, top, bottom, strict=True))[:100]
    )
    return _svg("flux density of the bands against wavelength", marks)


def spectrum_card(spec: SpectrumData) -> str:
    """Return the card of one spectrum."""
    good = int(np.sum(~spec.mask))
    wave = spec.wavelength[np.isfinite(spec.wavelength)]
    span = f"{wave.min():.2f}–{wave.max():.2f} μm" if wave.size else "–"
    if in_rest_frame(spec.header):
        span += " (rest frame)"
    facts = _facts(grating=_text(spec.grating) or "–", pixels=f"{len(spec)} ({good} good)", range=span)
    more = _facts(redshift=_number(spec.redshift, ".4f")) if spec.redshift is not None else ""
    return _card(spec.spectrum_id, "spectrum", facts, more, _sparkline(spec))


def photometry_card(phot: Photometry) -> str:
    """Return the card of the photometry of one catalogue."""
    bounds = ""
    if phot.photo_z_lo is not None and phot.photo_z_hi is not None:
        bounds = f" ({_number(phot.photo_z_lo)}–{_number(phot.photo_z_hi)})"
    facts = _facts(bands=str(len(phot)), photo_z=_number(phot.photo_z) + bounds)
    rows = (
        (_text(name), f"{_number(f, '.4g')} ± {_number(e, '.2g')}", _number(w, ".3f"))
        for name, f, e, w in list(zip(phot.bands, phot.flux, phot.flux_err, phot.wavelength, strict=True))[
            :_ROWS
        ]
    )
    return _card(
        phot.catalog or "photometry",
        "photometry",
        facts,
        _sed(phot),
        _table(("band", "μJy", "μm"), rows, len(phot)),
    )


def _rows(spectra: SpectrumCollection) -> str:
    shown = list(spectra)[:_ROWS]
    rows = (
        (
            _text(s.spectrum_id),
            _text(s.grating),
            _number(s.signal_to_noise, ".1f"),
            "yes" if s.downloaded else "no",
        )
        for s in shown
    )
    return _table(("spectrum", "grating", "S/N", "on disk"), rows, len(spectra))


def _loaded(spectra: Iterable[Spectrum]) -> SpectrumData | None:
    """Return the best spectrum that costs no network: in memory already, or on disk."""
    ranked = sorted(spectra, key=lambda s: -(s.signal_to_noise or 0.0))
    for spectrum in ranked[:_ROWS]:
        kept = vars(spectrum).get("data")
        if kept is not None:
            return kept  # type: ignore[no-any-return]
        if spectrum.downloaded:
            try:
                return SpectrumData.from_fits(str(spectrum.local_path))
            except CampfireError:
                continue  # a broken file must not keep the card from being shown
    return None


def _redshifts(spectra: SpectrumCollection) -> str:
    """Redshift of the objects: one number for one object, else the range."""
    known = [s.redshift for s in spectra if s.redshift is not None and np.isfinite(s.redshift)]
    if not known:
        return ""
    low, high = _number(min(known), ".4f"), _number(max(known), ".4f")
    return _facts(z=low if low == high else f"{low}–{high}")


def collection_card(spectra: SpectrumCollection) -> str:
    """Return the card of a collection."""
    n = len(spectra)
    best = _loaded(spectra)
    return _card(
        f"{n} spectrum" if n == 1 else f"{n} spectra",
        "collection",
        _redshifts(spectra),
        _chips(spectra.gratings),
        "" if best is None else _sparkline(best),
        _rows(spectra) if n else "",
    )


def object_card(obj: Object) -> str:
    """Return the card of an object."""
    facts = _facts(
        z=_number(obj.redshift, ".4f"),
        quality=str(int(obj.redshift_quality)),
        field=_text(obj.field),
        position=f"{_number(obj.ra, '.5f')} {_number(obj.dec, '+.5f')}",
    )
    best = _loaded(obj.spectra)
    parts = [facts, _chips(obj.gratings), _chips(obj.tags)]
    parts.append("" if best is None else _sparkline(best))
    parts.append(_rows(obj.spectra) if len(obj.spectra) else "<div>no spectra</div>")
    if obj.photometry is not None:
        phot = obj.photometry
        parts += [_facts(photometry=_text(repr(phot))), _sed(phot)]
    return _card(obj.object_id, "object", *parts)
