"""Every command where things are not as usual: nobody to read what it says, no home, a home that
cannot be written, a terminal of 20 columns. It ends, with an exit code that is documented, and
without a traceback."""

from __future__ import annotations

import ctypes
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cli_server import Server
from ggufs import tiny_llama
from tree import NODES, RUN

from kolo.cli.boundary import EXIT_CODES

pytestmark = pytest.mark.timeout(600)  # several processes each, beside everything else
PATIENCE_S = 120.0
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
COLUMNS = 20
NAMELESS = """
import pwd

def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")

pwd.getpwuid = getpwuid
"""

COMMANDS: dict[str, list[str]] = {
    "chat": ["hi", "-n", "1", "--local"],
    "complete": ["hi", "-n", "1", "--local"],
    "top": ["--demo", "--once"],
    "pull": ["./model.gguf", "--dry-run"],
    "show": ["guide"],
    "unload": ["nothing"],
    "load": ["nothing"],
    "rm": ["nothing", "--yes"],
    "alias": [],
    "rollback": ["nothing"],
    "prune": ["--yes"],
    "bench": ["--formulas"],
    "bench compare": ["last", "last~1"],
    "doctor": ["--no-generate"],
    "help": ["exit-codes"],
    "config set": ["server.port", "9000"],
    "config unset": ["server.port"],
    "embed": ["hi", "-m", "guide", "--local"],
}
"""How a command is run that takes arguments, or would do more than is wanted here. Of others the
required arguments are made up, and they are told to do nothing where they can be."""
FOLDED = ("chat", "complete")
"""They write what a model says as it comes, and the terminal folds it."""
DOCUMENTS = (
    "embed",
    "completion bash",
    "completion fish",
    "completion zsh",
    "config schema",
    "config show",
    "service install",
)
"""They write what is meant for a file: a program, JSON, TOML, a unit."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def arguments(name: str) -> list[str]:
    if name in COMMANDS:
        return COMMANDS[name]
    params = NODES[name].command.params
    needed = [param for param in params if param.param_type_name == "argument" and param.required]
    dry = ["--dry-run"] if any("--dry-run" in param.opts for param in params) else []
    return ["nothing"] * len(needed) + dry


class Ended(NamedTuple):
    code: int
    out: bytes
    err: str


def ended(name: str, env: dict[str, str], cwd: Path, **how: Any) -> Ended:
    """Run it with ``how`` of ``Popen``; the server is stopped when it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kolo", *name.split(), *arguments(name)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
        cwd=cwd,
        **{"stdout": subprocess.PIPE, **how},
    )
    assert process.stderr is not None
    said = bytearray()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            said.extend(line)
            if b"describes every route" in line:
                process.send_signal(signal.SIGTERM)

    listener = threading.Thread(target=listen)
    listener.start()
    try:
        out = process.stdout.read() if process.stdout is not None else b""
        code = process.wait(PATIENCE_S)
    finally:
        process.kill()
        listener.join()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    return Ended(code if code >= 0 else 128 - code, out, said.decode())


def check(done: Ended) -> None:
    """It ended as a program should."""
    assert "Traceback" not in done.err, done.err
    assert "internal error" not in done.err, done.err
    assert "Exception ignored" not in done.err, done.err
    assert done.code in EXIT_CODES, done


