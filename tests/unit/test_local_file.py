"""Copying a file of this machine into the store, and what can go wrong with it."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stores import model

from kolo.cli import local_file
from kolo.cli.local_file import copy_in, examine
from kolo.errors import ConfigError, DiskFull, KoloError, ModelNotFound
from kolo.models.store import Store


class Broken(io.BytesIO):
    """Reads and writes a little, then fails."""

    def __init__(self, error: int) -> None:
        super().__init__(b"GGUF" * 100)
        self._error = error
        self._left = 1

    def _use(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise OSError(self._error, os.strerror(self._error))

    def read(self, size: int | None = -1, /) -> bytes:
        self._use()
        return b"GGUF" * 100

    def write(self, data: Any, /) -> int:
        self._use()
        raise OSError(self._error, os.strerror(self._error))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def fail(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """Has reading (``rb``) or writing (``wb``) end with an error."""

    def arrange(mode: str, error: int) -> None:
        def opened(path: Path, how: str) -> Any:
            return Broken(error) if how == mode else open(path, how)

        monkeypatch.setattr(local_file, "open", opened, raising=False)

    return arrange


@pytest.mark.parametrize(
    ("mode", "error", "kind", "message"),
    [
        ("wb", errno.ENOSPC, DiskFull, "No space left on device"),
        ("wb", errno.EDQUOT, DiskFull, "Disk quota exceeded"),
        ("wb", errno.EACCES, ConfigError, "Permission denied"),
        ("wb", errno.EROFS, ConfigError, "Read-only file system"),
        ("rb", errno.EIO, ModelNotFound, "cannot read .*m-0.gguf: Input/output error"),
    ],
)
def test_what_stops_a_copy_is_called_by_its_name_and_leaves_nothing(
    store: Store,
    tmp_path: Path,
    fail: Callable[[str, int], None],
    mode: str,
    error: int,
    kind: type[KoloError],
    message: str,
) -> None:
    file = examine(model(tmp_path))
    fail(mode, error)
    with pytest.raises(kind, match=message) as caught:
        copy_in(store, file, "x", lambda done, total: None)
    assert type(caught.value) is kind
    assert (kind is not DiskFull) or "without --copy" in caught.value.hint
    assert store.models() == {}
    assert list(store.partial.iterdir()) == []


def test_a_copy_is_the_file_and_says_how_far_it_is(store: Store, tmp_path: Path) -> None:
    path = model(tmp_path)
    told: list[tuple[int, int]] = []
    added = copy_in(store, examine(path), "x", lambda *how_far: told.append(how_far))
    assert store.path("x", added.stored.version).read_bytes() == path.read_bytes()
    assert told == sorted(told)
    assert told[-1] == (path.stat().st_size,) * 2
