"""Mutates GGUF files and reads their headers: run it for as long as you like.

    python tests/fuzz/gguf_headers.py --inputs 1000000 --seed 1

Every input must end in a header or in ModelInvalid, within a second and without the process
growing by more than 256 MiB. What does not is written beside this file, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType
from typing import Any

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import ggufs
import numpy as np
from gguf import GGUFWriter

from kolo.errors import ModelInvalid
from kolo.manager.memory import estimate
from kolo.models.cursor import LazyArray
from kolo.models.gguf import read_header, read_model
from kolo.models.header import Header
from kolo.types import LoadParams

INPUT_S = 1.0
GROWTH_BYTES = 256 << 20
NUMBERS = (0, 1, 7, 8, 9, 31, 32, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63, 2**64 - 1)


def seeds(folder: Path) -> list[bytes]:
    """Sound files of several kinds, with little in them so that most bytes matter."""
    found = [
        ggufs.tiny_llama(folder / "llama.gguf", layers=1, n_embd=32, n_ff=32).read_bytes(),
        ggufs.tiny_mamba(folder / "mamba.gguf").read_bytes(),
        ggufs.tiny_bert(folder / "bert.gguf").read_bytes(),
    ]
    values: dict[str, Any] = {
        "a.list": [1, 2, 3],
        "a.texts": ["x", "", "é"],
        "a.floats": [0.5, 1.5],
        "a.bools": [True, False],
        "a.text": "{{ x }}",
        "llama.block_count": 2,
        "llama.attention.head_count": [4, 2],
        "split.count": 0,
    }
    writer = GGUFWriter(folder / "mixed.gguf", "llama")
    ggufs._add_metadata(writer, values)
    for kind in (np.float32, np.float16, np.int8):
        writer.add_tensor(f"t.{np.dtype(kind).name}", np.zeros((2, 32), dtype=kind))
    found.append(ggufs._finish(writer, folder / "mixed.gguf").read_bytes())
    return found


def mutated(rng: random.Random, sound: bytes, header_bytes: int) -> bytes:
    """``sound`` with one to six things wrong, most of them in the header."""
    data = bytearray(sound)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(min(header_bytes, len(data)) or 1) if data else 0
        match rng.randrange(8):
            case 0 | 1:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 2:
                data[at : at + 8] = struct.pack("<Q", rng.choice(NUMBERS))
            case 3:
                data[at : at + 4] = struct.pack("<I", rng.choice(NUMBERS) & 0xFFFFFFFF)
            case 4:
                data[at:at] = rng.randbytes(rng.randint(1, 16))
            case 5:
                del data[at : at + rng.randint(1, 64)]
            case 6:
                start = rng.randrange(header_bytes)
                data[at:at] = sound[start : start + rng.randint(1, 200)]
            case _ if rng.random() < 0.2:
                del data[rng.randrange(len(data) + 1) :]
    return bytes(data)


def ask_everything(header: Header) -> None:
    """All a header can be asked; each answer may be ModelInvalid."""
    questions = [name for name in dir(Header) if isinstance(getattr(Header, name), property)]
    arrays = [k for k, v in header.metadata.items() if isinstance(v, (list, LazyArray))]
    for ask in (
        *(lambda name=name: getattr(header, name) for name in questions),
        *(lambda key=key: header.array(key) for key in arrays),
        header.refusal,
        lambda: estimate(header, LoadParams()),
    ):
        try:
            ask()
        except ModelInvalid:
            continue


def fuzz(
    folder: Path, n_inputs: int, seed: int, *, report_s: float = 0.0, limit_s: float = 0.0
) -> tuple[int, int]:
    """Read ``n_inputs`` mutated files; how many were sound all the same, and how many not.

    Raises whatever a reader raised that it must not, with the input in ``bad.gguf``. With
    ``limit_s`` SIGALRM comes when one takes longer.
    """
    rng = random.Random(seed)
    sound = seeds(folder)
    path = folder / "input.gguf"
    headers = []
    for data in sound:
        path.write_bytes(data)
        headers.append(read_header(path).data_offset)
    good = bad = 0
    began_s = told_s = time.monotonic()
    for no in range(n_inputs):
        which = rng.randrange(len(sound))
        data = mutated(rng, sound[which], headers[which])
        path.write_bytes(data)
        try:
            if limit_s:
                signal.setitimer(signal.ITIMER_REAL, limit_s)
            ask_everything(read_model(path))
            good += 1
        except ModelInvalid:
            bad += 1
        except BaseException:
            _no_alarm(limit_s)
            (folder / "bad.gguf").write_bytes(data)
            raise
        finally:
            _no_alarm(limit_s)
        now_s = time.monotonic()
        if report_s and now_s - told_s > report_s:
            told_s = now_s
            print(f"{no + 1} inputs, {(no + 1) / (now_s - began_s):.0f}/s", file=sys.stderr)
    return good, bad


def _no_alarm(limit_s: float) -> None:
    if limit_s:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"an input took longer than {INPUT_S:g} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        seeds(folder)
        size_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = size_bytes + GROWTH_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        signal.signal(signal.SIGALRM, _too_slow)
        began_s = time.monotonic()
        try:
            good, bad = fuzz(folder, options.inputs, options.seed, report_s=10.0, limit_s=INPUT_S)
        except BaseException as error:
            kept = Path(__file__).with_name("bad.gguf")
            if (folder / "bad.gguf").exists():
                kept.write_bytes((folder / "bad.gguf").read_bytes())
            print(f"{type(error).__name__}: {error}; the input is in {kept}", file=sys.stderr)
            return 1
    took_s = time.monotonic() - began_s
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{good} sound, {bad} refused, in {took_s:.0f} s; at most {peak // 1024} MiB resident")
    return 0


if __name__ == "__main__":
    sys.exit(main())
