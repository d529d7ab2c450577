"""A terminal of our own: runs a program on a pty, types, and waits for what it shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from contextlib import suppress
from types import TracebackType

PATIENCE_S = 60.0
_ESCAPES = re.compile(rb"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])")


class Terminal:
    """A program on a pty of 80 by 24, leader of a session of its own."""

    def __init__(self, command: list[str], env: dict[str, str], *, cwd: str | None = None) -> None:
        self._fd, theirs = pty.openpty()
        os.set_blocking(self._fd, False)
        self._raw = b""
        self._sizes: list[tuple[int, int, int]] = []
        """How much had been shown when it became so many columns and rows."""
        self.resize(80, 24)
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(theirs)
        self._read_upto = 0

    @property
    def shown(self) -> str:
        """All it has shown so far, without escape sequences."""
        return _ESCAPES.sub(b"", self._raw).decode("utf-8", "replace")

    @property
    def raw(self) -> bytes:
        return self._raw

    def as_seen(self) -> list[str]:
        """The lines that a person has seen, scrolled away or not."""
        import pyte  # few of us look

        first, *resizes = self._sizes
        screen = pyte.HistoryScreen(*first[1:], history=100_000, ratio=1)
        stream = pyte.ByteStream(screen)
        upto = 0
        for at, columns, rows in resizes:
            stream.feed(self._raw[upto:at])
            screen.resize(rows, columns)
            upto = at
        stream.feed(self._raw[upto:])
        columns = range(screen.columns)
        above = ["".join(row[column].data for column in columns) for row in screen.history.top]
        return [line.rstrip() for line in [*above, *screen.display]]

    def type(self, keys: str) -> None:
        """Reads meanwhile: a program that cannot write would not read either."""
        left = keys.encode()
        deadline = time.monotonic() + PATIENCE_S
        while left:
            wait_s = max(deadline - time.monotonic(), 0.0)
            readable, writable, _ = select.select([self._fd], [self._fd], [], wait_s)
            if readable:
                self._read(deadline)
            if writable:
                with suppress(BlockingIOError):
                    left = left[os.write(self._fd, left) :]
            assert readable or writable, f"nobody takes {len(left)} bytes"

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size; the program is told (SIGWINCH)."""
        self._sizes.append((len(self._raw), columns, rows))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def expect(self, text: str) -> str:
        """Wait until ``text`` is shown after what the last call waited for; all until there."""
        deadline = time.monotonic() + PATIENCE_S
        while (at := self.shown.find(text, self._read_upto)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} never came; shown: {self.shown!r}")
        before, self._read_upto = self._read_upto, at + len(text)
        return self.shown[before : self._read_upto]

    def wait(self) -> int:
        """Read to the end of the program; its exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(timeout=PATIENCE_S)

    def _read(self, deadline: float) -> bool:
        left_s = deadline - time.monotonic()
        if left_s <= 0 or not select.select([self._fd], [], [], left_s)[0]:
            return False
        try:
            data = os.read(self._fd, 1 << 16)
        except OSError:  # Linux: the other side is closed
            return False
        self._raw += data
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._fd)


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
