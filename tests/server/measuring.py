"""A client in a process of its own that measures answers: what the monitor says is judged by it.

``python measuring.py URL``, a plan as JSON on stdin, and what was seen as JSON on stdout. It shares
no code with Kolo and reads nothing but the stream: a token is one entry of a chunk's logprobs.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from typing import Any
from urllib.parse import urlsplit


def answer(url: str, body: dict[str, Any]) -> dict[str, Any]:
    """One streamed completion. Times are unix time; ``tokens`` has one for each token."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=120)
    connection.connect()
    data = json.dumps({**body, "stream": True, "logprobs": 1})
    sent = time.time()
    connection.request("POST", "/v1/completions", data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    if response.status != 200:
        raise RuntimeError(response.read().decode())
    tokens: list[float] = []
    while line := response.readline():
        now = time.time()
        if line.startswith(b"data: {"):
            event = json.loads(line[6:])
            if "error" in event:
                raise RuntimeError(event["error"])
            for choice in event["choices"]:
                tokens += [now] * len((choice["logprobs"] or {}).get("tokens", ()))
    connection.close()
    return {"model": body["model"], "sent": sent, "tokens": tokens, "ended": now}


def main() -> None:
    """``plan`` is a list of clients, each a list of requests that it sends one after another."""
    plan = json.load(sys.stdin)
    answers: list[dict[str, Any]] = []

    def run(requests: list[dict[str, Any]]) -> None:
        for body in requests:
            answers.append(answer(sys.argv[1], body))

    threads = [threading.Thread(target=run, args=(requests,)) for requests in plan]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(answers) != sum(map(len, plan)):
        sys.exit("a request failed")
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
