"""The client: ``Campfire``, the report of its downloads, and lock files."""

from campfire.client.core import Campfire
from campfire.client.lockfile import Lock
from campfire.client.lockreport import LockReport
from campfire.client.report import DownloadReport, FileEntry

__all__ = ["Campfire", "DownloadReport", "FileEntry", "Lock", "LockReport"]
