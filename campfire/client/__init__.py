"""The client: ``Campfire`` and the report of its downloads."""

from campfire.client.core import Campfire
from campfire.client.report import DownloadReport, FileEntry

__all__ = ["Campfire", "DownloadReport", "FileEntry"]
