"""An S3 server of its own process on loopback, which can be stopped and started again with what it holds."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

SECRET = "this-secret-opens-the-bucket"
_SERVER = """
import sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", int(sys.argv[1]), verbose=False)
server.start()
print("ready", flush=True)
for line in sys.stdin:
    (server.stop if line == "stop\\n" else server.start)()
    print("done", flush=True)
"""


class ObjectServer:
    """The server, with one bucket; ``away()`` closes its port, ``back()`` opens it again."""

    bucket = "team-bucket"

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _SERVER, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._answer()
        self.request("PUT", "")

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs beside a URL."""
        return {
            "AWS_ENDPOINT_URL": self.address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "name-of-the-key",
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }

    def url(self, prefix: str) -> str:
        return f"s3://{self.bucket}/{prefix}"

    def _answer(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        self._answer()

    def away(self) -> None:
        self._tell("stop")

    def back(self) -> None:
        self._tell("start")

    def request(self, method: str, key: str, data: bytes | None = None) -> bytes:
        """Ask for one object as anybody could, without this package."""
        request = urllib.request.Request(
            f"{self.address}/{self.bucket}/{key}" if key else f"{self.address}/{self.bucket}",
            method=method,
            data=data,
            headers={
                "Authorization": "AWS4-HMAC-SHA256 Credential=x/20200101/us-east-1/s3/aws4_request",
                "Content-Type": "application/octet-stream",
            },
        )
        for _ in range(50):
            try:
                with urllib.request.urlopen(request) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError:
                raise
            except OSError:
                time.sleep(0.1)
        raise TimeoutError(self.address)

    def keys(self, prefix: str) -> list[str]:
        """Return the objects below a prefix."""
        import xml.etree.ElementTree as ET

        tree = ET.fromstring(self.request("GET", f"?list-type=2&prefix={prefix}/"))
        return [e.text or "" for e in tree.iter() if e.tag.endswith("}Key")]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def build_program(url: str, listing: Path, segment_rows: int = 1024) -> list[Any]:
    """Return the command that builds a cache at a URL from a pickled (sources, gratings)."""
    code = (
        "import pickle, sys; from campfire.collection.cache_maintenance import build; "
        f"from campfire.collection import shared_cache; shared_cache.SHARD_ROWS = {segment_rows}; "
        "sources, gratings = pickle.loads(open(sys.argv[2], 'rb').read()); "
        "print('begin', flush=True); print(build(sys.argv[1], sources, gratings)['added'], flush=True)"
    )
    return [sys.executable, "-W", "ignore", "-c", code, url, str(listing)]
