"""A server for one run: what its parent makes of what it says, or does not say."""

from __future__ import annotations

import asyncio
import os
import sys

import psutil
import pytest

from kolo.bench.private import private_server
from kolo.errors import DeadlineExceeded, InternalError, ModelNotFound

READY = """
import json, sys
order = json.loads(sys.stdin.readline())
print(json.dumps({"url": "http://x", "model": order["model"]}), flush=True)
sys.stdin.read()
"""
REFUSED = """
import json, sys
sys.stdin.readline()
print(json.dumps({"error": {"kind": "ModelNotFound", "message": "no such file"}}), flush=True)
sys.exit(4)
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


async def test_it_is_there_until_the_block_is_left() -> None:
    async with private_server("m", {}, timeout_s=60, command=python(READY)) as server:
        assert (server.url, server.model) == ("http://x", "m")
        assert psutil.pid_exists(server.pid)
        assert os.getpgid(server.pid) != os.getpgid(0)  # Ctrl-C at the terminal passes it by
    assert not psutil.pid_exists(server.pid)


async def test_what_the_load_failed_with_is_raised() -> None:
    with pytest.raises(ModelNotFound, match="no such file"):
        async with private_server("m", {}, timeout_s=60, command=python(REFUSED)):
            pass


async def test_one_that_dies_is_told() -> None:
    with pytest.raises(InternalError, match="ended with exit code 3"):
        async with private_server("m", {}, timeout_s=60, command=python("import sys; sys.exit(3)")):
            pass


async def test_one_that_says_nothing_is_given_up() -> None:
    began = asyncio.get_running_loop().time()
    with pytest.raises(DeadlineExceeded, match=r"not loaded within 0\.2 s"):
        async with private_server(
            "m", {}, timeout_s=0.2, command=python("import sys; sys.stdin.read()")
        ):
            pass
    assert asyncio.get_running_loop().time() - began < 30
