"""Completion: the scripts that are kept, in real shells, and what this machine adds to them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest
from cli_server import Server
from completing_shells import ROOT, bash, fish, script
from ggufs import tiny_llama
from pty_terminal import Terminal
from running import Kolo

from kolo.cli import COMMANDS
from kolo.cli.completing import OFFERS
from kolo.cli.shells.install import place_of, steps_to_install, steps_to_uninstall, take
from kolo.cli.shells.scripts import SHELLS, kept, make
from kolo.cli.shells.tree import read_tree

BY_SHELLS = {"free", "choice", "files", "folders", "hosts", "users", "references"}
CONFIG = """
[store]
folders = ["gguf"]
[models."qwen2.5:7b"]
path = "q.gguf"
aliases = ["q"]
[profiles.work]
"""


@pytest.fixture
def env(env: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """With a ``kolo`` on the PATH, and settings."""
    program = tmp_path / "bin" / "kolo"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m kolo "$@"\n')
    program.chmod(0o755)
    config = Path(env["XDG_CONFIG_HOME"]) / "kolo"
    config.mkdir(parents=True)
    (config / "config.toml").write_text(CONFIG)
    (tmp_path / "some file.gguf").write_text("")
    (tmp_path / "folder").mkdir()
    return {
        **env,
        "PATH": f"{program.parent}:{env['PATH']}",
        "PYTHONPATH": str(ROOT),
        # A shell would wait for half a second, which a busy machine may need to start Python.
        "KOLO_COMPLETION_TIMEOUT": "60",
    }


LINES = [
    ("kolo comp", ["complete", "completion"]),
    ("kolo bench sh", ["show"]),
    ("kolo config ", ["show", "get", "set", "unset", "edit", "init", "validate", "path", "schema"]),
    ("kolo --color al", ["always"]),
    ("kolo chat -m gu", ["guide"]),
    ("kolo config set engine.flash", ["engine.flash_attn"]),
    ("kolo config set engine.flash_attn ", ["auto", "on", "off"]),
    ("kolo config set engine.mmap ", ["true", "false"]),
    ("kolo config unset mod", ["models.qwen2.5:7b", "models.qwen2.5:7b.path",
                               "models.qwen2.5:7b.aliases"]),
    ("kolo --profile ", ["work", "none"]),
    ("kolo --profile work config get server.po", ["server.port"]),
    ("kolo help exit", ["exit-codes"]),
    ("kolo bench --shape qwen2.5-14", ["qwen2.5-14b"]),
    ("kolo path run", ["runtime"]),
    ("kolo config validate fol", ["folder"]),
    ("kolo load qwen", ["qwen2.5:7b"]),
    ("kolo nonsense ", []),
    ("kolo unload ", []),
]  # fmt: skip


# The scripts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", SHELLS)
def test_the_scripts_that_are_kept_are_of_this_command_line(shell: str) -> None:
    assert kept(shell) == make()[shell], "run: ./dev generate"


def test_every_kind_is_known_to_shells_or_to_us() -> None:
    kinds = {option.kind.name for node in read_tree().all() for option in node.options
             if option.kind}  # fmt: skip
    kinds |= {argument.kind.name for node in read_tree().all() for argument in node.arguments}
    assert kinds <= BY_SHELLS | set(OFFERS)
    assert set(OFFERS) <= kinds | {"every-engine"}


@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_is_printed(kolo: Kolo, shell: str) -> None:
    done = kolo("completion", shell)
    assert done.stdout == Path(script(shell)).read_text()
    assert not any(name not in done.stdout for name in COMMANDS)


# bash -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "offers"), LINES)
def test_bash_offers(line: str, offers: list[str], env: dict[str, str], tmp_path: Path) -> None:
    found = bash(line, env, tmp_path)
    cut = line.rpartition(" ")[2].rpartition(":")[0]
    assert found == [each[len(cut) + 1 :] if cut else each for each in offers]


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("kolo chat --model=gu", ["guide"]),
        ("kolo chat --model=qwen2.5:", ["7b"]),
        ("kolo load qwen2.5:7", ["7b"]),
        ("kolo complete --file=fol", ["folder"]),
        ("kolo chat -m ./som", ["./some file.gguf"]),
        ("kolo pull hf", ["hf:"]),
        ("kolo bench -m guide comp", ["compare"]),
        ("kolo bench -m compare sh", ["show"]),
        ("kolo rm -- -", []),
        ("kolo bench show --outp", ["--output"]),
        ("kolo bench show --output ht", ["html"]),
        ('kolo config set "engine.flash_attn" o', ["on", "off"]),
        ("./bin/kolo --profile w", ["work"]),
    ],
)
def test_bash_knows_how_it_breaks_words(
    line: str, offers: list[str], env: dict[str, str], tmp_path: Path
) -> None:
    assert bash(line, env, tmp_path) == offers


def test_bash_lists_the_options_of_a_command(env: dict[str, str], tmp_path: Path) -> None:
    assert bash("kolo config show --", env, tmp_path) == [
        "--origin", "--changed", "--reveal", "--json", "--help",
    ]  # fmt: skip


def test_bash_completes_a_line_that_is_typed(env: dict[str, str], tmp_path: Path) -> None:
    rc = tmp_path / "rc"
    rc.write_text(f"PS1='> '; source {script('bash')}; cd {tmp_path}; echo REA''DY\n")
    with Terminal(["bash", "--noprofile", "--rcfile", str(rc), "-i"], env) as terminal:
        terminal.expect("READY")
        terminal.type("echo kolo; kolo load qw\t")
        terminal.expect("qwen2.5:7b ")
        terminal.type("\x15kolo config set engine.flash_a\t")
        terminal.expect("engine.flash_attn ")
        terminal.type("\x15kolo chat -m ./some\t")
        terminal.expect("./some\\ file.gguf ")
        terminal.type("\x15exit\n")
        terminal.wait()


# zsh and fish -----------------------------------------------------------------------------------


needs_fish = pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
needs_zsh = pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")


@needs_fish
@pytest.mark.parametrize(("line", "offers"), LINES)
def test_fish_offers(line: str, offers: list[str], env: dict[str, str], tmp_path: Path) -> None:
    found = [each.rstrip("/") for each in fish(line, env, tmp_path)]
    assert sorted(set(offers)) == sorted(found)


@needs_fish
def test_fish_describes_what_it_offers(env: dict[str, str], tmp_path: Path) -> None:
    code = 'source $argv[1]; complete -C "kolo ver"; complete -C "kolo config show --ori"'
    done = subprocess.run(
        ["fish", "--no-config", "-c", code, script("fish")],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == (
        "verify\tCheck stored models against their sums\n--origin\tSay of each where it came from\n"
    )


@contextmanager
def zsh(env: dict[str, str], start: str) -> Iterator[Terminal]:
    """An interactive zsh without anybody's settings, after the lines of ``start``."""
    with Terminal(["zsh", "-f", "-i"], env) as terminal:
        terminal.type(f"PS1='> '; unsetopt list_beep; {start}; print REA''DY\n")
        terminal.expect("READY")
        yield terminal
        terminal.type("\x03exit\n")


