"""``Campfire``: the one class most users need."""

from __future__ import annotations

from campfire.client.imaging import ImagingMethods
from campfire.client.locking import LockMethods
from campfire.client.queries import QueryMethods

__all__ = ["Campfire"]


class Campfire(QueryMethods, LockMethods, ImagingMethods):
    """Access to the archive: its catalogue, synchronised here or asked remotely, and its files.

    Building one touches neither network nor credentials. It is a context manager, may be used from several
    threads, and can be pickled; secrets stay behind.

    Parameters
    ----------
    base_url
        Address of the service; else ``CAMPFIRE_API_URL``, else the production server. https, but for
        loopback.
    data_dir
        Root of the data directory; else ``CAMPFIRE_ROOT``, else ``~/campfire``. Where it holds a catalogue
        (``meta/campfire.db``), queries are answered from there.
    auto_refresh
        Renew a browser login that is about to expire.
    token
        API key or access token; else ``CAMPFIRE_API_KEY``, else the login of ``campfire login``.
    session
        A ``requests.Session`` to send requests with, for proxies or certificates of one's own.

    Raises
    ------
    ValidationError
        If the address is neither https nor loopback.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Campfire(data_dir=folder) as cf:
    ...     cf.is_local, cf.last_synced
    (False, None)
    """
