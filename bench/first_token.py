"""From the command to the first token: ``kolo complete --local`` and llama.cpp's own program.

    python bench/first_token.py --llama DIR [--model guide.gguf] [--rounds 15]

Both load the same file and write one answer to a pipe; the clock runs from the start of the
process to its first byte of text. The programs take turns. What importing llama_cpp alone takes
in a fresh interpreter is told beside it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import sides

PROMPT = "How do I load a model?"
LIMIT = 1.3
TRIES = 10
KOLO, LLAMA, IMPORT = "kolo complete --local", "llama-completion", "import llama_cpp"


def main() -> None:
    parser = sides.parser(__doc__)
    parser.set_defaults(rounds=15)
    parser.add_argument(
        "--model", type=Path, default=Path(str(files("kolo.models") / "data" / "guide.gguf"))
    )
    args = parser.parse_args()
    python = [sys.executable]
    commands = {
        LLAMA: [str(sides.binary(args, "llama-completion")), "-m", str(args.model), "-no-cnv",
                "-p", PROMPT, "-n", "16", "-t", str(args.threads), "--no-display-prompt",
                "--temp", "0"],
        KOLO: [*python, "-m", "kolo", "complete", "--local", "-m", str(args.model), "--raw",
               "-n", "16", "--temperature", "0", PROMPT],
        IMPORT: [*python, "-c", "import llama_cpp; print(1)"],
        "import nothing": [*python, "-c", "print(1)"],
    }  # fmt: skip
    times: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        env = {**os.environ, "KOLO_HOME": home}
        for index in range(args.rounds + 1):
            for name, command in commands.items():
                first_ms = patiently(command, env)
                if index:  # the first reads files into the page cache
                    times[name].append(first_ms)
    medians = {name: sides.median(found) for name, found in times.items()}
    report = sides.report(__doc__, f"First token of a command: {args.model.stem}")
    report.table(
        ["command", "median ms", "fastest ms", "slowest ms"],
        [[name, medians[name], min(found), max(found)] for name, found in times.items()],
    )
    report.at_most("kolo over llama.cpp's program", medians[KOLO] / medians[LLAMA], LIMIT)
    import_ms = medians[IMPORT] - medians["import nothing"]
    report.notes.append(
        f"importing llama_cpp takes {import_ms:.0f} ms of it; without that kolo takes "
        f"{(medians[KOLO] - import_ms) / medians[LLAMA]:.2f} of llama.cpp's time"
    )
    report.write(args.name or "first_token")


def patiently(command: list[str], env: dict[str, str]) -> float:
    """llama-completion now and then ends before its text was written; such runs are not counted."""
    for _ in range(TRIES):
        if (first_ms := first_byte_ms(command, env)) is not None:
            return first_ms
    sys.exit(f"{' '.join(command)} wrote nothing")


def first_byte_ms(command: list[str], env: dict[str, str]) -> float | None:
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
    ) as process:
        assert process.stdout is not None
        first = b""
        while not first.strip():
            first = os.read(process.stdout.fileno(), 1)
            if not first:
                return None
        elapsed_ms = (time.perf_counter() - started) * 1000
        process.stdout.read()
    return elapsed_ms


if __name__ == "__main__":
    main()
