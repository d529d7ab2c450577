"""Tables and lines: no wider than the terminal, whole through a pipe, nothing lost."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from kolo.cli.grid import Column, print_grid, print_line
from kolo.cli.output import columns, prepare_streams
from kolo.cli.wrap import cells, wrapped

GRID = [Column("NAME", flexible=True), Column("SIZE", number=True), Column("KIND")]
ROWS = [["a-model-with-a-long-name", "4 GB", "text"], ["b", "12 MB", ""]]


class Screen(io.TextIOWrapper):
    """A stdout that is a terminal, or is not."""

    def __init__(self, *, tty: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    @property
    def lines(self) -> list[str]:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode().splitlines()


Width = Callable[[int], Screen]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Width:
    """Puts a terminal of so many columns in place of stdout."""

    def make(width: int) -> Screen:
        made = Screen(tty=True)
        monkeypatch.setattr("sys.stdout", made)
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        return made

    return make


def test_a_table_that_fits(terminal: Width) -> None:
    screen = terminal(80)
    print_grid(GRID, ROWS)
    assert screen.lines == [
        "NAME                       SIZE  KIND",
        "a-model-with-a-long-name   4 GB  text",
        "b                         12 MB",
    ]


def test_a_column_gives_way(terminal: Width) -> None:
    screen = terminal(30)
    print_grid(GRID, ROWS)
    assert screen.lines == [
        "NAME                SIZE  KIND",
        "a-model-with-a-l…   4 GB  text",
        "b                  12 MB",
    ]


def test_a_row_is_several_lines_where_there_is_no_room(terminal: Width) -> None:
    screen = terminal(20)
    print_grid(GRID, ROWS)
    assert screen.lines == [
        "a-model-with-a-long-",
        "    name",
        "  size 4 GB",
        "  kind text",
        "b",
        "  size 12 MB",
    ]


def test_through_a_pipe_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Screen(tty=False)
    monkeypatch.setattr("sys.stdout", pipe)
    monkeypatch.setenv("COLUMNS", "20")
    print_grid(GRID, ROWS)
    assert pipe.lines[1] == "a-model-with-a-long-name   4 GB  text"
    print_line("one two three four five six seven eight nine")
    assert pipe.lines[-1] == "one two three four five six seven eight nine"


def test_a_line_is_folded(terminal: Width) -> None:
    screen = terminal(20)
    print_line("ok    one two three four five", indent=" " * 22)
    assert screen.lines == ["ok    one two three", " " * 10 + "four five"]
    print_line("ok    one            two", indent="      ")
    assert screen.lines[2:] == ["ok    one", "      two"]


@pytest.mark.parametrize("width", [1, 2, 7, 20, 200])
@pytest.mark.parametrize(
    "text",
    ["", "  set in and on", "one-word-that-is-rather-long", "日本語 テキスト と 文字", "a  b"],
)
def test_folding_loses_nothing_and_is_never_too_wide(text: str, width: int) -> None:
    lines = list(wrapped(text, width, "    "[: width // 2]))
    assert "".join("".join(lines).split()) == "".join(text.split())
    if width > 2:  # less than an indent and a sign of two cells
        assert all(cells(line) <= width for line in lines)


def test_how_wide_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "37")
    assert columns() == 37
    for nonsense in ("0", "-3", "wide", ""):
        monkeypatch.setenv("COLUMNS", nonsense)
        assert columns() >= 1


def test_a_sign_that_stdout_has_no_encoding_for_is_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sink = io.BytesIO()
    narrow = io.TextIOWrapper(sink, encoding="ascii", write_through=True)
    monkeypatch.setattr("sys.stdout", narrow)
    prepare_streams()
    print_line("naïve · …")
    assert sink.getvalue() == b"na\\xefve - ...\n"


def test_a_file_name_that_is_no_text_goes_out_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(sink, encoding="utf-8", write_through=True))
    prepare_streams()
    print_line(b"caf\xe9.gguf".decode(errors="surrogateescape"))
    assert sink.getvalue() == b"caf\xe9.gguf\n"