@needs_zsh
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("kolo completi", "kolo completion "),
        ("kolo config set engine.flash_a", "engine.flash_attn "),
        ("kolo load qwen", "qwen2.5:7b "),
        ("kolo --profile wo", "work "),
        ("kolo bench --shape=qwen2.5-14", "qwen2.5-14b "),
        ("kolo bench show -o ht", "html "),
        ("kolo config set engine.speculation al", "always "),
        ("kolo config --h", "--help "),
        ("kolo config ", "Open the settings file in an editor"),
    ],
)
def test_zsh_completes(line: str, shown: str, env: dict[str, str], tmp_path: Path) -> None:
    start = f"cd {tmp_path}; autoload -Uz compinit; compinit -u -D; source {script('zsh')}"
    with zsh(env, start) as terminal:
        terminal.type(f"{line}\t")
        terminal.expect(shown)


# What this machine knows ------------------------------------------------------------------------


def offers(kolo: Kolo, *args: str, **more: str) -> list[str]:
    done = kolo("__complete", *args, **more)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


def test_what_is_found_before_time_is_up_is_offered(kolo: Kolo, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "index.json")  # nobody ever writes to it
    more = {"KOLO_STORE_DIR": str(tmp_path), "KOLO_COMPLETION_TIMEOUT": "3"}
    assert "guide" in offers(kolo, "models", **more)


