"""One worker on the shipped model for all tests that leave it as they found it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness import GUIDE, Worker, worker

from kolo.types import LoadParams


@pytest.fixture(scope="session")
def guide() -> Iterator[Worker]:
    with worker(GUIDE, LoadParams(parallel=8, ctx=2048, threads=1)) as started:
        yield started
