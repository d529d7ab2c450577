"""An answer on its way out: to readers that are slow, gone or absent."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
from collections.abc import Iterator
from typing import get_args, get_type_hints

import click
import pytest

from kolo.cli import complete
from kolo.cli.screen import Outlet
from kolo.errors import KoloError
from kolo.types import Sampling


@pytest.fixture
def pipe() -> Iterator[tuple[int, Outlet]]:
    """The reading end of a small pipe, and an outlet into it."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(writer, "w") as stream:
        yield reader, Outlet(stream)
    os.close(reader)


async def test_a_slow_reader_gets_everything_and_blocks_nothing(pipe: tuple[int, Outlet]) -> None:
    reader, outlet = pipe
    text = "größer " * 5000
    writing = asyncio.create_task(outlet.write(text))
    got = b""
    while len(got) < len(text.encode()):
        await asyncio.sleep(0)  # the loop goes round although the pipe is full
        if select.select([reader], [], [], 0)[0]:
            got += os.read(reader, 1000)
    await writing
    assert got.decode() == text


async def test_a_reader_that_never_reads_can_be_given_up(pipe: tuple[int, Outlet]) -> None:
    _, outlet = pipe
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await outlet.write("x" * 100_000)


async def test_a_reader_that_is_gone() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream, pytest.raises(BrokenPipeError):
        await Outlet(stream).write("hello")


async def test_bytes_pass_a_pipe_unchanged(pipe: tuple[int, Outlet]) -> None:
    reader, outlet = pipe
    await outlet.write("a\x1b[2Jb\r\n…")
    assert os.read(reader, 100) == "a\x1b[2Jb\r\n…".encode()
    assert outlet.mid_line
    await outlet.write("\n")
    assert not outlet.mid_line


def test_no_standard_output() -> None:
    with pytest.raises(KoloError, match="standard output is closed"):
        Outlet(None)


@pytest.mark.parametrize("option", ["temperature", "top_p", "min_p", "top_k", "seed"])
def test_an_options_range_is_that_of_the_request(option: str) -> None:
    hint = get_type_hints(Sampling, include_extras=True)[option]
    (annotated,) = (part for part in get_args(hint) if hasattr(part, "__metadata__"))
    meta = annotated.__metadata__[0]
    kind = next(p.type for p in complete.command.params if p.name == option)
    assert isinstance(kind, (click.IntRange, click.FloatRange))
    assert (kind.min, kind.max) == (meta.ge, meta.le)