@pytest.fixture
def env(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An editor that changes nothing, and no systemd: this machine's services are left alone."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").write_text("#!/bin/sh\necho offline\nexit 1\n")
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    return env | {"PATH": f"{tmp_path / 'bin'}:{env['PATH']}", "EDITOR": "true"}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The current folder, with a model in it."""
    tiny_llama(tmp_path / "model.gguf")
    return tmp_path


@pytest.mark.parametrize("name", RUN)
def test_nobody_reads_what_it_says(name: str, env: dict[str, str], place: Path) -> None:
    homes = [env | {"KOLO_HOME": str(place / f"home{no}")} for no in range(4)]
    asked = ended(name, homes[0], place)
    check(asked)

    closed = ended(name, homes[1], place, stdout=None, preexec_fn=lambda: os.close(1))
    check(closed)
    reader, writer = os.pipe()
    os.close(reader)
    gone = ended(name, homes[2], place, stdout=writer)
    os.close(writer)
    check(gone)
    with open("/dev/full", "wb") as nowhere:
        full = ended(name, homes[3], place, stdout=nowhere)
    check(full)
    if asked.out:  # what cannot be delivered is no success
        assert closed.code == 1, closed
        assert "standard output is closed" in closed.err
        assert gone.code == 141, gone
        assert "error" not in gone.err
        assert full.code == 1, full
        assert "cannot write to standard output: No space left on device" in full.err
    else:
        assert {closed.code, gone.code, full.code} == {asked.code}


@pytest.mark.parametrize("name", RUN)
def test_there_is_no_home(name: str, env: dict[str, str], place: Path) -> None:
    """HOME is not set, and the system does not know the user: many a container is like that."""
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(NAMELESS)
    homeless = without_folders(env) | {"TMPDIR": str(place), "PYTHONPATH": str(place / "site")}
    del homeless["HOME"]
    done = ended(name, homeless, place)
    check(done)
    if "no home folder" in done.err and name != "doctor":
        assert done.code == 2
        assert "try: set KOLO_HOME" in done.err


@pytest.mark.parametrize("name", RUN)
def test_home_cannot_be_written(name: str, env: dict[str, str], place: Path) -> None:
    home = place / "home"
    home.mkdir(mode=0o555)
    elsewhere = without_folders(env) | {"HOME": str(home), "TMPDIR": str(place)}
    check(ended(name, elsewhere, place, preexec_fn=as_others_are))
    assert list(home.iterdir()) == []
    home.chmod(0o755)
    for folder in (".local", ".config", ".cache"):
        (home / folder).write_text("a file in place of a folder")
    check(ended(name, elsewhere, place))


def without_folders(env: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if not key.startswith("XDG_")}


def as_others_are() -> None:
    """Root may write what is not writable (CAP_DAC_OVERRIDE, capabilities(7)); not so here."""
    if os.getuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")


@pytest.mark.parametrize("name", RUN)
def test_a_terminal_of_20_columns(name: str, env: dict[str, str], place: Path) -> None:
    shown = on_terminal(name, env, place)
    if name in FOLDED or name in DOCUMENTS:
        return
    for line in shown.splitlines():
        one_word = re.fullmatch(r"\s*\S+", line)  # a path or a secret, to be copied whole
        assert len(line) <= COLUMNS or one_word, line


def on_terminal(name: str, env: dict[str, str], place: Path) -> str:
    """What it shows on a terminal of 20 columns, which is its stdout alone."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    shown = bytearray()

    def read() -> None:
        while select.select([ours], [], [], PATIENCE_S)[0]:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:
                return
            if not data:
                return
            shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        check(ended(name, env | {"NO_COLOR": "1"}, place, stdout=theirs))
    finally:
        os.close(theirs)
        reader.join()
        os.close(ours)
    return _ESCAPES.sub("", shown.decode()).replace("\r", "\n")


# With a server ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    env = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    with Server(env | {"KOLO_HOME": str(folder), "HOME": str(folder)}) as running:
        yield running


ASKING = {"ps": [], "load": ["guide"], "unload": ["guide"], "complete": ["hi", "-n", "1"]}


@pytest.mark.parametrize("name", ASKING)
def test_a_server_is_asked_from_a_terminal_of_20_columns(
    name: str, env: dict[str, str], place: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, name, ASKING[name])
    shown = on_terminal(name, env | {"KOLO_URL": server.url}, place)
    if name != "complete":
        assert all(len(line) <= COLUMNS for line in shown.splitlines()), shown
