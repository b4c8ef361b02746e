"""Many clients at once on one server: 100 threads read catalogue pages and files; no request may fail.

    python benchmarks/server_load.py [--clients 100] [--requests 20] [--objects 12]

Prints requests and megabytes a second and the latency of each kind of request; exits with 1 if any failed.
Then 200 wrong sign-ins and 45 of the largest cutouts come at once, and it prints how long the cheapest
request takes meanwhile; exits with 1 if one takes half a second.
Server and clients share the machine's processors, so the figures are lower bounds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

import requests

from campfire.archive.simulate.archive import make_archive

HEADERS = {"Authorization": "Bearer benchmark"}
KINDS = ("objects", "spectra", "sync", "manifest", "file", "range")


class Tally:
    """What happened, by kind of request; shared by all clients."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.bytes = 0
        self.errors: list[str] = []

    def note(self, kind: str, seconds: float, size: int) -> None:
        """Count an answer."""
        with self.lock:
            self.seconds[kind].append(seconds)
            self.bytes += size

    def fail(self, text: str) -> None:
        """Keep what went wrong."""
        with self.lock:
            self.errors.append(text)


def client(
    url: str, links: list[str], number: int, count: int, tally: Tally, start: threading.Barrier
) -> None:
    """One client: ``count`` requests of all kinds in turn, with a session of its own."""
    with requests.Session() as session:
        start.wait()
        for k in range(count):
            kind = KINDS[(number + k) % len(KINDS)]
            link = links[(number * 7 + k) % len(links)]
            headers = {} if kind in ("file", "range") else HEADERS
            if kind == "range":
                headers = {"Range": "bytes=2880-65535"}
            address = {
                "objects": f"{url}/objects?limit=100&sort=max_snr&sort_dir=desc",
                "spectra": f"{url}/spectra/list?gratings=PRISM&dq_flags_exclude=2",
                "sync": f"{url}/sync/objects?limit=1000",
                "manifest": f"{url}/observations/{link.split('/files/')[1].split('/')[0]}/manifest",
            }.get(kind, link)
            begin = time.perf_counter()
            try:
                answer = session.get(address, headers=headers, timeout=120)
            except requests.RequestException as err:
                tally.fail(f"{kind}: {err}")
                continue
            if answer.status_code not in (200, 206):
                tally.fail(f"{kind}: {answer.status_code} {answer.text[:200]}")
            tally.note(kind, time.perf_counter() - begin, len(answer.content))


def run(url: str, clients: int, count: int) -> Tally:
    """Let all clients loose; return what happened."""
    names = requests.get(f"{url}/metadata", headers=HEADERS, timeout=60).json()["observations"]
    links = [
        row["download_url"]
        for name in names
        for row in requests.get(f"{url}/observations/{name}/manifest", headers=HEADERS, timeout=60).json()[
            "spectra"
        ]
    ]
    tally, start = Tally(), threading.Barrier(clients + 1)
    threads = [
        threading.Thread(target=client, args=(url, links, number, count, tally, start))
        for number in range(clients)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - begin
    done = sum(map(len, tally.seconds.values()))
    print(f"{clients} clients, {done} requests in {wall:.1f} s: {done / wall:.0f} requests/s,", end=" ")
    print(f"{tally.bytes / wall / 1e6:.1f} MB/s, {len(tally.errors)} errors")
    for kind in KINDS:
        times = sorted(tally.seconds[kind])
        if times:
            middle, late = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(
                f"  {kind:<9} {len(times):>5} x   median {1e3 * middle:7.1f} ms   99 % {1e3 * late:7.1f} ms"
            )
    return tally


def pressure(url: str, signins: int = 200, cutouts: int = 45) -> bool:
    """Send heavy requests of both kinds at once; tell whether the cheapest one stayed quick meanwhile."""
    names = [
        row["object_id"] for row in requests.get(f"{url}/objects", headers=HEADERS, timeout=60).json()["data"]
    ]
    page = url.removesuffix("/api/v1") + "/cli-auth"
    answers: dict[str, int] = defaultdict(int)
    lock = threading.Lock()

    def heavy(number: int) -> None:
        if number < signins:
            form = {"email": f"somebody-{number}@example.org", "password": "wrong"}
            answer = requests.post(page, data=form, timeout=600)
        else:
            # Every one another picture, so that none is kept already.
            params = {
                "object_id": names[number % len(names)],
                "fov": f"{30 - number / 1000:.3f}",
                "size": "2048",
            }
            answer = requests.get(f"{url}/cutout", params=params, headers=HEADERS, timeout=600)
        with lock:
            answers[f"{'sign-in' if number < signins else 'cutout'} {answer.status_code}"] += 1

    threads = [threading.Thread(target=heavy, args=(number,)) for number in range(signins + cutouts)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    times = []
    with requests.Session() as session:
        while any(thread.is_alive() for thread in threads):
            start = time.perf_counter()
            session.get(f"{url}/version", timeout=60).raise_for_status()
            times.append(time.perf_counter() - start)
            time.sleep(0.02)
    wall = time.perf_counter() - begin
    times.sort()
    print(f"{signins} wrong sign-ins and {cutouts} cutouts of 2048 pixels in {wall:.1f} s:", end=" ")
    print(", ".join(f"{count} x {name}" for name, count in sorted(answers.items())))
    print(
        f"  version   {len(times):>5} x   median {1e3 * times[len(times) // 2]:7.1f} ms"
        f"   99 % {1e3 * times[int(len(times) * 0.99)]:7.1f} ms   longest {1e3 * times[-1]:7.1f} ms"
    )
    return times[-1] < 0.5


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--requests", type=int, default=20, help="a client")
    parser.add_argument("--objects", type=int, default=12, help="in the simulated archive")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "archive"
        make_archive(root, objects=options.objects)
        # A process of its own, as in earnest: the clients' interpreter lock is not the server's.
        command = [sys.executable, "-m", "campfire", "serve", str(root), "--port", "0", "--open"]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as server:
            try:
                assert server.stdout is not None
                url = server.stdout.readline().strip()
                tally = run(url, options.clients, options.requests)
                quick = pressure(url)
            finally:
                server.terminate()
    for text in tally.errors[:10]:
        print(text, file=sys.stderr)
    return 1 if tally.errors or not quick else 0


if __name__ == "__main__":
    sys.exit(main())
