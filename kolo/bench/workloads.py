"""The workloads that come with Kolo; each says in ``about`` what it does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

from kolo.bench.result import WorkloadInfo
from kolo.bench.sessions import Lane, Send, Session, alone

LONG_FACTOR = 4
"""The long prompt of ``interference`` and ``mixed``, over the usual one."""
STREAM_TOKENS = 256
"""An answer that is to be disturbed has at least so many."""


class Independent:
    """What most workloads share: any number of sessions, each user one at a time."""

    def users(self, concurrency: int) -> int:
        return concurrency

    def count(self, concurrency: int) -> int | None:
        return None


class Fixed(Independent):
    """Every request of the same lengths."""

    def __init__(self, prompt_tokens: int, output_tokens: int) -> None:
        self._prompt, self._output = prompt_tokens, output_tokens
        self.info = WorkloadInfo(
            name=f"fixed {prompt_tokens}/{output_tokens}",
            kind="fixed",
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            about=f"prompts of {prompt_tokens} tokens, answers of {output_tokens}",
        )

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        for number in range(n):
            text = lane.prompter.text(self._prompt, key=(round_index, number))
            yield alone(lane.plain(text, self._output))


class SharedPrefix(Independent):
    """Requests that begin alike, as those behind one system prompt do."""

    def __init__(self, prefix_tokens: int, prompt_tokens: int, output_tokens: int) -> None:
        self._prefix, self._own, self._output = prefix_tokens, prompt_tokens, output_tokens
        self.info = WorkloadInfo(
            name=f"prefix {prefix_tokens}+{prompt_tokens}/{output_tokens}",
            kind="prefix",
            prompt_tokens=prefix_tokens + prompt_tokens,
            output_tokens=output_tokens,
            about=f"all requests of a round begin with the same {prefix_tokens} tokens, which no "
            f"round before had; {prompt_tokens} of their own follow, answers of {output_tokens}",
        )

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        prompter = lane.prompter
        n_words = prompter.lengths.words(self._prefix + self._own)
        n_shared = round(n_words * self._prefix / (self._prefix + self._own))
        prefix = prompter.words(n_shared, key=(round_index, "prefix"))
        for number in range(n):
            own = prompter.words(n_words - n_shared, key=(round_index, number))
            yield alone(lane.plain(prefix + own, self._output))


class Conversation(Independent):
    """Users who talk: each turn sends all that was said before."""

    def __init__(self, turns: int, prompt_tokens: int, output_tokens: int) -> None:
        self._turns, self._prompt, self._output = turns, prompt_tokens, output_tokens
        self.info = WorkloadInfo(
            name=f"chat {turns}x{prompt_tokens}/{output_tokens}",
            kind="chat",
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            about=f"conversations of {turns} turns, each adding {prompt_tokens} tokens of the user "
            f"and an answer of {output_tokens}; the whole conversation is sent every time",
        )

    def count(self, concurrency: int) -> int | None:
        return concurrency

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        for number in range(n):
            yield self._talk(lane, (round_index, number))

    def _talk(self, lane: Lane, key: tuple[int, int]) -> Session:
        async def play(send: Send) -> None:
            messages: list[dict[str, str]] = []
            for turn in range(self._turns):
                words = lane.prompter.words(
                    max(round(self._prompt / lane.prompter.lengths.per_word), 1), key=(*key, turn)
                )
                messages.append({"role": "user", "content": words.strip()})
                answer = await send(lane.chat(list(messages), self._output, turn=turn))
                if answer.sample.error is not None:
                    return
                messages.append({"role": "assistant", "content": answer.text})

        return play


class Interference:
    """A long prompt that arrives while others are being answered."""

    def __init__(self, prompt_tokens: int, output_tokens: int, long_tokens: int) -> None:
        self._prompt, self._long = prompt_tokens, long_tokens
        self._output = max(output_tokens, STREAM_TOKENS)
        self.info = WorkloadInfo(
            name=f"interference {prompt_tokens}/{self._output}+{long_tokens}",
            kind="interference",
            prompt_tokens=prompt_tokens,
            output_tokens=self._output,
            about=f"users stream answers of {self._output} tokens; once all have a token, a prompt "
            f"of {long_tokens} tokens arrives (group long; the others are group stream)",
        )

    def users(self, concurrency: int) -> int:
        return concurrency + 1

    def count(self, concurrency: int) -> int | None:
        return concurrency + 1

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        started = [asyncio.Event() for _ in range(n - 1)]
        for number, event in enumerate(started):
            yield self._stream(lane, (round_index, number), event)
        yield self._disturb(lane, (round_index, "long"), started)

    def _stream(self, lane: Lane, key: object, started: asyncio.Event) -> Session:
        async def play(send: Send) -> None:
            text = lane.prompter.text(self._prompt, key=key)
            await send(lane.plain(text, self._output, group="stream"), first=started)

        return play

    def _disturb(self, lane: Lane, key: object, started: list[asyncio.Event]) -> Session:
        async def play(send: Send) -> None:
            text = lane.prompter.text(self._long, key=key)
            for event in started:
                await event.wait()
            await send(lane.plain(text, 8, group="long"))

        return play


class Mixed(Independent):
    """Requests of several lengths in one queue, as a server gets them."""

    def __init__(self, prompt_tokens: int, output_tokens: int) -> None:
        self._kinds = [
            (0.4, max(prompt_tokens // 4, 1), output_tokens * 2),
            (0.4, prompt_tokens, output_tokens),
            (0.2, prompt_tokens * LONG_FACTOR, max(output_tokens // 2, 1)),
        ]
        parts = ", ".join(f"{share:.0%} {p}/{o}" for share, p, o in self._kinds)
        self.info = WorkloadInfo(
            name=f"mixed {prompt_tokens}/{output_tokens}",
            kind="mixed",
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
            about=f"lengths drawn by the seed, prompt/answer in tokens: {parts}",
        )

    def sessions(self, lane: Lane, round_index: int, n: int) -> Iterator[Session]:
        rng = random.Random(f"mixed/{lane.prompter.seed}/{round_index}")
        weights = [kind[0] for kind in self._kinds]
        for number in range(n):
            _, prompt, output = rng.choices(self._kinds, weights)[0]
            text = lane.prompter.text(prompt, key=(round_index, number))
            yield alone(lane.plain(text, output))
