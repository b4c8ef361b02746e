"""What a paper says of the data and the packages behind a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from campfire.installation import VERSION

__all__ = ["Citation", "cite"]

_PACKAGES = {
    "xarray": """@article{xarray,
  author = {Hoyer, Stephan and Hamman, Joseph},
  title = {xarray: {N-D} labeled arrays and datasets in {Python}},
  journal = {Journal of Open Research Software},
  volume = {5}, number = {1}, year = {2017},
  doi = {10.5334/jors.148}
}""",
    "numpy": """@article{numpy,
  author = {Harris, Charles R. and others},
  title = {Array programming with {NumPy}},
  journal = {Nature},
  volume = {585}, pages = {357--362}, year = {2020},
  doi = {10.1038/s41586-020-2649-2}
}""",
    "astropy": """@article{astropy,
  author = {{Astropy Collaboration} and others},
  title = {The {Astropy} Project: Sustaining and Growing a Community-oriented Open-source Project},
  journal = {The Astrophysical Journal},
  volume = {935}, pages = {167}, year = {2022},
  doi = {10.3847/1538-4357/ac7c74}
}""",
    "scipy": """@article{scipy,
  author = {Virtanen, Pauli and others},
  title = {{SciPy} 1.0: fundamental algorithms for scientific computing in {Python}},
  journal = {Nature Methods},
  volume = {17}, pages = {261--272}, year = {2020},
  doi = {10.1038/s41592-019-0686-2}
}""",
}
_NIRSPEC = """@article{nirspec,
  author = {Jakobsen, P. and others},
  title = {The Near-Infrared Spectrograph ({NIRSpec}) on the {James Webb Space Telescope}. {I}},
  journal = {Astronomy \\& Astrophysics},
  volume = {661}, pages = {A80}, year = {2022},
  doi = {10.1051/0004-6361/202142663}
}"""
_CAMPFIRE = f"""@software{{campfire,
  author = {{{{The campfire developers}}}},
  title = {{campfire: typed, xarray-centric access to JWST/NIRSpec spectra}},
  version = {{{VERSION}}}
}}"""


@dataclass(frozen=True, slots=True)
class Citation:
    """What to say, and what to cite; printing it shows both.

    Parameters
    ----------
    acknowledgement
        Text for a paper.
    bibtex
        Entries for its bibliography.
    programs
        Rows: ``slug``, ``program_name``, ``pi_name``, ``jwst_program``.
    reductions
        Versions of the reductions of the spectra.
    n_spectra
        How many spectra it is about.
    """

    acknowledgement: str
    bibtex: str
    programs: tuple[Mapping[str, Any], ...]
    reductions: tuple[str, ...]
    n_spectra: int

    def __str__(self) -> str:
        return f"{self.acknowledgement}\n\n{self.bibtex}\n"


def cite(rows: Iterable[Mapping[str, Any]], programs: Iterable[Mapping[str, Any]]) -> Citation:
    """Return the citation of rows of spectra.

    Parameters
    ----------
    rows
        With ``program_slug`` and ``reduction_version``.
    programs
        All programs that the catalogue knows.
    """
    spectra = list(rows)
    slugs = {str(row["program_slug"]) for row in spectra}
    used = tuple(row for row in programs if str(row["slug"]) in slugs)
    known = {str(row["slug"]) for row in used}
    used += tuple({"slug": slug} for slug in sorted(slugs - known))
    versions = tuple(sorted({str(name) for row in spectra if (name := row.get("reduction_version"))}))
    taken = "1 spectrum was" if len(spectra) == 1 else f"{len(spectra):,} spectra were"
    reduced = f", reduced with version {_listed(versions)} of its pipeline" if versions else ""
    text = (
        "This work is based on observations made with the NASA/ESA/CSA James Webb Space Telescope "
        f"(NIRSpec; Jakobsen et al. 2022), associated with {_listed([_named(row) for row in used])}. "
        f"The {taken} taken from the CAMPFIRE archive{reduced}, with campfire {VERSION}, "
        "which uses astropy (Astropy Collaboration et al. 2022), numpy (Harris et al. 2020), "
        "scipy (Virtanen et al. 2020) and xarray (Hoyer & Hamman 2017)."
    )
    bibtex = "\n\n".join([_CAMPFIRE, _NIRSPEC, *_PACKAGES.values()])
    return Citation(text, bibtex, used, versions, len(spectra))


def _named(program: Mapping[str, Any]) -> str:
    number = str(program.get("jwst_program") or "").replace(";", ", ")  # as the catalogue joins several
    name = program.get("program_name") or program["slug"]
    of = f", PI {program['pi_name']}" if program.get("pi_name") else ""
    return f"JWST program {number} ({name}{of})" if number else f"the program {name}{of}"


def _listed(names: Iterable[str]) -> str:
    *rest, last = list(names) or ["no program"]
    return f"{', '.join(rest)} and {last}" if rest else last
