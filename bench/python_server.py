"""Kolo against the server that comes with llama-cpp-python, at eight streams.

    python -m venv /tmp/lcp && /tmp/lcp/bin/pip install 'llama-cpp-python[server]==0.3.36'
    python bench/python_server.py --python /tmp/lcp/bin/python --model mid.gguf [--users 8] \\
        [--tokens 32] [--rounds 5]

The packaged server answers one request at a time. Same file, threads and context.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sides

PACKAGED = "llama-cpp-python"
LIMIT = 4.0


def main() -> None:
    parser = sides.parser(__doc__)
    parser.add_argument("--python", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--users", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=32)
    args = parser.parse_args()
    ctx = args.prompt + args.tokens + 256
    with (
        packaged(args, ctx) as other,
        sides.kolo_server([args.model], args, args.users, ctx) as own,
    ):
        run = sides.bench(
            [other, own], "-c", args.users, "-n", args.users, "-p", args.prompt,
            "--output-tokens", args.tokens, "--rounds", args.rounds, "--warmup", 1,
        )  # fmt: skip
    report = sides.report(__doc__, f"The packaged Python server: {args.model.stem}")
    report.runs["http"] = run
    rows = []
    for name in (PACKAGED, sides.KOLO):
        found = sides.row(run, name)
        rows.append(
            [
                name,
                *(sides.value(found, metric) for metric in ("tok_s", "ttft", "itl")),
                str(found.errors or ""),
            ]
        )
    report.table(["server", "tok/s", "TTFT p50 ms", "ITL p50 ms", "errors"], rows)
    report.at_least(
        f"tok/s over the packaged server's, {args.users} users", rows[1][1] / rows[0][1], LIMIT
    )
    report.write(args.name or "python_server")


@contextmanager
def packaged(args: argparse.Namespace, ctx: int) -> Iterator[sides.Server]:
    port = sides.free_port()
    command = [str(args.python), "-m", "llama_cpp.server", "--model", str(args.model)]
    command += ["--port", str(port), "--n_ctx", str(ctx), "--n_threads", str(args.threads)]
    command += ["--n_threads_batch", str(args.threads), "--model_alias", args.model.stem]
    command += ["--interrupt_requests", "false"]
    url = f"http://127.0.0.1:{port}"
    with sides.running(command, url, "/v1/models", dict(os.environ)) as process:
        yield sides.Server(PACKAGED, url, process.pid, args.model.stem)


if __name__ == "__main__":
    main()
