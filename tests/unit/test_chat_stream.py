"""Markdown as it comes: however it is cut, the rows are those of the whole text."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.text import Text

from kolo.chat.fences import code_blocks
from kolo.chat.markdown import Renderer
from kolo.chat.stream import LONG_ROWS, MarkdownStream, ThoughtStream

QUICK = settings(deadline=None, max_examples=50)
TEXT = """# Title

A paragraph with **bold text** and `code` and <b>html</b>, a [link](https://x.y/z).
Second line.

Steps:
1. first
2. second
   with more

   - nested a
   - nested b
3. third

* loose

* items

```python
def f(x):
    '''a string'''
\treturn x  # 日本語
```

| name | n |
|------|--:|
| größe | 12 |
| 日本語 | 3 |

> quoted
> more

---
"""
ALL = TEXT + "word **emphasis over** some words " * 60 + "\n\nThe end"


def shown(text: str, cuts: list[int], width: int = 60) -> list[str]:
    """The rows that are given out when ``text`` comes in pieces."""
    renderer = Renderer(width)
    stream = MarkdownStream(renderer)
    rows = []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        stream.feed(text[start:end])
        rows += stream.finished()
        stream.pending()
    rows += stream.finished(last=True)
    return [renderer.ansi(row, colour=True) for row in rows]


@QUICK
@given(st.lists(st.integers(0, len(ALL)), max_size=60).map(sorted), st.sampled_from([24, 60]))
def test_rows_do_not_depend_on_how_the_text_is_cut(cuts: list[int], width: int) -> None:
    assert shown(ALL, cuts, width) == shown(ALL, [], width)


@pytest.mark.parametrize("step", [1, 2, 7])
def test_by_steps_too(step: int) -> None:
    assert shown(ALL, list(range(step, len(ALL), step))) == shown(ALL, [])


@QUICK
@given(st.text(alphabet="ab \n#*->1._", max_size=120))
def test_no_letter_of_a_text_is_lost(text: str) -> None:
    rows = [Text.from_ansi(row).plain for row in shown(text, list(range(1, len(text))))]
    assert Counter("".join(rows))["a"] == text.count("a")
    assert Counter("".join(rows))["b"] == text.count("b")


@QUICK
@given(
    st.text(alphabet="ab \n\t#*->`~|=:1._[]()!<&\\é日\u200d👩\x00", max_size=200),
    st.integers(8, 40),
)
def test_any_text_can_be_shown(text: str, width: int) -> None:
    rows = shown(text, list(range(0, len(text), 5)), width)
    assert not any("\n" in row for row in rows)


def test_what_is_finished_is_given_out_once_and_early() -> None:
    stream = MarkdownStream(Renderer(60))
    stream.feed("one\n\n- two\n- three\n\n```\nfour\nfi")
    assert [row.plain for row in stream.finished()] == [
        "one",
        "",
        "• two",
        "• three",
        "",
        "```",
        "four",
    ]
    assert [row.plain for row in stream.pending()] == ["fi"]
    assert stream.finished() == []
    stream.feed("ve\n```\n")
    assert [row.plain for row in stream.finished(last=True)] == ["five", "```"]


def test_a_long_paragraph_stays_short_where_it_is_drawn_again() -> None:
    renderer = Renderer(40)
    stream, rows = MarkdownStream(renderer), []
    for word in range(2000):
        stream.feed(f"word{word} **strong** ")
        rows += stream.finished()
        assert len(stream.pending()) <= LONG_ROWS + 1
    rows += stream.finished(last=True)
    words = " ".join(row.plain for row in rows).split()
    assert words == [part for word in range(2000) for part in (f"word{word}", "strong")]


def test_wide_characters_take_two_cells() -> None:
    renderer = Renderer(10)
    stream = MarkdownStream(renderer)
    stream.feed("日本語日本語日本語")
    assert [row.plain for row in stream.finished(last=True)] == ["日本語日本", "語日本語"]


def test_a_line_of_code_is_not_broken() -> None:
    assert shown("```\n" + "x" * 100 + "\n```", [], 20)[1] == "x" * 100


def test_without_unicode_all_signs_are_ascii() -> None:
    renderer = Renderer(60, unicode=False)
    stream = MarkdownStream(renderer)
    stream.feed("- one\n\n> two\n\n---\n\n| a |\n|---|\n| b |\n")
    rows = [renderer.ansi(row, colour=False) for row in stream.finished(last=True)]
    assert all(row.replace("\x1b", "").isascii() for row in rows)
    assert rows[0] == "* one"


def test_without_colour_weight_is_left() -> None:
    renderer = Renderer(60)
    stream = MarkdownStream(renderer)
    stream.feed("**bold** `code`\n")
    (row,) = stream.finished(last=True)
    assert renderer.ansi(row, colour=False) == "\x1b[1mbold\x1b[0m code"


def test_numbers_of_a_list_go_on_where_it_was_cut() -> None:
    assert shown("1. a\n1. b\n1. c\n", [6, 11]) == ["1. a", "2. b", "3. c"]


@QUICK
@given(st.lists(st.sampled_from(["one ", "two three ", "four\n", "\n"]), max_size=60))
def test_thoughts_lose_no_word(pieces: list[str]) -> None:
    stream, rows = ThoughtStream(Renderer(20)), []
    for piece in pieces:
        stream.feed(piece)
        rows += stream.finished()
    rows += stream.finished(last=True)
    assert " ".join(row.plain for row in rows).split() == "".join(pieces).split()


def test_code_blocks() -> None:
    text = "a\n```py\none\n\ntwo\n```\nb\n~~~~\n```\n~~~~\n```\nopen"
    assert code_blocks(text) == ["one\n\ntwo\n", "```\n", "open\n"]
    assert code_blocks("no `code` here") == []
