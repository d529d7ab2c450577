"""How text looks on what it goes to."""

from __future__ import annotations

import io

import pytest

from kolo.cli import output
from kolo.cli.output import Look, Status, dim, fitting, look, printable

RICH = Look(terminal=True, colour=True, unicode=True, redraw=True)


class Tty(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def stream(*, tty: bool, encoding: str = "utf-8") -> io.TextIOWrapper:
    return (Tty if tty else io.TextIOWrapper)(io.BytesIO(), encoding=encoding)


@pytest.fixture(autouse=True)
def _no_wishes(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_and_a_pipe() -> None:
    assert look(stream(tty=True)) == RICH
    assert look(stream(tty=False)) == Look(terminal=False, colour=False, unicode=True, redraw=False)
    assert look(None).terminal is False


def test_a_dumb_terminal_gets_ascii_and_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert look(stream(tty=True)) == Look(terminal=True, colour=False, unicode=False, redraw=False)


def test_a_stream_without_utf8_gets_ascii() -> None:
    how = look(stream(tty=True, encoding="iso8859-1"))
    assert not how.unicode
    assert fitting("loading… 1 · 2 ↑", how) == "loading... 1 - 2 Up"


@pytest.mark.parametrize(
    ("wishes", "tty", "colour"),
    [
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, False, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
    ],
)
def test_colour(
    wishes: dict[str, str], tty: bool, colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wishes.items():
        monkeypatch.setenv(name, value)
    assert look(stream(tty=tty)).colour is colour


def test_dim_is_plain_without_colour() -> None:
    assert dim("x", RICH) == "\x1b[2mx\x1b[22m"
    assert dim("x", RICH._replace(colour=False)) == "x"


def test_control_characters_are_made_visible() -> None:
    assert printable("a\x1b[31m\x07\x7f\x9b\r\n\tb") == "a^[[31m^G^?\\x9b\n\tb"


def shown(sink: io.TextIOWrapper) -> str:
    sink.flush()
    assert isinstance(sink.buffer, io.BytesIO)
    return sink.buffer.getvalue().decode()


def test_status_is_written_over_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = stream(tty=True)
    monkeypatch.setattr(output.sys, "stderr", sink)
    monkeypatch.setenv("NO_COLOR", "1")
    status = Status()
    status.show("loading guide", 0.0)
    status.show("loading guide", 0.43)
    status.show("loading guide", 0.431)
    status.clear()
    status.clear()
    assert shown(sink) == "\rloading guide… 0 %\x1b[K\rloading guide… 43 %\x1b[K\r\x1b[K"


def test_status_on_a_dumb_terminal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = stream(tty=True)
    monkeypatch.setattr(output.sys, "stderr", sink)
    monkeypatch.setenv("TERM", "dumb")
    status = Status()
    status.show("loading guide", 0.0)
    status.show("loading guide", 0.43)
    status.clear()
    assert shown(sink) == "loading guide...\n"


def test_status_is_silent_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = stream(tty=False)
    monkeypatch.setattr(output.sys, "stderr", sink)
    monkeypatch.setenv("FORCE_COLOR", "1")
    Status().show("loading guide", 0.43)
    assert shown(sink) == ""
