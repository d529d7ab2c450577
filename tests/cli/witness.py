"""For tests of what goes wrong: streams watched meanwhile, and what a healthy server is."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from cli_server import PATIENCE_S, Server
from running import workers_of

GUIDE = str(files("kolo.models") / "data" / "guide.gguf")


def two_engines(env: dict[str, str], more: str = "") -> None:
    """Settings with ``other`` beside ``guide``, of the same file. An answer of ``guide`` can be so
    long that it does not end before something happens to it."""
    file = Path(env["XDG_CONFIG_HOME"]) / "kolo" / "config.toml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f"{more}\n[engine]\nctx = 20_000\nthreads = 1\n"
        f'[models.other]\npath = "{GUIDE}"\nctx = 2048\n'
    )


def until(condition: Callable[[], Any]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


class Stream(threading.Thread):
    """Streams one after the other, read as fast as they come, until one does not end as it should
    or the block is left."""

    def __init__(self, server: Server, model: str = "other", secret: str = "", **more: Any) -> None:
        super().__init__(daemon=True)
        body = {"prompt": "one", "max_tokens": -1, "ignore_eos": True, **more}
        body = {"model": model, "stream": True, **body}
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        data = json.dumps(body).encode()
        self._request = Request(f"{server.url}/v1/completions", data, headers)
        self._leaving = False
        self.n_events = 0
        self.last = b""
        self.failure: Exception | None = None

    def __enter__(self) -> Stream:
        self.start()
        self.went_on()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leaving = True
        self.join(PATIENCE_S)
        assert not self.is_alive(), "a stream without an end"

    def run(self) -> None:
        try:
            while not self._leaving and self.last in (b"", b"[DONE]"):
                self._read()
        except Exception as error:  # told to the test
            self.failure = error
            if isinstance(error, HTTPError):
                with error:
                    self.last = error.read()

    def _read(self) -> None:
        with urlopen(self._request, timeout=PATIENCE_S) as response:
            for line in response:
                if line.startswith(b"data: "):
                    self.last = line.removeprefix(b"data: ").strip()
                    self.n_events += 1
                if self._leaving:
                    return

    def went_on(self, n_events: int = 5) -> None:
        """Wait for more of it from now on; it must not have ended."""
        wanted = self.n_events + n_events
        until(lambda: self.n_events >= wanted or not self.is_alive())
        assert self.n_events >= wanted, (self.failure, self.last)

    def ended_with(self) -> str:
        """The code of the error that was its last event, or the answer to one more request."""
        self.join(PATIENCE_S)
        assert not self.is_alive(), "a stream without an end"
        assert self.failure is None or isinstance(self.failure, HTTPError), self.failure
        code: str = json.loads(self.last)["error"]["code"]
        return code


def get(server: Server, path: str) -> Any:
    with urlopen(server.url + path, timeout=PATIENCE_S) as reply:
        return json.loads(reply.read())


def engines(server: Server) -> dict[str, Any]:
    return {one["engine_id"]: one for one in get(server, "/engines")["engines"]}


def ask(server: Server, model: str) -> None:
    body = {"model": model, "prompt": "a", "max_tokens": 2, "ignore_eos": True}
    with server.post("/v1/completions", body) as reply:
        assert json.load(reply)["usage"]["completion_tokens"] == 2


def healthy(server: Server, *models: str) -> None:
    """It says so, ``models`` answer, and it has the workers that it knows of and no others."""
    assert get(server, "/health")["status"] == "ok"
    for model in models or ("guide", "other"):
        ask(server, model)
    known = {one["pid"] for one in engines(server).values() if one["pid"]}
    until(lambda: set(workers_of(server.pid)) == known)
