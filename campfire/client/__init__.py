"""The client: ``Campfire``, the report of its downloads, and lock files."""

from campfire.client.campfire import Campfire
from campfire.client.citing import Citation
from campfire.mirror.lock_report import LockReport
from campfire.mirror.lockfile import Lock
from campfire.mirror.report import DownloadReport, FileEntry

__all__ = ["Campfire", "Citation", "DownloadReport", "FileEntry", "Lock", "LockReport"]
