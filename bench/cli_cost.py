"""What the command line costs by itself: CPU time of a process, its children left out.

    python bench/cli_cost.py [--rounds 21] [--model FILE]

``kolo --help`` beside the help of a click program that does nothing, and ``kolo complete`` against
a running server beside the same request made by ``http.client`` in a bare interpreter, which is as
little as Python can do. Both find the compiled modules that a first, uncounted round has left. The
server is found as it is by everybody: by the file that it leaves.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from sides import Report, kolo_server, median, parser, report

GUIDE = Path(str(files("kolo.models") / "data" / "guide.gguf"))
PROMPT = "What is a slot?"
TOKENS = 8

EMPTY = """\
import click

@click.group()
def main():
    \"\"\"Does nothing.\"\"\"

main()
"""

BARE = """\
import http.client, json, sys

connection = http.client.HTTPConnection(sys.argv[1])
headers = {"Content-Type": "application/json"}
connection.request("POST", "/v1/chat/completions", sys.argv[2], headers)
text = ""
for line in connection.getresponse():
    if line.startswith(b"data: {"):
        for choice in json.loads(line[6:])["choices"]:
            text += choice["delta"].get("content") or ""
print(text)
"""


def main() -> None:
    made = parser(__doc__)
    made.set_defaults(rounds=21)
    made.add_argument("--model", type=Path, default=GUIDE)
    args = made.parse_args()
    told = report(__doc__, "What the command line costs")
    with tempfile.TemporaryDirectory(prefix="kolo-bench-") as home:
        args.kolo_env = {"KOLO_HOME": home}
        with kolo_server([args.model], args, slots=1, ctx=1024) as server:
            commands = _commands(Path(home), server.url, server.model)
            env = {**os.environ, "KOLO_HOME": home}
            env.pop("KOLO_URL", None)
            costs = _measure(commands, env, args.rounds)
    _tell(told, costs)
    told.write(args.name or "cli_cost")


def _commands(home: Path, url: str, model: str) -> dict[str, list[str]]:
    kolo = shutil.which("kolo", path=str(Path(sys.executable).parent))
    ours = [sys.executable, kolo] if kolo else [sys.executable, "-m", "kolo"]
    (home / "empty.py").write_text(EMPTY)
    (home / "bare.py").write_text(BARE)
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROMPT}],
        "max_tokens": TOKENS,
        "temperature": 0,
        "stream": True,
    }
    address = url.removeprefix("http://")
    options = ["-m", model, "-n", str(TOKENS), "--temp", "0", "--allow-cut"]
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "empty click program --help": [sys.executable, str(home / "empty.py"), "--help"],
        "kolo --help": [*ours, "--help"],
        "http.client": [sys.executable, str(home / "bare.py"), address, json.dumps(body)],
        "kolo complete": [*ours, "complete", PROMPT, *options],
    }


def _measure(
    commands: dict[str, list[str]], env: dict[str, str], rounds: int
) -> dict[str, list[float]]:
    """CPU milliseconds of each command, one of each in a round."""
    costs: dict[str, list[float]] = {name: [] for name in commands}
    for index in range(rounds + 1):
        for name, command in commands.items():
            cost_ms = _cpu_ms(command, env)
            if index:  # the first has compiled the modules and loaded the model
                costs[name].append(cost_ms)
    return costs


def _cpu_ms(command: list[str], env: dict[str, str]) -> float:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, env=env
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        text = said.read().decode()
    if process.returncode != 0 or (not text.strip() and "pass" not in command):
        sys.exit(f"{command}: exit code {process.returncode}\n{text}")
    return (used.ru_utime + used.ru_stime) * 1000


def _tell(told: Report, costs: dict[str, list[float]]) -> None:
    told.table(
        ["command", "CPU time, median, ms", "least", "most"],
        [[name, median(ms), min(ms), max(ms)] for name, ms in costs.items()],
    )
    help_, empty = median(costs["kolo --help"]), median(costs["empty click program --help"])
    told.at_most("kolo --help, times an empty click program", help_ / empty, 2.0)
    above_ms = median(costs["kolo complete"]) - median(costs["http.client"])
    told.at_most("kolo complete above the bare HTTP call, ms", above_ms, 120.0)
    told.notes.append(f"{len(next(iter(costs.values())))} rounds, interleaved")


if __name__ == "__main__":
    main()
