"""A ``kolo serve`` of its own for a test: started, read line by line, and gone afterwards."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from types import TracebackType
from typing import Any
from urllib.request import Request, urlopen

PATIENCE_S = 60.0


class Server:
    """Runs ``kolo serve`` on a free port unless ``args`` say other; use it as a context manager."""

    def __init__(self, env: dict[str, str], *args: str, cwd: object = None) -> None:
        port = [] if "--port" in args else ["--port", "0"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "kolo", "serve", *port, *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=str(cwd or env["HOME"]),
        )
        self.said = ""
        self.url = ""

    @property
    def pid(self) -> int:
        return self.process.pid

    def __enter__(self) -> Server:
        greeting = self.until("describes every route")
        found = re.search(r"serves at ((?:https?://|unix:)\S+)", greeting)
        assert found, greeting
        self.url = found[1]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()
                raise
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def until(self, text: str) -> str:
        """Wait until it has said ``text``; everything it has said."""
        assert self.process.stderr is not None
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.said:
            ready, _, _ = select.select([self.process.stderr], [], [], deadline - time.monotonic())
            data = os.read(self.process.stderr.fileno(), 1 << 16) if ready else b""
            assert data, f"{text!r} never came; it said: {self.said}"
            self.said += data.decode()
        return self.said

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait for its end; the exit code."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=PATIENCE_S)
        self.said += rest.decode()
        return self.process.returncode

    def post(self, path: str, body: Any) -> Any:
        """The open response to a JSON body; read it or close it."""
        request = Request(self.url + path, json.dumps(body).encode(), method="POST")
        return urlopen(request, timeout=PATIENCE_S)

    def endless(self) -> Any:
        """A stream that goes on for as long as the context has room: minutes; its first line is
        read."""
        body = {
            "model": "guide",
            "prompt": "one",
            "stream": True,
            "max_tokens": -1,
            "ignore_eos": True,
        }
        response = self.post("/v1/completions", body)
        assert response.readline().startswith(b"data:")
        return response
