"""Vectors to standard output, in the form that was asked for."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence

import msgspec

from kolo.batch.vectors import EmbeddingLine, Embeddings
from kolo.cli.screen import Outlet
from kolo.errors import UsageError
from kolo.types import Embedded


class Writer:
    """Takes vectors as they come, in order; ``n_texts`` of them in all."""

    def __init__(self, form: str, model: str, n_texts: int) -> None:
        self._out = Outlet(sys.stdout)
        if form == "npy" and self._out.look.terminal:
            raise UsageError(
                "-o npy is for programs, and standard output is a terminal",
                hint="-o npy > vectors.npy",
            )
        self._form = form
        self._model = model
        self._n_texts = n_texts
        self.n_taken = 0
        self._n_written = 0
        self._prompt_tokens = 0
        self._kept: list[Sequence[float]] = []

    async def add(self, found: Embedded) -> None:
        self.n_taken += len(found.vectors)
        self._prompt_tokens += found.prompt_tokens
        if self._form == "json":
            self._kept += found.vectors
            return
        row: Callable[[Sequence[float]], bytes] = getattr(self, f"_{self._form}")
        for vector in found.vectors:
            await self._out.write_bytes(row(vector))
            self._n_written += 1

    async def end(self) -> None:
        if self._form != "json":
            return
        document = Embeddings(
            model=self._model,
            dimensions=len(self._kept[0]),
            prompt_tokens=self._prompt_tokens,
            embeddings=self._kept,
        )
        await self._out.write_bytes(msgspec.json.encode(document) + b"\n")

    def _jsonl(self, vector: Sequence[float]) -> bytes:
        line = EmbeddingLine(index=self._n_written, embedding=vector)
        return msgspec.json.encode(line) + b"\n"

    def _csv(self, vector: Sequence[float]) -> bytes:
        return ",".join(map(repr, vector)).encode() + b"\n"

    def _npy(self, vector: Sequence[float]) -> bytes:
        row = array("f", vector)
        if sys.byteorder == "big":
            row.byteswap()
        head = npy_header(self._n_texts, len(vector)) if self._n_written == 0 else b""
        return head + row.tobytes()


def npy_header(rows: int, columns: int) -> bytes:
    """Of a matrix of little-endian 32-bit floats, row by row (NumPy's NEP 1, version 1.0)."""
    about = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}"
    magic = b"\x93NUMPY\x01\x00"
    padding = -(len(magic) + 2 + len(about) + 1) % 64
    text = f"{about}{' ' * padding}\n".encode()
    return magic + len(text).to_bytes(2, "little") + text
