"""A loop whose time stands still while anything is to be done, and a scripted OpenAI server.

With both in one process, a delay of the server is exactly what a client measures: the loop's clock
jumps to the next timer only when no socket has anything to read.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


class _Jumping(selectors.DefaultSelector):
    """Waits for nothing: where there is nothing to read, time passes instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            return super().select(5)  # only a thread could wake us
        self.now += max(timeout, 0)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run ``main`` in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


@dataclass
class Step:
    """One write: after ``wait_s``, these pieces of text together (or raw bytes)."""

    wait_s: float
    texts: list[str] = field(default_factory=list)
    raw: bytes = b""


@dataclass
class Script:
    """How an answer goes. ``cut`` closes the connection in place of the end."""

    steps: list[Step]
    status: int = 200
    body: Any = None
    usage: dict[str, Any] | None = None
    timings: dict[str, Any] | None = None
    finish: str | None = "length"
    cut: bool = False


def steady(n: int, *, first_s: float = 0.5, gap_s: float = 0.1, prompt: int = 8) -> Script:
    """``n`` tokens, the first after ``first_s``, the others ``gap_s`` apart."""
    steps = [Step(first_s if k == 0 else gap_s, [f"t{k} "]) for k in range(n)]
    return Script(steps, usage={"prompt_tokens": prompt, "completion_tokens": n})


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The address of a server; when the block is left, all its connections have ended."""
    tasks: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client has gone
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    if tasks:  # clients have closed their connections: every answer ends by itself
        await asyncio.wait(tasks, timeout=3600)


class FakeOpenAI:
    """Answers by ``script``, a function of the request's body. Keeps what it was asked."""

    def __init__(self, script: Callable[[dict[str, Any]], Script]) -> None:
        self.script = script
        self.models = ["m"]
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str] = []
        self.active = 0
        self.most_active = 0
        self.connections = 0
        self.url = ""
        self._held = AsyncExitStack()

    async def __aenter__(self) -> FakeOpenAI:
        self.url = await self._held.enter_async_context(serving(self._serve))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await self._one(reader, writer):
            pass

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.headers.append(head)
        length = 0
        for line in head.split("\r\n"):
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        raw = await reader.readexactly(length) if length else b""
        path = head.split(" ")[1]
        if path == "/v1/models":
            return self._json(writer, 200, {"data": [{"id": name} for name in self.models]})
        if path not in ("/v1/completions", "/v1/chat/completions"):
            return self._json(writer, 404, {"error": {"message": "no such route"}})
        body = json.loads(raw)
        self.bodies.append({**body, "_path": path})
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        try:
            return await self._answer(
                self.script(body), writer, chat=path.endswith("chat/completions")
            )
        finally:
            self.active -= 1

    @staticmethod
    def _json(writer: asyncio.StreamWriter, status: int, value: Any) -> bool:
        data = json.dumps(value).encode()
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
            % (status, len(data))
            + data
        )
        return True

    async def _answer(self, script: Script, writer: asyncio.StreamWriter, *, chat: bool) -> bool:
        if script.status != 200:
            return self._json(writer, script.status, script.body)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for step in script.steps:
            await asyncio.sleep(step.wait_s)
            data = step.raw or b"".join(_event(_piece(text, chat)) for text in step.texts)
            writer.write(_chunk(data))
        if script.cut:
            writer.transport.abort()
            return False
        last: dict[str, Any] = {"choices": [_piece("", chat, script.finish)["choices"][0]]}
        tail = _event(last) if script.finish else b""
        more = {"usage": script.usage, "timings": script.timings}
        told = {key: value for key, value in more.items() if value is not None}
        if told:
            tail += _event({"choices": [], **told})
        writer.write(_chunk(tail + b"data: [DONE]\n\n") + b"0\r\n\r\n")
        return True


def _piece(text: str, chat: bool, finish: str | None = None) -> dict[str, Any]:
    if chat:
        delta = {"content": text} if text else {}
        return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}


def _event(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""
