"""``kolo`` itself: light to start, its table true, its help and its refusals."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys

import pytest

from kolo import __version__
from kolo.cli import COMMANDS, main
from kolo.cli.boundary import EXIT_CODES
from kolo.cli.root import ELSEWHERE

HEAVY = {
    "asyncio", "llama_cpp", "numpy", "msgspec", "textual", "prompt_toolkit", "quart", "hypercorn",
    "rich", "jinja2", "psutil", "kolo.config", "kolo.errors", "kolo.types", "kolo.manager",
}  # fmt: skip


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["help"], ["help", "exit-codes"]])
def test_help_imports_nothing_but_click(argv: list[str]) -> None:
    code = f"import sys; from kolo.cli import main; main({argv!r}); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & HEAVY


def test_importing_kolo_imports_no_click() -> None:
    code = "import sys, kolo, kolo.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert not set(done.stdout.split()) & (HEAVY | {"click"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_of_a_command_what_it_says_of_itself(name: str) -> None:
    entry = COMMANDS[name]
    command = importlib.import_module(entry.module).command
    assert command.name == name
    assert command.short_help == entry.help


def test_help_lists_every_command_in_its_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for name, entry in COMMANDS.items():
        assert f"\n{entry.group}:\n" in out
        assert re.search(rf"^  {name} +{re.escape(entry.help)}$", out, re.M)


def test_no_argument_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Examples:")


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"kolo {__version__}\n"


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["complet"], "error: no such command: 'complet'\n  try: kolo complete, or 'kolo --help'"),
        (["xyzzy"], "error: no such command: 'xyzzy'\n  try: kolo --help\n"),
        (
            ["run"],
            "error: no such command: 'run'\n  try: kolo chat, or 'kolo --help' for all\n",
        ),
        (["run", "m"], "error: no such command: 'run'\n  try: kolo chat -m m\n"),
        (["complete", "--choices"], "error: option '--choices' requires an argument\n  try: kolo"),
        (["serve", "-m", "q w"], "error: no such option: -m; models are named without one\n"),
        (["serve", "-mq"], "error: no such option: -m; models are named without one\n  try: kolo"),
        (["help", "exit-code"], "error: no such topic: 'exit-code'\n  try: kolo help exit-codes"),
        (["complete", "--tmep", "1"], "error: no such option: --tmep\n  try: --temp"),
        (["complete", "a", "b"], "error: got unexpected extra argument (b)\n  try: kolo complete"),
        (["--color", "pink"], "error: invalid value for '--color': 'pink' is not one of"),
    ],
)
def test_a_wrong_command_line_exits_2_and_names_the_nearest(
    argv: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(error)


def test_path_names_every_folder_or_one(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KOLO_HOME", raising=False)
    for name in ("XDG_STATE_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, env[name])
    assert main(["path", "--json"]) == 0
    paths = json.loads(capsys.readouterr().out)
    assert list(paths) == ["config", "data", "state", "cache", "runtime", "prefixes", "monitor"]
    assert paths["monitor"] == f"{env['XDG_RUNTIME_DIR']}/kolo/monitor.sock"
    assert paths["state"] == f"{env['XDG_STATE_HOME']}/kolo"
    assert main(["path", "runtime"]) == 0
    assert capsys.readouterr().out == f"{env['XDG_RUNTIME_DIR']}/kolo\n"
    assert main(["path"]) == 0
    assert f"state    {paths['state']}\n" in capsys.readouterr().out
    assert main(["path", "stat"]) == 2
    assert "'stat' is not one of" in capsys.readouterr().err


def test_a_wrong_setting_hides_no_folder(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KOLO_SERVER_PORT", "many")
    assert main(["path", "--json"]) == 0
    shown = capsys.readouterr()
    assert list(json.loads(shown.out)) == [
        "config",
        "data",
        "state",
        "cache",
        "runtime",
        "prefixes",
    ]
    assert "server.port" in shown.err
    assert main(["path", "monitor"]) == 2
    monkeypatch.delenv("KOLO_SERVER_PORT")
    monkeypatch.setenv("KOLO_MONITOR_SOCKET", "/run/k.sock")
    assert main(["path", "monitor"]) == 0
    assert capsys.readouterr().out == "/run/k.sock\n"


def test_help_environment_names_our_variables_and_every_setting(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["help", "environment"]) == 0
    out = capsys.readouterr().out
    for name in ("KOLO_HOME", "KOLO_CONFIG", "KOLO_DEBUG", "NO_COLOR", "KOLO_ENGINE_CTX"):
        assert f"  {name}" in out


def test_help_exit_codes_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help", "exit-codes"]) == 0
    codes = re.findall(r"^ *(\d+)  ", capsys.readouterr().out, re.M)
    assert [int(code) for code in codes] == list(EXIT_CODES)


def test_a_reader_that_goes_away_is_no_error(env: dict[str, str]) -> None:
    piped = f"{sys.executable} -m kolo help json | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", piped], env=env, capture_output=True, timeout=60, check=False
    )
    assert done.returncode in (0, 141)  # 0 when the pipe took it all before its reader left
    assert done.stderr == b""


def test_what_others_call_a_command_leads_to_one_that_there_is() -> None:
    assert set(ELSEWHERE.values()) <= set(COMMANDS)
    assert not set(ELSEWHERE) & set(COMMANDS)
