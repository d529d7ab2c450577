"""A loopback web server that serves files as downloads need them, and fails as it is told."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BLOCK = 1 << 14


@dataclass
class Fault:
    """What goes wrong with one response."""

    cut_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold_after: int | None = None
    """Bytes of the body after which nothing comes until the server ends."""
    drip_s: float = 0.0
    """Between single bytes."""


@dataclass
class File:
    body: bytes
    etag: str | None = '"v1"'
    last_modified: str | None = None
    content_type: str = "application/octet-stream"
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    length: int | None = None
    """What it says its length is, where that is a lie; -1 says nothing (chunked)."""
    head: bool = True
    """Whether HEAD is served."""
    faults: deque[Fault] = field(default_factory=deque)
    """One for each GET, in order."""
    hold_at: int | None = None
    """Position in the file at which every response stands still."""
    block_s: float = 0.0
    """Pause after each block, for a slow source."""


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]


Route = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    origin: Origin

    def setup(self) -> None:
        super().setup()
        self.origin.open.add(self.connection)

    def finish(self) -> None:
        super().finish()
        self.origin.open.discard(self.connection)

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def _serve(self) -> None:
        path = self.path.split("?")[0]
        self.origin.seen.append(Seen(self.command, self.path, dict(self.headers)))
        route = self.origin.routes.get(path)
        for prefix, other in self.origin.prefixes.items():
            if route is None and path.startswith(prefix):
                route = other
        try:
            if isinstance(route, File):
                self.file(route)
            elif route is not None:
                route(self)
            else:
                self.answer(404, b"nothing here")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def file(self, file: File) -> None:
        if self.command == "HEAD" and not file.head:
            self.answer(405)
            return
        fault = Fault()
        if self.command == "GET" and file.faults:
            fault = file.faults.popleft()
        if fault.status is not None:
            self.answer(fault.status, fault.body, **fault.headers)
            return
        start, total = self._start(file), len(file.body)
        if start is not None and start >= total:
            self.answer(416, Content_Range=f"bytes */{total}")
            return
        self.send_response(200 if start is None else 206)
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        for name, value in (
            ("ETag", file.etag),
            ("Last-Modified", file.last_modified),
            ("Content-Type", file.content_type),
            *file.headers.items(),
            *fault.headers.items(),
        ):
            if value is not None:
                self.send_header(name, value)
        length = total - (start or 0) if file.length is None else file.length
        chunked = length < 0
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command == "GET":
            self._body(file, fault, start or 0, chunked)

    def _start(self, file: File) -> int | None:
        match = re.fullmatch(r"bytes=(\d+)-\d*", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        fresh = condition is None or condition in (file.etag, file.last_modified)
        return int(match[1]) if match and file.ranges and fresh else None

    def _body(self, file: File, fault: Fault, start: int, chunked: bool) -> None:
        size = 1 if fault.drip_s else BLOCK
        end = len(file.body)
        stop = min(end, start + fault.cut_after) if fault.cut_after is not None else end
        hold = end if file.hold_at is None else file.hold_at
        if fault.hold_after is not None:
            hold = start + fault.hold_after
        at = start
        while at < stop:
            if at >= hold:
                self.wfile.flush()
                self.origin.holding.set()
                self._wait()
                return
            piece = file.body[at : min(at + size, stop, max(hold, at + 1))]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            at += len(piece)
            if fault.drip_s or file.block_s:
                time.sleep(fault.drip_s or file.block_s)
        if stop < end:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _wait(self) -> None:
        """Until the server ends or the client goes."""
        self.close_connection = True
        self.connection.settimeout(0.05)
        while not self.origin.ending.is_set():
            try:
                if not self.connection.recv(1):
                    return
            except TimeoutError:
                continue
            except OSError:
                return


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(
            sys.exception(), ConnectionError | ssl.SSLError
        ):  # a client that was killed
            super().handle_error(request, client_address)


class Origin:
    """``routes`` by path, without the query; ``prefixes`` for what begins so."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, File | Route] = {}
        self.prefixes: dict[str, Route] = {}
        self.seen: list[Seen] = []
        self.holding = threading.Event()
        self.ending = threading.Event()
        self.open: set[socket.socket] = set()
        handler = type("OriginHandler", (Handler,), {"origin": self})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._server.daemon_threads = False
        self.host = f"127.0.0.1:{self._server.server_address[1]}"
        self.url = f"{'https' if tls else 'http'}://{self.host}"
        if tls is not None:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def put(self, path: str, body: bytes, **more: Any) -> File:
        """Serve ``body``; the same path twice is a change upstream."""
        file = self.routes[path] = File(body, **more)
        return file

    def gets(self, path: str) -> list[Seen]:
        return [s for s in self.seen if s.method == "GET" and s.path.split("?")[0] == path]

    @contextmanager
    def running(self) -> Iterator[Origin]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="origin")
        thread.start()
        try:
            yield self
        finally:
            self.ending.set()
            self._server.shutdown()
            for connection in list(self.open):  # clients keep some for later
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            self._server.server_close()
            thread.join()
