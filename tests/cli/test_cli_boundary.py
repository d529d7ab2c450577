"""What a person reads of an error, and the exit code."""

from __future__ import annotations

import importlib

import click
import pytest

from kolo import errors
from kolo.cli.boundary import EXIT_CODES, Stopped, explain, render, report
from kolo.errors import BadParameter, EngineCrashed, KoloError, ModelNotFound


def _tree(root: type[KoloError]) -> list[type[KoloError]]:
    return [root, *(found for child in root.__subclasses__() for found in _tree(child))]


def test_every_error_has_a_documented_exit_code() -> None:
    assert {cls.exit_code for cls in _tree(errors.KoloError)} <= set(EXIT_CODES)


def test_three_lines() -> None:
    error = ModelNotFound("no model 'gide'\nlooked in 2 places", hint="kolo chat -m guide")
    assert render(explain(error)) == (
        "error: no model 'gide'\n  looked in 2 places\n  try: kolo chat -m guide"
    )
    assert explain(error).exit_code == 4


def test_the_field_is_named_when_the_message_does_not() -> None:
    assert render(explain(BadParameter("must be below 1", param="top_p"))) == (
        "error: must be below 1\n  in: --top-p"
    )
    assert explain(BadParameter("top_p must be below 1", param="top_p")).details == []


@pytest.mark.parametrize(
    ("module", "field", "shown"),
    [
        ("load", "model", "MODEL"),
        ("load", "ctx", "--ctx"),
        ("serve", "model", "MODEL"),
        ("complete", "model", "--model"),
        ("complete", "temperature", "--temp"),
        ("complete", "tools", "tools"),
    ],
)
def test_the_field_is_named_as_the_person_typed_it(module: str, field: str, shown: str) -> None:
    command = importlib.import_module(f"kolo.cli.{module}").command
    assert explain(BadParameter("is wrong", param=field), command).details == [f"in: {shown}"]


def test_a_long_hint_is_an_account_and_no_advice() -> None:
    error = EngineCrashed("engine 'guide' crashed", hint="Its last lines:\n  boom\nIts log: /x")
    assert render(explain(error)) == (
        "error: engine 'guide' crashed\n  Its last lines:\n    boom\n  Its log: /x"
    )


@pytest.mark.parametrize(
    ("hint", "line"),
    [
        ("Did you mean engine.ctx?", "try: engine.ctx"),
        ("Did you mean guide? Possible: others.", "try: guide; possible: others."),
        ("Set HOME.", "try: set HOME."),
        ("KOLO_DEBUG=1", "try: KOLO_DEBUG=1"),
        ("kolo --help", "try: kolo --help"),
    ],
)
def test_a_hint_reads_as_advice(hint: str, line: str) -> None:
    assert render(explain(ModelNotFound("no", hint=hint))) == f"error: no\n  {line}"


def test_a_defect_says_that_it_is_one() -> None:
    told = explain(ZeroDivisionError("division by zero"))
    assert told.exit_code == 1
    assert told.what == "internal error: ZeroDivisionError: division by zero"
    assert "KOLO_DEBUG=1" in told.hint


def test_a_file_that_cannot_be_had_is_no_defect() -> None:
    told = explain(FileNotFoundError(2, "No such file or directory", "x.toml"))
    assert render(told) == "error: No such file or directory: x.toml"
    assert told.exit_code == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (Stopped(2), 130),
        (Stopped(15), 143),
        (Stopped(1), 129),
    ],
)
def test_who_is_told_to_stop_says_nothing(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code
    assert capsys.readouterr() == ("", "")
    assert code in EXIT_CODES


def test_traceback_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KOLO_DEBUG", raising=False)
    report(ModelNotFound("no model 'x'"))
    assert capsys.readouterr().err == "error: no model 'x'\n"
    monkeypatch.setenv("KOLO_DEBUG", "1")
    report(ModelNotFound("no model 'x'"))
    assert capsys.readouterr().err == (
        "kolo.errors.ModelNotFound: no model 'x'\nerror: no model 'x'\n"
    )


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report(ModelNotFound("no model '\x1b]0;gotcha\x07'"))
    assert capsys.readouterr().err == "error: no model '^[]0;gotcha^G'\n"
