"""What it costs to hash a download while it is written, against ``cp`` of the same file.

    python bench/pull_cost.py [--size 2GiB] [--rounds 3] [--folder DIR]

A file of random bytes, in the page cache, goes into the folder in five ways, each ending on the
disk (fsync): ``cp``; written in blocks as a download is, without hashing; the same through the
partial file of a download, hashed; hashed alone; and a whole download from a server on loopback
that only sends (``sendfile``). The median of the rounds, and its overhead over ``cp``.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from kolo.config import Settings
from kolo.models.reference import UrlRef
from kolo.models.sources.partial import Partial
from kolo.models.sources.plan import Plan, RemoteFile
from kolo.models.sources.transfer import Transfer
from kolo.units import parse_size

BLOCK = 1 << 16
"""What a connection brings at a time."""

SERVER = """
import os, socket, sys
with socket.create_server(("127.0.0.1", 0)) as server, open(sys.argv[1], "rb") as file:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.recv(1 << 16)
    size = os.fstat(file.fileno()).st_size
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % size)
    connection.sendfile(file)
    connection.close()
"""
"""Answers one request with the file, in a process of its own. Its start counts too: 0.05 s."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=parse_size, default=parse_size("2GiB"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="Where to write; a temporary one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        source = Path(folder) / "source.gguf"
        sha256 = make(source, int(options.size))
        target = Path(folder) / "target"
        ways: dict[str, Callable[[], None]] = {
            "cp, fsync": lambda: copy(source, target),
            "written, fsync": lambda: write(source, target),
            "hashed": lambda: hash_alone(source),
            "written and hashed": lambda: partial(source, Path(folder) / "partial", sha256),
            "download": lambda: download(source, Path(folder) / "partial", sha256),
        }
        print(f"{int(options.size) / 2**20:.0f} MiB, median of {options.rounds}\n")
        base_s = 0.0
        for name, way in ways.items():
            taken = sorted(timed(way, Path(folder)) for _ in range(options.rounds))
            took_s = statistics.median(taken)
            base_s = base_s or took_s
            rate = int(options.size) / took_s / 2**20
            spread = f"{taken[0]:.2f}-{taken[-1]:.2f}"
            over = f"{100 * (took_s / base_s - 1):+.0f} %"
            print(f"{name:20} {took_s:7.2f} s ({spread})  {rate:7.0f} MiB/s  {over} of cp")


def make(path: Path, n_bytes: int) -> str:
    """Random bytes behind GGUF's magic; their SHA-256. Writing them puts them into the cache."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for at in range(0, n_bytes, 1 << 20):
            block = os.urandom(min(1 << 20, n_bytes - at))
            block = b"GGUF" + block[4:] if at == 0 else block
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


def timed(way: Callable[[], None], folder: Path) -> float:
    os.sync()
    start_s = time.perf_counter()
    way()
    took_s = time.perf_counter() - start_s
    for left in [folder / "target", *(folder / "partial").glob("*")]:
        left.unlink(missing_ok=True)
    return took_s


def copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    fd = os.open(target, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def write(source: Path, target: Path) -> None:
    with source.open("rb", buffering=0) as read, target.open("wb", buffering=0) as written:
        while block := read.read(BLOCK):
            written.write(block)
        os.fsync(written.fileno())


def hash_alone(source: Path) -> None:
    digest = hashlib.sha256()
    with source.open("rb", buffering=0) as read:
        while block := read.read(BLOCK):
            digest.update(block)


def partial(source: Path, folder: Path, sha256: str) -> None:
    part = Partial.open(folder, remote(source, sha256, "http://bench/source.gguf"))
    assert part is not None
    part.take_up(lambda _: None, lambda: False)
    with source.open("rb", buffering=0) as read:
        while block := read.read(BLOCK):
            part.write(block)
    assert part.finish() == sha256
    part.close()


def download(source: Path, folder: Path, sha256: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(source)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{server.stdout.readline().strip()}/source.gguf"
        files = (remote(source, sha256, url),)
        plan = Plan(
            reference=UrlRef(url), name="bench", source="url", revision="", quant="", files=files
        )
        asyncio.run(fetch(plan, folder))


async def fetch(plan: Plan, folder: Path) -> None:
    with await Transfer(Settings()).fetch(plan, folder) as fetched:
        assert fetched.files[0].sha256 == plan.files[0].sha256


def remote(source: Path, sha256: str, url: str) -> RemoteFile:
    size = source.stat().st_size
    return RemoteFile(
        name=source.name, role="model", size_bytes=size, sha256=sha256, validator=None, url=url
    )


if __name__ == "__main__":
    main()
