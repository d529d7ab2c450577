"""Real ``kolo pull`` processes, killed at random points, and several at once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from hub_server import Hub, hub_server
from origin import File, Origin

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf")).read_bytes()
KILLS = 10
NAME = "guide-tiny-Q8_0"


class Puller:
    """``kolo pull`` of one model into a home of its own."""

    def __init__(self, home: Path, reference: str, **env: str) -> None:
        self.home = home
        self._reference = reference
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._env = {**kept, "KOLO_HOME": str(home), "HF_HOME": str(home / "hf"), **env}

    def start(self, *options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "kolo", "pull", self._reference, *options],
            env=self._env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def has(self) -> int:
        """Bytes of the partial file."""
        return sum(part.stat().st_size for part in self.home.glob("data/models/partial/*.part"))

    def models(self) -> list[bytes]:
        return [path.read_bytes() for path in self.home.glob("data/models/names/*/*/*.gguf")]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server() as made:
        made.put("some/tiny", {f"{NAME}.gguf": GUIDE})
        yield made


@pytest.fixture(params=["hub", "url"])
def served(request: pytest.FixtureRequest, hub: Hub, origin: Origin) -> tuple[str, str, File]:
    """A reference, HF_ENDPOINT, and the file as it is served."""
    if request.param == "hub":
        return "some/tiny", hub.api.url, hub.blob("some/tiny", f"{NAME}.gguf")
    file = origin.put(f"/{NAME}.gguf", GUIDE)
    return f"{origin.url}/{NAME}.gguf", hub.api.url, file


@pytest.mark.timeout(300)
def test_a_pull_killed_ten_times_ends_byte_by_byte(
    tmp_path: Path, served: tuple[str, str, File]
) -> None:
    reference, endpoint, file = served
    puller = Puller(tmp_path, reference, HF_ENDPOINT=endpoint)
    at = sorted(random.sample(range(1, len(GUIDE)), KILLS))
    for position in at:
        file.hold_at = position
        process = puller.start()
        wait_for(lambda position=position: puller.has() >= position, process)
        process.kill()
        process.communicate()
        assert puller.models() == []
        assert puller.has() == position, at
    file.hold_at = None
    process = puller.start("--jsonl")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert puller.models() == [GUIDE], at
    assert puller.has() == 0
    assert '"done_bytes":' in out


def test_two_pulls_at_once_fetch_it_once(tmp_path: Path, hub: Hub) -> None:
    blob = hub.blob("some/tiny", f"{NAME}.gguf")
    blob.hold_at = len(GUIDE) // 2
    puller = Puller(tmp_path, "some/tiny", HF_ENDPOINT=hub.api.url)
    first = puller.start()
    wait_for(lambda: puller.has() >= len(GUIDE) // 2, first)
    blob.hold_at = None
    blob.block_s = 0.001
    others = [puller.start() for _ in range(2)]
    wait_for(lambda: hub.api.seen[-1].method == "HEAD" and len(heads(hub)) == 3, others[0])
    first.kill()  # whoever waited goes on from where it was
    first.communicate()
    for process in others:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert puller.models() == [GUIDE]
    gets = [seen.headers.get("Range") for seen in hub.storage.seen if seen.method == "GET"]
    assert len(gets) == 2
    assert gets[1] == f"bytes={len(GUIDE) // 2}-"


def heads(hub: Hub) -> list[str]:
    return [seen.path for seen in hub.api.seen if seen.method == "HEAD"]


def wait_for(ready: object, process: subprocess.Popen[str]) -> None:
    assert callable(ready)
    for _ in range(6000):
        if ready():
            return
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        time.sleep(0.01)
    raise AssertionError("it never came so far")
