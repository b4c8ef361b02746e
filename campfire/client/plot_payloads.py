"""What the service prepares for plots: made of the file on this disk, else asked for and kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, cast

from campfire.client.response_cache import keep_json, kept_json, server_folder
from campfire.config import plain_text
from campfire.typing import SpectrumPayload

if TYPE_CHECKING:
    from pathlib import Path

    from campfire.access.context import Context
    from campfire.mirror.single_files import FileKeeper
    from campfire.typing import RedshiftFit, Row

__all__ = ["Prepared"]

_HEX = re.compile(r"[0-9a-f]{64}")


class Prepared:
    """Gives spectra and redshift fits prepared for plots.

    Parameters
    ----------
    context, keeper
        Of the client.
    """

    def __init__(self, context: Context, keeper: FileKeeper) -> None:
        self._context = context
        self._keeper = keeper

    def spectrum(self, spectrum_id: str) -> SpectrumPayload:
        """Return a spectrum; what the service prepared is kept by server and hash of its file."""
        from campfire.formats.plot_payloads import spectrum_payload

        plain_text(spectrum_id, "spectrum id")
        path = self._keeper.settled_path(spectrum_id)
        if path is not None:
            return spectrum_payload(path)
        row = self._row(spectrum_id)
        digest = str(row.get("file_hash") or "").removeprefix("sha256:")
        folder = server_folder(self._context.paths.root / "previews", self._context.base_url)
        place = folder / f"{digest}.json" if _HEX.fullmatch(digest) else None
        kept = None if place is None else kept_json(place, SpectrumPayload.__required_keys__)
        if kept is not None:
            return cast(SpectrumPayload, kept)
        payload = self._context.api().spectrum(str(row["fits_path"]))
        if place is not None:
            keep_json(place, payload)
        return payload

    def redshift_fit(self, spectrum_id: str) -> RedshiftFit:
        """Return the automated redshift fit, from the file beside the spectrum's, else from the service."""
        from campfire.formats.plot_payloads import redshift_fit_payload

        plain_text(spectrum_id, "spectrum id")
        path = self._keeper.settled_path(spectrum_id)
        fit = None if path is None else _fit_beside(path)
        if path is not None and fit is not None:
            self._keeper.identity.settle_fit(fit, path, spectrum_id)
            return redshift_fit_payload(fit)
        return self._context.api().redshift_fit(str(self._row(spectrum_id)["fits_path"]))

    def _row(self, spectrum_id: str) -> Row:
        row = self._context.spectrum_row(spectrum_id)
        if row is None:
            raise self._context.unknown_spectrum(spectrum_id)
        return row


def _fit_beside(path: Path) -> Path | None:
    name = path.name.removesuffix("_spec.fits")
    fit = path.with_name(f"{name}_zfit.fits")
    return fit if name != path.name and fit.is_file() else None