def test_the_models_are_those_that_ls_shows_and_their_aliases(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    folder = Path(env["XDG_CONFIG_HOME"]) / "kolo" / "gguf"
    (folder / "own").mkdir(parents=True)
    for name in ("a.b-Q4_0.gguf", "split-00001-of-00002.gguf", "split-00002-of-00002.gguf",
                 "mmproj-x.gguf", ".hidden.gguf", "own/inner.GGUF"):  # fmt: skip
        tiny_llama(folder / name)
    snapshot = tmp_path / "cache/huggingface/hub/models--org--repo/snapshots/c0"
    snapshot.mkdir(parents=True)
    tiny_llama(snapshot / "m-Q8_0.gguf")
    tiny_llama(tmp_path / "one.gguf")
    for args in (("pull", "./one.gguf", "--name", "one/two:x y"), ("alias", "uno", "one/two:x y")):
        assert kolo(*args).returncode == 0
    rows = json.loads(kolo("ls", "--json").stdout)
    names = {row["name"] for row in rows} | {alias for row in rows for alias in row["aliases"]}
    assert {"org/repo:Q8_0", "a.b-Q4_0", "split", "inner", "uno", "q"} <= names
    assert set(offers(kolo, "models")) == names
    assert offers(kolo, "stored") == ["one/two:x y"]
    assert offers(kolo, "aliases") == ["uno"]
    assert len(offers(kolo, "versions", "one/two:x y")) == 1
    assert bash("kolo rm ", env, tmp_path) == ["one/two:x\\ y"]
    store = Path(env["XDG_DATA_HOME"]) / "kolo" / "models"
    (store / "index.json").unlink()
    assert offers(kolo, "stored") == ["one/two:x y"]


@contextmanager
def monitor(env: dict[str, str], says: bytes) -> Iterator[None]:
    """A socket where a server's monitor would be; it says something and then stays silent."""
    place = Path(env["XDG_RUNTIME_DIR"]) / "kolo" / "monitor.sock"
    place.parent.mkdir(mode=0o700)
    done = threading.Event()
    with socket.socket(socket.AF_UNIX) as listening, ExitStack() as held:
        listening.bind(str(place))
        listening.listen()

        def answer() -> None:
            while not done.is_set():
                connection = held.enter_context(listening.accept()[0])
                with suppress(OSError):  # whoever asked may have given up
                    connection.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            done.set()
            with socket.socket(socket.AF_UNIX) as last:
                last.connect(str(place))
            thread.join()


def test_the_engines_are_those_that_the_monitor_tells_of(kolo: Kolo, env: dict[str, str]) -> None:
    engines = [{"id": "busy", "state": "loaded"}, {"id": "idle:one", "state": "unloaded"}]
    said = [{"type": "hello"}, {"type": "event", "text": "snapshot"}]
    said.append({"type": "snapshot", "engines": engines})
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in said)
    with monitor(env, lines):
        assert offers(kolo, "engines") == ["busy"]


def test_a_real_server_is_asked(kolo: Kolo, env: dict[str, str]) -> None:
    with Server(env, "guide") as server:
        assert offers(kolo, "urls") == [server.url]
        assert offers(kolo, "engines") == ["guide"]


