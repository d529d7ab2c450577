"""What holds for every command. Each test goes through the whole tree: a new command is covered
by itself, and one that forgets its manners fails here."""

from __future__ import annotations

import ast
import io
import re
from pathlib import Path

import click
import pytest
from tree import NODES, RUN

import kolo
from kolo.cli import main
from kolo.cli.help import ENVIRONMENT
from kolo.cli.output import Look, fitting
from kolo.cli.root import Command
from kolo.cli.shapes import SHAPES, shapes_of
from kolo.cli.spec import examples_of
from kolo.config import known_keys

CLI = Path(kolo.__file__).parent / "cli"
DOCTOR = CLI.parent / "doctor"
WIDTHS = (20, 40, 80, 200)
NO_NAMES = {"verify", "logs", "config show", "config validate", "audit", "keys revoke"}
"""Of commands that write arrays, those whose members are no names: files, lines, settings."""
NO_JSON = {
    "config schema": "it is JSON in any case",
    "config edit": "it opens an editor",
    **{f"completion {shell}": "it is a script" for shell in ("bash", "zsh", "fish")},
}


@pytest.mark.parametrize("name", sorted({*RUN} - {*NO_JSON}))
def test_every_command_writes_json_and_says_in_which_shape(name: str) -> None:
    assert ["--json"] in NODES[name].flags()
    assert name in SHAPES, "kolo.cli.shapes says what it writes with --json"


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_of_a_command_and_its_option(shape: str) -> None:
    name, *options = shape.split(" -", 1)
    if name == "kolo":
        name = ""
    assert name in NODES
    flags = [flag for flags in NODES[name].flags() for flag in flags]
    for option in options:
        assert f"-{option}".split()[0] in flags


def lists() -> list[str]:
    return [name for name in RUN if name in SHAPES and SHAPES[name].form == "array"]


@pytest.mark.parametrize("name", sorted({*lists()} - NO_NAMES))
def test_a_list_can_be_had_as_names_alone(name: str) -> None:
    assert ["-q", "--quiet"] in NODES[name].flags()


@pytest.mark.parametrize("name", RUN)
def test_a_stream_is_told_as_lines_and_json_is_one_document(name: str) -> None:
    for shape in shapes_of(name):
        lines = SHAPES[shape].form == "lines"
        assert lines == shape.endswith("jsonl")


@pytest.mark.parametrize("name", NODES)
def test_help_begins_with_examples_that_the_command_takes(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node = NODES[name]
    assert main([*node.path, "--help"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("Examples:\n")
    assert f"Usage: kolo {name}".rstrip() in shown.out
    assert shown.err == ""
    examples = examples_of(node.command)
    assert examples
    for line, _ in examples:
        _check_example(f"kolo {name}".rstrip(), line)


def _check_example(command: str, line: str) -> None:
    """The line has the command, and no option that it has not."""
    line = re.sub(r"kolo --\S+ \S+ ", "kolo ", line)  # what every command has
    assert command in line
    ours = line[line.index(command) :].partition(" | ")[0].partition("$(")[0].split()[1:]
    node = NODES[""]
    while ours and f"{node.name} {ours[0]}".strip() in NODES:
        node = NODES[f"{node.name} {ours[0]}".strip()]
        ours = ours[1:]
    known = {flag for flags in node.flags() for flag in flags}
    typed = {word.partition("=")[0] for word in ours if re.match(r"--?[a-z]", word)}
    assert typed <= known, (line, typed - known)


@pytest.mark.parametrize("name", NODES)
def test_help_of_a_command_is_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NODES[name].path, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "-h, --help" in shown
    assert main(["help", *NODES[name].path]) == 0
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize("name", NODES)
def test_every_option_and_command_is_explained(name: str) -> None:
    node = NODES[name]
    assert node.command.help
    for param in node.command.get_params(node.ctx):
        if isinstance(param, click.Option):
            assert param.help, param.opts


@pytest.mark.parametrize("columns", WIDTHS)
@pytest.mark.parametrize("name", NODES)
def test_help_is_no_wider_than_the_terminal(
    name: str, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    assert main([*NODES[name].path, "--help"]) == 0
    for line in capsys.readouterr().out.splitlines():
        one_word = re.fullmatch(r"""\s*\S*("[^"]*"|'[^']*'|\S)\S*( \\)?""", line)
        assert len(line) <= columns or one_word, line


@pytest.mark.parametrize("name", NODES)
def test_help_is_ascii_where_the_terminal_has_nothing_better(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = io.BytesIO()
    narrow = io.TextIOWrapper(sink, encoding="latin-1", write_through=True)
    monkeypatch.setattr("sys.stdout", narrow)
    assert main([*NODES[name].path, "--help"]) == 0
    assert sink.getvalue().isascii()


def test_every_sign_of_ours_has_an_ascii_one() -> None:
    ours = set()
    for file in sorted([*CLI.glob("*.py"), *DOCTOR.glob("*.py")]):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                ours |= {sign for sign in node.value if not sign.isascii()}
    plain = Look(terminal=False, colour=False, unicode=False, redraw=False)
    assert {sign for sign in ours if not fitting(sign, plain).isascii()} == set()


@pytest.mark.parametrize("name", NODES)
def test_a_mistyped_option_names_the_nearest(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if NODES[name].command.context_settings.get("ignore_unknown_options"):
        return  # a value may begin with a dash
    flags = [flag for flags in NODES[name].flags() for flag in flags if len(flag) > 4]
    for flag in flags:
        mistyped = f"{flag[:-2]}{flag[-1]}{flag[-2]}x"
        if mistyped not in flags:
            assert main([*NODES[name].path, mistyped]) == 2
            shown = capsys.readouterr()
            assert shown.out == ""
            what, hint = shown.err.splitlines()
            assert what == f"error: no such option: {mistyped}"
            assert hint.startswith("  try: --")


@pytest.mark.parametrize(
    "name", [n for n, each in NODES.items() if isinstance(each.command, click.Group)]
)
def test_a_mistyped_subcommand_names_the_nearest(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    node = NODES[name]
    assert isinstance(node.command, click.Group)
    for child in node.command.list_commands(node.ctx):
        mistyped = f"{child[:-1]}{child[-1]}x"
        assert main([*node.path, mistyped]) == 2
        what, hint = capsys.readouterr().err.splitlines()
        assert re.match(rf"error: no such (sub)?command: '{mistyped}'$", what)
        assert hint.startswith(
            f"  try: kolo {name} {child}".replace("  ", " ").replace(" try", "  try")
        )


@pytest.mark.parametrize("name", [name for name in NODES if name])
def test_colour_can_be_chosen_after_any_command(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*NODES[name].path, "--color", "never", "--help"]) == 0
    assert main([*NODES[name].path, "--color", "pink"]) == 2
    assert "invalid value for '--color'" in capsys.readouterr().err


def test_every_variable_of_ours_is_in_the_help() -> None:
    ours = set()
    for file in CLI.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                ours |= set(re.findall(r"^KOLO_[A-Z_]*[A-Z]$", node.value))
    settings = {f"KOLO_{key.upper().replace('.', '_')}" for key in known_keys()}
    assert ours - settings <= set(ENVIRONMENT)


@pytest.mark.parametrize("name", [name for name in NODES if name])
def test_every_command_is_made_like_the_others(name: str) -> None:
    assert isinstance(NODES[name].command, Command)
