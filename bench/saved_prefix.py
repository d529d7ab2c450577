"""The first token of a long prompt after its model was unloaded and loaded again, with the cached
prefixes that were saved and without.

    python bench/saved_prefix.py --model mid.gguf [--tokens 4000] [--rounds 5]

Two servers that differ in ``cache.save`` alone take turns. In each round a prompt that nobody has
seen is answered, the model is unloaded and loaded, and the same prompt is asked again: the time to
its first token is the engine's. Then the model is unloaded once more and the prompt is what loads
it: that time includes the load. Answers are greedy; of random weights many tokens are nearly as
likely as the likeliest, so that how a prompt is cut into chunks may decide, with a cache and
without.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import urllib.request
from collections import defaultdict
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sides

LIMIT = 0.1
WITH, WITHOUT = "saved", "not saved"
COLD, AGAIN, LOADING = "never seen", "after a reload", "the load included"


@dataclass(frozen=True)
class Asked:
    ttft_ms: float
    text: str
    cached_tokens: int


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=4000, help="of the prompt")
    args = parser.parse_args()
    times: dict[tuple[str, str], list[float]] = defaultdict(list)
    unloads: dict[str, list[float]] = defaultdict(list)
    others: dict[str, int] = defaultdict(int)
    notes: list[str] = []
    ctx = -(-(args.tokens + 64) // 256) * 256
    saving, forgetting = _with_cache(args, "true"), _with_cache(args, "false")
    with (
        sides.kolo_server([args.model], saving, 2, ctx) as one,
        sides.kolo_server([args.model], forgetting, 2, ctx) as other,
    ):
        for index in range(args.rounds):
            prompt = random.Random(index).choices(range(300, 1000), k=args.tokens)
            for name, server in ((WITH, one), (WITHOUT, other)):
                first = ask(server, prompt)
                unloads[name].append(unload(server))
                post(server, "/models/load", {"model": server.model, "wait": True})
                second = ask(server, prompt)
                unload(server)
                third = ask(server, prompt)
                for kind, found in ((COLD, first), (AGAIN, second), (LOADING, third)):
                    times[name, kind].append(found.ttft_ms)
                    others[name] += found.text != first.text
                reused = min(second.cached_tokens, third.cached_tokens)
                if name == WITH and reused < args.tokens - 1:
                    notes.append(f"round {index + 1}: only {reused} tokens were taken back")
    report = sides.report(__doc__, f"Prefixes that survive a swap: {args.model.stem}")
    report.table(
        [f"TTFT of {args.tokens} tokens, ms", WITHOUT, WITH, "ratio"],
        [
            [kind, *(medians := [sides.median(times[name, kind]) for name in (WITHOUT, WITH)]),
             f"{medians[1] / medians[0]:.4f}"]
            for kind in (COLD, AGAIN, LOADING)
        ],
    )  # fmt: skip
    report.table(
        ["unloading, ms", WITHOUT, WITH],
        [["", *(sides.median(unloads[name]) for name in (WITHOUT, WITH))]],
    )
    for kind in (AGAIN, LOADING):
        ratio = sides.median(times[WITH, kind]) / sides.median(times[WITHOUT, kind])
        report.at_most(f"saved over not saved, {kind}", ratio, LIMIT)
    again = 2 * args.rounds
    told = ", ".join(f"{others[name]} of {again} {name}" for name in (WITHOUT, WITH))
    report.notes += [*notes, f"answers that were not the first one's: {told}"]
    report.write(args.name or "saved_prefix")


def _with_cache(args: argparse.Namespace, save: str) -> argparse.Namespace:
    given = copy(args)
    given.kolo_env = {"KOLO_CACHE_SAVE": save}
    return given


def ask(server: sides.Server, prompt: list[int]) -> Asked:
    """The prompt's greedy answer, and how long its first token took."""
    body = {
        "model": server.model,
        "prompt": prompt,
        "max_tokens": 8,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
        "ignore_eos": True,
    }
    ttft_ms, text, cached_tokens = 0.0, "", 0
    started = time.perf_counter()
    with _open(server, "/v1/completions", body) as reply:
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            ttft_ms = ttft_ms or (time.perf_counter() - started) * 1000
            chunk = json.loads(line.removeprefix(b"data: "))
            if "error" in chunk:
                sys.exit(f"{server.name}: {chunk['error']}")
            text += "".join(choice["text"] for choice in chunk["choices"])
            if usage := chunk.get("usage"):
                cached_tokens = usage["prompt_tokens_details"]["cached_tokens"]
    return Asked(ttft_ms, text, cached_tokens)


def unload(server: sides.Server) -> float:
    """How long it took, in milliseconds."""
    started = time.perf_counter()
    post(server, "/models/unload", {"model": server.model})
    return (time.perf_counter() - started) * 1000


def post(server: sides.Server, path: str, body: Any) -> Any:
    with _open(server, path, body) as reply:
        return json.load(reply)


def _open(server: sides.Server, path: str, body: Any) -> Any:
    headers = {"Content-Type": "application/json"}
    data = json.dumps(body).encode()
    return urllib.request.urlopen(
        urllib.request.Request(server.url + path, data, headers), timeout=600
    )


if __name__ == "__main__":
    main()
