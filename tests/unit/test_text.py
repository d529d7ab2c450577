"""Text as it may be shown: whole characters, no stop string, nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kolo.engine.text import Characters, StopFilter

TRICKY = "héllo 👩‍👩‍👧 日本語 é̂ ✓ 🇫🇷 end"


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


class TextStream:
    """Both stages, as an answer goes through them."""

    def __init__(self, stops: list[str] | None = None) -> None:
        self._characters = Characters()
        self._filter = StopFilter(stops or [])

    @property
    def stopped(self) -> str | None:
        return self._filter.stopped

    def feed(self, piece: bytes) -> str:
        return self._filter.feed(self._characters.feed(piece))

    def finish(self) -> str:
        return self._filter.finish()


def run(stream: TextStream, pieces: list[bytes]) -> list[str]:
    out = []
    for piece in pieces:
        out.append(stream.feed(piece))
        if stream.stopped is not None:
            return out
    return [*out, stream.finish()]


@given(st.text(), st.lists(st.integers(1, 7), max_size=50))
def test_pieces_joined_are_the_text_and_no_piece_holds_half_a_character(
    text: str, sizes: list[int]
) -> None:
    out = run(TextStream(), cut(text.encode("utf-8", "ignore"), sizes))
    assert "".join(out) == text.encode("utf-8", "ignore").decode()


def test_one_byte_at_a_time() -> None:
    out = run(TextStream(), [bytes([b]) for b in TRICKY.encode()])
    assert "".join(out) == TRICKY
    assert not any("\ufffd" in piece for piece in out)


def test_bytes_that_are_no_character_become_replacement_characters() -> None:
    assert "".join(run(TextStream(), [b"a\xffb"])) == "a\ufffdb"


def test_a_character_cut_by_the_end_is_left_out() -> None:
    assert "".join(run(TextStream(), ["ab€".encode()[:-1]])) == "ab"


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_a_stop_string_spread_over_pieces_never_leaks(size: int) -> None:
    data = b"Hello\nUser: more"
    pieces = [data[i : i + size] for i in range(0, len(data), size)]
    stream = TextStream(["\nUser:"])
    assert "".join(run(stream, pieces)) == "Hello"
    assert stream.stopped == "\nUser:"


def test_the_earliest_stop_wins() -> None:
    stream = TextStream(["yy", "x"])
    assert "".join(run(stream, [b"a x yy"])) == "a "
    assert stream.stopped == "x"


def test_a_beginning_that_does_not_become_the_stop_is_given_back() -> None:
    stream = TextStream(["###"])
    assert "".join(run(stream, [b"a#", b"#", b"b##"])) == "a##b##"
    assert stream.stopped is None


@given(
    st.text(alphabet="ab#", max_size=40),
    st.lists(st.text(alphabet="ab#", min_size=1, max_size=4), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), max_size=40),
)
def test_with_stops_the_text_is_cut_where_the_first_stop_begins(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    stream = TextStream(stops)
    out = "".join(run(stream, cut(text.encode(), sizes)))
    positions = [at for stop in stops if (at := text.find(stop)) >= 0]
    if positions:
        assert stream.stopped is not None
        assert text.startswith(out)
        assert not any(stop in out for stop in stops)
    else:
        assert out == text
