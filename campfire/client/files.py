"""Synchronising, downloading, opening, verifying."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from campfire.client.base import ClientBase, on_disk
from campfire.client.kept import keep_json, kept_json, server_folder
from campfire.config import plain_text, service_name
from campfire.errors import NotFoundError, ValidationError
from campfire.mirror.checking import Verification, verify_files
from campfire.mirror.downloads import run_download
from campfire.mirror.report import DownloadReport
from campfire.mirror.reproducing import reproduce
from campfire.query import Query, QueryOptions, did_you_mean
from campfire.typing import SpectrumPayload

if TYPE_CHECKING:
    from pathlib import Path

    from campfire.models import SpectrumData
    from campfire.store.catalog import Catalog
    from campfire.typing import (
        Extraction,
        PathInput,
        ProgressCallback,
        RedshiftFit,
        Row,
        SpectrumFields,
        SpectrumOpener,
    )

__all__ = ["FileMethods"]

_MOST_WORKERS = 32
_HEX = re.compile(r"[0-9a-f]{64}")
_EXTRACTIONS = ("optimal", "3px", "4px", "5px")


@dataclass(frozen=True, slots=True)
class _Opener:
    """Opens spectra for the models, and knows their files; see ``Spectrum.downloaded``."""

    client: FileMethods

    def __call__(self, spectrum_id: str) -> SpectrumFields:
        return self.client._fields(spectrum_id)

    def local_path(self, spectrum_id: str) -> Path | None:
        return self.client._keeper.local_path(spectrum_id)


class FileMethods(ClientBase):
    """The methods of :class:`campfire.Campfire` that deal with files."""

    @on_disk("cannot synchronise:")
    def sync(
        self, *, full: bool = False, adopt: bool = False, progress: ProgressCallback | None = None
    ) -> dict[str, Any]:
        """Bring the local catalogue up to date with the service; no FITS files are fetched.

        Only what changed is asked for where that is enough; deletions, renames, and programs granted or
        revoked are found. The catalogue is exchanged as a whole: a failure leaves the former one.

        Parameters
        ----------
        full
            Fetch everything anew.
        adopt
            Take over a catalogue that came from another address, for an archive that has moved; everything is
            fetched anew.
        progress
            Called as ``progress(stage, done, total)``.

        Returns
        -------
        dict
            ``observations``, ``objects``, ``spectra``, ``photometry``, ``tags``: totals in the catalogue now;
            ``stale_count`` and ``stale_files``: downloaded files that changed on the server; ``received`` and
            ``removed``: rows of this run, by table; ``incremental``.

        Raises
        ------
        AuthenticationError
            If the service does not know the account.
        APIError
            If the service fails, or sends less than it says.
        ValidationError
            If the catalogue here is that of another service.
        """
        from campfire.store.export import export_csv
        from campfire.store.sync import synchronise

        catalog = self._context.new_catalog(adopt=adopt)
        before = catalog.revision
        result = synchronise(
            catalog,
            self._context.api(),
            full=full or adopt,
            service=service_name(self.base_url),
            progress=progress,
        )
        if catalog.revision != before or not (self._context.paths.meta / "objects.csv").exists():
            export_csv(catalog, self._context.paths.meta)
        return result

    @on_disk("cannot download:")
    def download(
        self,
        observations: Sequence[str] | str | None = None,
        programs: Sequence[str | int] | str | int | None = None,
        fields: Sequence[str] | str | None = None,
        gratings: Sequence[str] | str | None = None,
        stale_only: bool = False,
        max_workers: int = 4,
        *,
        spectrum_ids: Sequence[str] | str | None = None,
        everything: bool = False,
        lock: PathInput | None = None,
        dry_run: bool = False,
        keep_old: bool = False,
        replace_local: bool = False,
        progress: ProgressCallback | None = None,
    ) -> DownloadReport:
        """Download FITS files of spectra in the local catalogue; filters narrow each other.

        Every file is checked against the catalogue's hash before it gets its name. What is here already is
        not fetched again, and what came of a broken transfer is gone on with.

        Parameters
        ----------
        observations, programs, fields, gratings, spectrum_ids
            Only spectra of these; names in any case.
        stale_only
            Only files here that changed on the server.
        max_workers
            Files fetched at once, up to 32.
        everything
            All spectra, without a filter.
        lock
            Exactly the files of this lock file, and nothing else; see :meth:`Campfire.reproduce`.
        dry_run
            Change nothing; the report's files say what would be done.
        keep_old
            Keep the former version of a file beside the new one, as ``<name>.<hash>.old``.
        replace_local
            Replace also files that this client did not write; they are kept as ``<name>.<hash>.old``.
        progress
            Called as ``progress("download", files done, files in all)``.

        Returns
        -------
        DownloadReport
            Counts, and ``.files``. A ``CampfireWarning`` is given if some failed.

        Raises
        ------
        ValidationError
            Without any filter, for an unknown name, or without a local catalogue.
        NotFoundError
            For an unknown spectrum id.
        DownloadError
            If everything failed (with ``report``), or there is no space; with ``lock``, if some files cannot
            be had as they were locked (with the :class:`LockReport` as ``report``).
        """
        if not isinstance(max_workers, int) or not 1 <= max_workers <= _MOST_WORKERS:
            raise ValidationError(f"max_workers={max_workers!r}", hint=f"1 to {_MOST_WORKERS}")
        named = [observations, programs, fields, gratings, spectrum_ids]
        if lock is not None:
            if any(value is not None for value in named) or stale_only or everything or replace_local:
                raise ValidationError(
                    "lock= says which files are wanted",
                    hint="leave out filters, stale_only and replace_local",
                )
            return reproduce(
                self._context,
                lock,
                workers=max_workers,
                dry_run=dry_run,
                keep_old=keep_old,
                progress=progress,
            )
        filters = QueryOptions(observations=observations, programs=programs, fields=fields, gratings=gratings)
        if not (any(value is not None for value in named) or stale_only or everything):
            raise ValidationError(
                "download() was given no filter",
                hint="e.g. observations=[...], gratings=['PRISM'], or everything=True for all",
            )
        query = Query.of("spectra", **filters)
        catalog = self._context.needed_catalog("download()")
        rows = list(catalog.iter_rows(query.resolved(catalog.vocabulary())))
        if spectrum_ids is not None:
            wanted = set(self._known_ids(catalog, spectrum_ids))
            rows = [row for row in rows if row["spectrum_id"] in wanted]
        if stale_only:
            stale = {row["spectrum_id"] for row in catalog.stale_files()}
            rows = [row for row in rows if row["spectrum_id"] in stale]
        return run_download(
            self._context,
            rows,
            workers=max_workers,
            dry_run=dry_run,
            keep_old=keep_old,
            replace_local=replace_local,
            progress=progress,
        )

    @staticmethod
    def _known_ids(catalog: Catalog, spectrum_ids: Sequence[str] | str) -> list[str]:
        names = [spectrum_ids] if isinstance(spectrum_ids, str) else [str(name) for name in spectrum_ids]
        if not names:
            raise ValidationError("spectrum_ids is an empty list", hint="leave it out, or pass ids")
        unknown = [name for name in dict.fromkeys(names) if catalog.spectrum_row(name) is None]
        if unknown:
            raise NotFoundError(
                f"{len(unknown)} spectra are not in the local catalogue, the first: {unknown[0]!r}",
                hint="check the ids, or call sync() if they are new",
            )
        return names

    # --- opening -----------------------------------------------------------------------------------------

    def open_spectrum(self, spectrum_id: str, *, extraction: Extraction = "optimal") -> SpectrumData:
        """Open a spectrum: from the file on this disk, else fetched, checked and kept for the next time.

        Parameters
        ----------
        spectrum_id
            Its id.
        extraction
            ``"optimal"``, or a boxcar of ``"3px"``, ``"4px"``, ``"5px"``.

        Raises
        ------
        NotFoundError
            If there is no such spectrum.
        DownloadError
            If the file cannot be had, or is not what the archive says.
        ValidationError
            If the file is not a spectrum.
        """
        from campfire.models import SpectrumData

        return SpectrumData(**self._fields(spectrum_id, extraction))

    @on_disk("cannot open")
    def _fields(self, spectrum_id: str, extraction: Extraction = "optimal") -> SpectrumFields:
        from campfire.formats.fits import read_spectrum

        _check_id(spectrum_id)
        if extraction not in _EXTRACTIONS:
            raise ValidationError(
                f"unknown extraction {extraction!r}", hint=did_you_mean(str(extraction), _EXTRACTIONS)
            )
        path, row = self._keeper.path_of(spectrum_id)
        fields = read_spectrum(
            path, extraction=extraction, spectrum_id=spectrum_id, grating=str(row.get("grating") or "")
        )
        redshift = row.get("redshift")
        return {**fields, "redshift": None if redshift is None else float(redshift)}

    def _opener(self) -> SpectrumOpener:
        return _Opener(self)

    @on_disk("cannot open")
    def get_spectrum_data(self, spectrum_id: str) -> SpectrumPayload:
        """Return a spectrum prepared for plotting, from the file on this disk, else from the service.

        Returns
        -------
        dict
            ``wave`` (micron), ``fnu``, ``fnu_err`` (microjansky), ``snr_2d``, ``n_spatial``, ``n_wave``,
            ``profile``, ``profile_fit``, ``profile_pix``; None where a value is not finite.

        Raises
        ------
        NotFoundError
            If there is no such spectrum.
        """
        from campfire.formats.preview import spectrum_payload

        _check_id(spectrum_id)
        path = self._keeper.settled_path(spectrum_id)
        return self._kept_payload(spectrum_id) if path is None else spectrum_payload(path)

    def _kept_payload(self, spectrum_id: str) -> SpectrumPayload:
        """Return what the service prepared, kept by server and hash of the file it was made from."""
        row = self._context.spectrum_row(spectrum_id)
        if row is None:
            raise self._context.unknown_spectrum(spectrum_id)
        digest = str(row.get("file_hash") or "").removeprefix("sha256:")
        folder = server_folder(self._context.paths.root / "previews", self.base_url)
        path = folder / f"{digest}.json" if _HEX.fullmatch(digest) else None
        kept = None if path is None else kept_json(path, SpectrumPayload.__required_keys__)
        if kept is not None:
            return cast(SpectrumPayload, kept)
        payload = self._context.api().spectrum(str(row["fits_path"]))
        if path is not None:
            keep_json(path, payload)
        return payload

    @on_disk("cannot open")
    def get_redshift_fit_data(self, spectrum_id: str) -> RedshiftFit:
        """Return the automated redshift fit of a spectrum, from this disk, else from the service.

        Returns
        -------
        dict
            ``redshift``, ``chi2_min``, ``confidence`` (percent), ``z_grid``, ``chi2_grid``, ``model_wave``
            (micron), ``model_fnu`` (microjansky).

        Raises
        ------
        NotFoundError
            If there is no such spectrum, or no fit of it.
        """
        from campfire.formats.preview import redshift_fit_payload

        _check_id(spectrum_id)
        path = self._keeper.settled_path(spectrum_id)
        fit = None if path is None else _fit_beside(path)
        return (
            self._context.api().redshift_fit(self._fits_path(spectrum_id))
            if fit is None
            else redshift_fit_payload(fit)
        )

    def _fits_path(self, spectrum_id: str) -> str:
        row = self._context.spectrum_row(spectrum_id)
        if row is None:
            raise self._context.unknown_spectrum(spectrum_id)
        return str(row["fits_path"])

    # --- the mirror --------------------------------------------------------------------------------------

    def stale_files(self) -> list[Row]:
        """Return the downloaded files of which the archive has another version, by hash."""
        catalog = self._context.catalog()
        return [] if catalog is None else catalog.stale_files()

    def local_bytes(self) -> int:
        """Return the size of all recorded files together, in bytes."""
        book = self._context.catalog()
        return (
            0 if book is None else int(np.sum([r.size for r in book.local_files().values()], dtype=np.int64))
        )

    @on_disk("cannot check")
    def verify(self, *, repair: bool = False) -> Verification:
        """Check the downloaded files: size and time first, the content where those differ.

        Parameters
        ----------
        repair
            Fetch again what is missing, truncated or changed, and check once more. A changed file is kept
            beside the new one, as ``<name>.<hash>.old``.

        Returns
        -------
        dict
            ``ok`` (count), and lists of paths below ``products/``: ``missing``, ``changed``, ``truncated``,
            and ``untracked`` (spectra that this client did not write).

        Raises
        ------
        DownloadError
            If nothing of what was to be repaired could be fetched.
        """
        book = self._context.known_files()
        verification, states = verify_files(self._context.paths, book)
        broken = [name for name, state in states.items() if state in ("missing", "truncated", "changed")]
        if not (repair and broken and book is not None):
            return verification
        catalog = self._context.needed_catalog("verify(repair=True)")
        rows = {name: catalog.spectrum_row(name) for name in broken}
        for name in (name for name, row in rows.items() if row is None):
            book.forget_file(name)  # the archive no longer has it
        run_download(
            self._context,
            [row for row in rows.values() if row is not None],
            workers=4,
            dry_run=False,
            keep_old=False,
            replace_local=True,
            progress=None,
        )
        return verify_files(self._context.paths, book)[0]


def _check_id(spectrum_id: object) -> None:
    plain_text(spectrum_id, "spectrum id")


def _fit_beside(path: Path) -> Path | None:
    name = path.name.removesuffix("_spec.fits")
    fit = path.with_name(f"{name}_zfit.fits")
    return fit if name != path.name and fit.is_file() else None
