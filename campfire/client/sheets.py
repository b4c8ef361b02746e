"""Sheets: one page an object, gathered from catalogue, files and images, drawn, and put into one PDF."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from campfire.access.user_warnings import tell
from campfire.errors import APIError, CampfireError, NotFoundError
from campfire.flags import RedshiftQuality
from campfire.mirror.downloads import run_download, wanted_rows
from campfire.models import Object, SpectrumData

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from campfire.access.context import Context
    from campfire.access.queries import Queries
    from campfire.client.images import Images
    from campfire.client.plot_payloads import Prepared
    from campfire.mirror.single_files import FileKeeper
    from campfire.plotting.sheet import ImagePanel, Sheet, SpectrumPanel
    from campfire.typing import ProgressCallback

__all__ = ["Sheets"]


class Sheets:
    """Gathers and draws sheets.

    Parameters
    ----------
    context, queries, keeper, prepared, images
        Of the client.
    """

    def __init__(
        self, context: Context, queries: Queries, keeper: FileKeeper, prepared: Prepared, images: Images
    ) -> None:
        self._context = context
        self._queries = queries
        self._keeper = keeper
        self._prepared = prepared
        self._images = images

    def draw(self, name: str, fov: float) -> Figure:
        """Draw the sheet of one object."""
        from campfire.plotting.sheet import draw_sheet

        return draw_sheet(self._sheet(name, fov))

    def write(
        self,
        names: Sequence[str],
        path: Path,
        *,
        fov: float,
        progress: ProgressCallback | None,
    ) -> None:
        """Write a PDF, a page an object, of which one at a time is in memory."""
        from matplotlib.backends.backend_pdf import FigureCanvasPdf, PdfPages
        from matplotlib.figure import Figure

        from campfire.plotting.sheet import SIZE, draw_sheet
        from campfire.publishing import replacing

        with replacing(path) as partial, PdfPages(partial) as pages:
            for done, name in enumerate(names, 1):
                figure = Figure(figsize=SIZE)
                FigureCanvasPdf(figure)
                draw_sheet(self._sheet(name, fov), figure)
                pages.savefig(figure, dpi=150)
                if progress is not None:
                    progress("sheets", done, len(names))

    def fetch(self, names: Sequence[str], progress: ProgressCallback | None) -> None:
        """Download what the sheets of objects show and is not on this disk, many at once."""
        if self._context.catalog() is None:
            return
        wanted = [
            str(row["spectrum_id"])
            for name in names
            for row in _drawn(self._parts(name).spectra)
            if row["local_path"] is None
        ]
        if wanted:
            rows = wanted_rows(self._context, {}, spectrum_ids=wanted)
            with suppress(CampfireError):  # each sheet says which of its spectra could not be had
                run_download(self._context, rows, progress=progress)

    # --- inside ------------------------------------------------------------------------------------------

    def _parts(self, name: str) -> Any:
        parts = self._queries.object_parts(name, remote=False)
        if parts is None:
            raise NotFoundError(f"no object {name!r}", hint="query_objects(search=...) finds it by a part")
        return parts

    def _sheet(self, name: str, fov: float) -> Sheet:
        from campfire.plotting.sheet import MOST_SPECTRA, Sheet

        parts = self._parts(name)
        obj = Object.from_row(*parts)
        rows = _drawn(parts.spectra)
        panels = [panel for row in rows[:MOST_SPECTRA] if (panel := self._panel(row)) is not None]
        phot = obj.photometry
        return Sheet(
            title=obj.object_id,
            facts=_facts(obj, len(panels)),
            redshift=obj.redshift,
            spectra=panels,
            band_wavelength=np.empty(0) if phot is None else phot.wavelength,
            band_flux=np.empty(0) if phot is None else phot.flux,
            band_err=np.empty(0) if phot is None else phot.flux_err,
            image=self._image(obj, fov),
            fit=self._fit(rows),
        )

    def _panel(self, row: dict[str, Any]) -> SpectrumPanel | None:
        from campfire.plotting.sheet import SpectrumPanel

        name = str(row["spectrum_id"])
        try:
            spectrum = SpectrumData(**self._keeper.read(name))
            prepared = self._prepared.spectrum(name)
        except (CampfireError, OSError) as err:
            tell(f"{name} is not on the sheet: {err}")
            return None
        image = np.array(prepared["snr_2d"], dtype=float)
        snr = row.get("signal_to_noise")
        return SpectrumPanel(
            title=name if snr is None else f"{name}   S/N {snr:.1f}",
            grating=str(row["grating"]),
            wavelength=spectrum.wavelength,
            fnu=spectrum.fnu,
            fnu_err=spectrum.fnu_err,
            mask=spectrum.mask,
            image=image if image.ndim == 2 and image.size else None,
            image_wavelength=np.array(prepared["wave"], dtype=float),
        )

    def _image(self, obj: Object, fov: float) -> ImagePanel | None:
        from campfire.plotting.sheet import ImagePanel

        try:
            path = self._images.cutout(obj.object_id, fov)
            found = self._images.shutters(obj.object_id, fov)
        except (APIError, NotFoundError):  # a field without a mosaic, or nobody to ask
            return None
        meta = found["meta"]
        center = (float(meta["center_ra"]), float(meta["center_dec"]))
        return ImagePanel(path, fov, found["shutters"], set(meta["member_target_ids"]), center)

    def _fit(self, rows: Sequence[dict[str, Any]]) -> Any:
        for row in rows:
            with suppress(APIError, NotFoundError):
                return self._prepared.redshift_fit(str(row["spectrum_id"]))
        return None


def _drawn(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the best spectrum of every grating, the prism's first."""
    best: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: -(row.get("signal_to_noise") or 0.0)):
        best.setdefault(str(row["grating"]), row)
    return [best[name] for name in sorted(best, key=lambda name: (name != "PRISM", name))]


def _facts(obj: Object, drawn: int) -> list[tuple[str, str]]:
    quality = RedshiftQuality(obj.redshift_quality).name.lower().replace("_", " ")
    facts = [
        ("redshift", "unknown" if obj.redshift is None else f"{obj.redshift:.4f} ({quality})"),
        ("position", f"{obj.ra:.6f} {obj.dec:+.6f}"),
        ("field", obj.field),
        ("programs", ", ".join(obj.programs)),
        ("tags", ", ".join(obj.tags)),
        ("spectra", f"{len(obj.spectra)} ({', '.join(obj.gratings)})" if obj.spectra else "none"),
    ]
    if drawn < len(obj.spectra):
        facts.append(("", f"drawn: the best of {drawn} gratings"))
    if obj.max_exposure_time is not None:
        facts.append(("exposure", f"up to {obj.max_exposure_time / 3600:.1f} h"))
    if obj.photometry is not None:
        facts.append(("photometry", f"{obj.photometry.n_measured} bands, {obj.photometry.catalog}"))
    if obj.photo_z is not None:
        low, high = obj.photo_z_lo, obj.photo_z_hi
        span = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
        facts.append(("photo-z", f"{obj.photo_z:.2f}{span}"))
    if obj.staleness_reason:
        facts.append(("stale", obj.staleness_reason))
    return facts