@pytest.mark.parametrize("says", [b"", b'{"type":"snapshot"', b"\xff\x00\n" * 99])
def test_a_server_that_does_not_answer_holds_nobody_up(
    kolo: Kolo, env: dict[str, str], says: bytes
) -> None:
    with monitor(env, says):
        assert offers(kolo, "engines", KOLO_COMPLETION_TIMEOUT="") == []
        # Nor does a file that never ends opening.
        os.mkfifo(fifo := Path(env["HOME"]) / "fifo")
        assert offers(kolo, "profiles", KOLO_COMPLETION_TIMEOUT="", KOLO_CONFIG=str(fifo)) == []


def test_what_was_kept_is_offered(kolo: Kolo, env: dict[str, str]) -> None:
    state = Path(env["XDG_STATE_HOME"]) / "kolo"
    for kept_in in ("bench", "chats"):
        (state / kept_in).mkdir(parents=True)
        (state / kept_in / "before.json").write_text("{}")
    assert offers(kolo, "runs") == ["last", "before"]
    assert offers(kolo, "sessions") == ["before"]
    assert kolo("keys", "create", "laptop").returncode == 0
    assert kolo("keys", "create", "old").returncode == 0
    assert kolo("keys", "revoke", "old").returncode == 0
    assert offers(kolo, "api-keys") == ["laptop"]
    assert offers(kolo, "urls") == []


@pytest.mark.parametrize("kind", [*OFFERS, "bogus", ""])
def test_nothing_is_ever_said_of_what_is_wrong(kolo: Kolo, env: dict[str, str], kind: str) -> None:
    (Path(env["XDG_CONFIG_HOME"]) / "kolo" / "config.toml").write_text("models = [[[\n\x00")
    offers(kolo, kind)
    offers(kolo, kind, "x", KOLO_HOME="/dev/null/x", KOLO_CONFIG="/dev/null/y")
    offers(kolo, kind, HOME="relative", XDG_DATA_HOME="relative", KOLO_MONITOR_SOCKET="x" * 200)


