"""What this package is called where it is installed from, its version, and how to install what is missing."""

from __future__ import annotations

__all__ = ["DISTRIBUTION", "VERSION", "install_line", "missing_extra"]

DISTRIBUTION = "campfire-jwst"
"""Name to install by; the package and the command are ``campfire``."""

VERSION = "0.1.0"


def install_line(extra: str) -> str:
    """Return the command that installs an extra.

    Examples
    --------
    >>> install_line("deploy")
    'pip install "campfire-jwst[deploy]"'
    """
    return f'pip install "{DISTRIBUTION}[{extra}]"'


def missing_extra(needs: str, extra: str) -> ImportError:
    """Return the error to raise where an optional dependency is not installed.

    Examples
    --------
    >>> missing_extra("plots need matplotlib", "deploy")
    ImportError('plots need matplotlib: pip install "campfire-jwst[deploy]"')
    """
    return ImportError(f"{needs}: {install_line(extra)}")
