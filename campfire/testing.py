"""A served archive for tests and notebooks: ``with served(root) as url``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from campfire.installation import missing_extra
from campfire.typing import PathInput

__all__ = ["served"]


@contextmanager
def served(
    root: PathInput,
    *,
    open_access: bool = True,
    fixed: bool = False,
    port: int = 0,
    wrap: Callable[[Any], Any] | None = None,
) -> Iterator[str]:
    """Serve a data root on a real loopback socket, from a thread, while the block runs.

    Parameters
    ----------
    root
        Data root with a catalogue, such as ``campfire simulate`` or ``campfire index`` makes.
    open_access
        Any bearer token reads everything; else :class:`campfire.archive.server.accounts.Accounts` are needed.
    fixed
        Answer correctly where the deployed service does not.
    port
        Where to listen; 0 picks a free one.
    wrap
        Given the ASGI application, returns the one to run: where a test injects faults.

    Yields
    ------
    str
        The API's base URL, ``http://127.0.0.1:PORT/api/v1``.

    Raises
    ------
    NotFoundError
        If there is no catalogue below ``root``.
    ImportError
        If the ``server`` extra is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from campfire.store.catalog import Catalog
    >>> with tempfile.TemporaryDirectory() as root:
    ...     Catalog(f"{root}/meta/campfire.db").close()
    ...     with served(root) as url:
    ...         url.startswith("http://127.0.0.1:")
    True
    """
    try:
        from campfire.archive.server.app import create_app
        from campfire.archive.server.runner import running
    except ImportError as err:
        raise missing_extra("serving needs FastAPI and uvicorn", "server") from err
    app = create_app(Path(root), open_access=open_access, fixed=fixed)
    try:
        with running(wrap(app) if wrap else app, port=port) as url:
            yield url
    finally:
        app.state.archive.close()