def test_names_are_looked_up_without_what_is_heavy(env: dict[str, str]) -> None:
    code = (
        "import sys; from kolo.cli import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    for kind, more in (("models", set()), ("engines", set()), ("keys", {"kolo.config"})):
        done = subprocess.run(
            [sys.executable, "-c", code, "__complete", kind],
            env=env, capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        loaded = set(done.stderr.split())
        heavy = {"click", "rich", "asyncio", "http", "kolo.manager", "kolo.models", "kolo.client",
                 "kolo.config", "tomlkit", "psutil", "numpy", "hypercorn"}  # fmt: skip
        assert not loaded & (heavy - more)


# Installing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shell", "place", "rc"),
    [
        ("bash", "data/bash-completion/completions/kolo", None),
        ("zsh", "data/zsh/site-functions/_kolo", ".zshrc"),
        ("fish", "config/fish/completions/kolo.fish", None),
    ],
)
def test_install_is_done_once_and_undone(
    kolo: Kolo, tmp_path: Path, shell: str, place: str, rc: str | None
) -> None:
    file = tmp_path / place
    start = tmp_path / ".zshrc"
    start.write_text("# mine\nalias x=y")
    dry = kolo("completion", "install", shell, "--dry-run")
    assert f"{file} would be written" in dry.stderr
    assert not file.exists()
    done = kolo("completion", "install", "--json", SHELL=f"/usr/bin/{shell}")
    told = json.loads(done.stdout)
    assert (told["shell"], told["file"]) == (shell, str(file))
    assert file.read_text() == Path(script(shell)).read_text()
    if rc is not None:
        assert start.read_text().startswith("# mine\nalias x=y\n# >>> kolo completion >>>\n")
        assert start.read_text().count("kolo completion >>>") == 1
    again = kolo("completion", "install", shell)
    assert "nothing to do" in again.stderr
    assert json.loads(kolo("completion", "install", shell, "--json").stdout)["changed"] == []
    assert "would be removed" in kolo("completion", "uninstall", shell, "--dry-run").stderr
    assert file.exists()
    assert json.loads(kolo("completion", "uninstall", shell, "--json").stdout)["changed"]
    assert not file.exists()
    assert start.read_text() == "# mine\nalias x=y\n"[: len(start.read_text())]
    assert "nothing to do" in kolo("completion", "uninstall", shell).stderr


def test_bash_without_bash_completion_is_told_of_the_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    monkeypatch.setattr("kolo.cli.shells.install._BASH_COMPLETION", ())
    home = tmp_path / 'a "home"'
    here = {**env, "HOME": str(home), "XDG_DATA_HOME": ""}
    place = place_of("bash", here)
    assert place.rc == home / ".bashrc"
    for step in steps_to_install("bash", place, with_rc=True):
        take(step)
    assert steps_to_install("bash", place, with_rc=True) == []
    shown = subprocess.run(
        ["bash", "--norc", "-c", "source ~/.bashrc; complete -p kolo"],
        env=here, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert shown.stdout == "complete -F _kolo kolo\n"
    for step in steps_to_uninstall(place):
        take(step)
    assert (home / ".bashrc").read_bytes() == b""


def test_a_start_up_file_keeps_its_bytes_its_mode_and_its_link(kolo: Kolo, tmp_path: Path) -> None:
    real = tmp_path / "dotfiles"
    real.write_bytes(b"# caf\xe9\n")
    real.chmod(0o640)
    (tmp_path / ".zshrc").symlink_to(real)
    assert kolo("completion", "install", "zsh").returncode == 0
    assert (tmp_path / ".zshrc").is_symlink()
    assert real.read_bytes().startswith(b"# caf\xe9\n\n# >>> kolo")
    assert real.stat().st_mode & 0o777 == 0o640
    assert kolo("completion", "uninstall", "zsh").returncode == 0
    assert real.read_bytes() == b"# caf\xe9\n"


def test_a_start_up_file_can_be_left_alone(kolo: Kolo, tmp_path: Path) -> None:
    done = kolo("completion", "install", "zsh", "--no-rc")
    assert f"these lines belong into {tmp_path / '.zshrc'}:\nfpath=" in done.stderr
    assert not (tmp_path / ".zshrc").exists()


def test_somebody_elses_script_is_not_removed(kolo: Kolo, tmp_path: Path) -> None:
    file = tmp_path / "config" / "fish" / "completions" / "kolo.fish"
    file.parent.mkdir(parents=True)
    file.write_text("# my own\n")
    assert "nothing to do" in kolo("completion", "uninstall", "fish").stderr
    assert file.read_text() == "# my own\n"


def test_a_shell_that_is_not_known_is_asked_for(kolo: Kolo) -> None:
    done = kolo("completion", "install", SHELL="/bin/tcsh")
    assert done.returncode == 2
    assert "for which shell? SHELL says 'tcsh'\n  try: kolo completion install bash" in done.stderr
    assert kolo("completion").stdout.startswith("Examples:")


@needs_zsh
def test_zsh_completes_after_install_whether_or_not_it_did_before(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    assert kolo("completion", "install", "zsh").returncode == 0
    for before in ("true", "autoload -Uz compinit; compinit -u -D"):
        with zsh(env, f"compinit() {{ unfunction compinit; autoload -Uz +X compinit; "
                 f"compinit -u -D }}; {before}; source {tmp_path}/.zshrc") as terminal:  # fmt: skip
            terminal.type("kolo verif\t")
            terminal.expect("kolo verify ")


@needs_fish
def test_fish_completes_after_install(kolo: Kolo, env: dict[str, str], tmp_path: Path) -> None:
    assert kolo("completion", "install", "fish").returncode == 0
    done = subprocess.run(
        ["fish", "-c", 'complete -C "kolo verif"'],
        env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout == "verify\tCheck stored models against their sums\n"
