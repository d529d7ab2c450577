"""A target that can be asked: its address, its model, and the words it understands."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from kolo.bench.prompts import Prompter
from kolo.bench.request import CHAT, COMPLETIONS, Answer, Ask, Tally, perform
from kolo.bench.result import Target
from kolo.bench.wire import Endpoint


class Client:
    """Sends the requests of a workload to one target; ``kolo.bench.sessions.Lane``."""

    def __init__(
        self,
        target: Target,
        endpoint: Endpoint,
        prompter: Prompter,
        *,
        body: dict[str, Any],
        silence_s: float,
        pid: int | None = None,
    ) -> None:
        self.target = target
        self.endpoint = endpoint
        self.prompter = prompter
        self.pid = pid
        """Of the server, where it is a process of this machine."""
        self.tally = Tally()
        self.usage = True
        """It takes ``stream_options``."""
        self._body = body
        self._silence_s = silence_s

    def plain(self, text: str, output_tokens: int, *, group: str = "") -> Ask:
        if self.target.api == "chat":
            messages = [{"role": "user", "content": text.strip()}]
            path, body = CHAT, dict[str, Any](messages=messages)
        else:
            path, body = COMPLETIONS, dict[str, Any](prompt=text)
        return Ask(path=path, body=self._sized(body, output_tokens), group=group)

    def chat(self, messages: list[dict[str, str]], output_tokens: int, *, turn: int = 0) -> Ask:
        body = self._sized({"messages": messages}, output_tokens)
        return Ask(path=CHAT, body=body, turn=turn, keep_text=True)

    async def send(
        self,
        ask: Ask,
        *,
        round_began: float,
        late_ms: float = 0.0,
        first: asyncio.Event | None = None,
    ) -> Answer:
        """As ``request.perform``."""
        return await perform(
            self.endpoint,
            ask,
            self._encoded(ask),
            round_began=round_began,
            late_ms=late_ms,
            first=first,
            tally=self.tally,
            silence_s=self._silence_s,
        )

    def _sized(self, body: dict[str, Any], output_tokens: int) -> dict[str, Any]:
        body |= {"max_tokens": output_tokens, "temperature": 0}
        if self.target.fixed_outputs:
            body["ignore_eos"] = True
        return body

    def _encoded(self, ask: Ask) -> bytes:
        body = {**ask.body, "model": self.target.model, "stream": True}
        if self.usage:
            body["stream_options"] = {"include_usage": True}
        return msgspec.json.encode({**body, **self._body})
