"""The worker process: one model, one loop, two threads.

``python -m kolo.engine.worker --fd N`` takes over one end of a socket pair. The main thread
loads the model and then owns the context; its loop is ``Worker.run``. The reader thread turns
frames into jobs (``Front``) and hands them over; when the socket closes it ends the process.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from queue import SimpleQueue

import msgspec

from kolo import wire
from kolo.engine.backend import Backend, Loader, OnProgress, Vocab
from kolo.engine.calibrate import calibrate
from kolo.engine.farewell import Farewell
from kolo.engine.front import Front
from kolo.engine.layout import Costs, flat
from kolo.engine.loop import Loop
from kolo.engine.measure import Stopwatch
from kolo.engine.pace import ChunkCost
from kolo.engine.pooling import prepare_pooled
from kolo.engine.sampling import in_force
from kolo.engine.saved import SavedPrefixes, identity
from kolo.engine.speculation import DraftModel, check_pair
from kolo.errors import KoloError, LoadFailed, OutOfMemory, UsageError, internal
from kolo.timing import Measure
from kolo.types import (
    Detokenize,
    Detokenized,
    Embed,
    Generate,
    Inspect,
    LoadParams,
    Render,
    Rendered,
    Rerank,
    Tokenize,
    Tokenized,
)

_SWITCH_INTERVAL_S = 0.0005
"""How long the reader may keep the interpreter from the loop; Python's default is 5 ms."""
_UNMEASURED_CHUNK = ChunkCost(fixed_ms=0.0, ms_per_token=10.0)
"""Assumed of a model that was not warmed up; a few chunks put it right."""


class Outlet:
    """The upward side of the socket; both threads write."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, *frames: wire.Up) -> None:
        data = b"".join(map(wire.encode, frames))
        with self._lock:
            self._sock.sendall(data)


class Reader(threading.Thread):
    """Reads frames, prepares jobs, answers what needs no context. Runs from the start, so that
    a closed socket ends the process while it still loads."""

    _front: Front
    _backend: Backend
    _loop: Loop
    _stopwatch: Stopwatch

    def __init__(self, frames: wire.Frames, out: Outlet) -> None:
        super().__init__(name="reader", daemon=True)
        self._frames = frames
        self._out = out

    def attend(self, front: Front, backend: Backend, loop: Loop, stopwatch: Stopwatch) -> None:
        """The model is there; called before Ready is sent, so before any request comes."""
        self._front = front
        self._backend = backend
        self._loop = loop
        self._stopwatch = stopwatch

    def run(self) -> None:
        try:
            for frame in self._frames:
                if isinstance(frame, wire.Submit):
                    self._submit(frame)
                elif isinstance(frame, wire.Cancel | wire.Cores):
                    self._loop.inbox.put(frame)
                elif isinstance(frame, wire.Stop) and frame.save_ms:
                    self._loop.inbox.put(Farewell.of(frame))
                else:
                    break
        except OSError:
            pass  # the other side is gone, which is what end of file means too
        finally:
            # The loop may be inside llama.cpp for seconds; nothing here needs cleaning up.
            sys.stderr.flush()
            os._exit(0)

    def _submit(self, frame: wire.Submit) -> None:
        try:
            self._start(frame)
        except KoloError as error:
            self._out.send(wire.Failed(frame.id, error.info()))
        except Exception as error:  # a defect of ours must end this request, not the worker
            traceback.print_exc()
            self._out.send(wire.Failed(frame.id, internal(error).info()))

    def _start(self, frame: wire.Submit) -> None:
        request_id, op = frame.id, frame.op
        vocab = self._backend.vocab
        match op:
            case Generate():
                self._loop.inbox.put(self._front.prepare(request_id, op, frame.share))
            case Embed() | Rerank():
                job = prepare_pooled(request_id, op, self._backend)
                job.share = frame.share
                self._loop.inbox.put(job)
            case Inspect():
                self._loop.inbox.put(wire.Submit(request_id, op))
            case Measure():
                self._loop.inbox.put(self._stopwatch.prepare(request_id, op))
            case Tokenize():
                tokens = vocab.tokenize(
                    op.text, add_special=op.add_special, parse_special=op.parse_special
                )
                pieces = [_spelled(vocab, token) for token in tokens]
                self._done(request_id, Tokenized(tokens=list(tokens), pieces=pieces))
            case Detokenize():
                bad = [token for token in op.tokens if not 0 <= token < vocab.n_tokens]
                if bad:
                    raise UsageError(
                        f"token {bad[0]} is not in the vocabulary",
                        hint=f"token ids are 0 to {vocab.n_tokens - 1}",
                        param="tokens",
                    )
                data = b"".join(_spelled(vocab, token) for token in op.tokens)
                self._done(request_id, Detokenized(text=data.decode("utf-8", "replace")))
            case Render():
                self._done(request_id, Rendered(prompt=self._front.render(op.chat)))

    def _done(self, request_id: int, result: Tokenized | Detokenized | Rendered) -> None:
        self._out.send(wire.Done(request_id, result))


def _spelled(vocab: Vocab, token: int) -> bytes:
    """A token as bytes, control tokens by their names."""
    return vocab.piece(token) or vocab.text(token).encode()


def serve(sock: socket.socket) -> None:
    """Load what the first frame says, then run until the other side closes."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    out = Outlet(sock)
    frames = wire.Frames(sock)
    first = next(frames, None)
    if not isinstance(first, wire.Load):
        return
    reader = Reader(frames, out)
    reader.start()
    started = time.perf_counter()
    try:
        backend, saved = _load(first, _progress(out))
        front = Front(backend, first.params)
        costs, chunk_cost = _costs(backend, first.params)
        draft = _draft(first, backend)
        loop = Loop(
            backend, first.params, costs, chunk_cost, out.send, SimpleQueue(), draft, saved,
            lambda: frames.arriving,
        )  # fmt: skip
        stopwatch = Stopwatch(backend, first.params, costs, chunk_cost, front)
    except KoloError as error:
        out.send(wire.Refused(error.info()))
        return
    except MemoryError:
        out.send(wire.Refused(OutOfMemory("the worker found no memory").info()))
        return
    except Exception as error:
        traceback.print_exc()
        out.send(wire.Refused(internal(error).info()))
        return
    for note in front.notes:
        out.send(wire.Note("warning", note))
    if saved is not None and saved.n_discarded:
        text = f"saved prefixes discarded: {saved.n_discarded}; they do not match this load"
        out.send(wire.Note("info", text))
    info = msgspec.structs.replace(
        backend.info,
        chat_template=front.template.source,
        template_source=front.template.source_kind,
        template_family=front.dialect.name,
        template_caps=front.template.caps,
        pad_widths=loop.layout.pad_widths(),
        sampling=in_force(front.defaults),
        stop=first.params.stop or [],
    )
    reader.attend(front, backend, loop, stopwatch)
    out.send(wire.Ready(info, (time.perf_counter() - started) * 1000))
    loop.run()
    # The reader still waits for frames; nothing here needs cleaning up.
    sys.stderr.flush()
    os._exit(0)


def _load(load: wire.Load, progress: OnProgress) -> tuple[Backend, SavedPrefixes | None]:
    """The model, and what was saved of it; None of one that has nothing to save."""
    saving = load.saving
    files = identity(saving.files, load.params) if saving is not None else b""
    backend = _loader(load.backend)(load.path, load.params, progress)
    if saving is None or not backend.build:
        return backend, None
    whole = hashlib.sha256(files + backend.build.encode()).digest()
    return backend, SavedPrefixes(Path(saving.folder), whole, saving.key)


def _costs(backend: Backend, params: LoadParams) -> tuple[Costs, ChunkCost]:
    if params.warmup and backend.info.can_chat and backend.costs_vary:
        return calibrate(backend)
    return flat(backend.thread_choices[-1]), _UNMEASURED_CHUNK


def _draft(load: wire.Load, backend: Backend) -> DraftModel | None:
    """The smaller model that guesses, with as many sequences as the large one."""
    params = load.params
    if params.draft_model is None or params.speculation == "off":
        return None
    own = LoadParams(
        ctx=backend.n_ctx,
        parallel=backend.n_slots,
        threads=params.threads,
        threads_batch=params.threads_batch,
        gpu_layers=params.gpu_layers,
        devices=params.devices,
        mmap=params.mmap,
        mlock=params.mlock,
    )
    small = _loader(load.backend)(params.draft_model, own, lambda stage, fraction: None)
    check_pair(backend, small)
    return DraftModel(small)


def _loader(name: str) -> Loader:
    if name == "llama":
        from kolo.engine.llama import load

        return load
    if name == "fake":
        from kolo.engine.fake import load as load_fake

        return load_fake
    raise LoadFailed(f"there is no backend {name!r}", hint="use llama")


def _progress(out: Outlet) -> OnProgress:
    last = -1.0

    def report(stage: str, fraction: float) -> None:
        nonlocal last
        if fraction - last >= 0.01 or fraction in (0.0, 1.0):
            last = fraction
            out.send(wire.Loading(stage, fraction))

    return report


def share_the_cores() -> None:
    """Make OpenMP's threads sleep soon when they wait for each other.

    libgomp spins for milliseconds by default, which is as fast on an idle machine and collapses
    by a factor of ten or more as soon as anything else wants a core. Counts only before
    llama.cpp is loaded; whoever sets the policy in the environment is heeded.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def main() -> None:
    parser = argparse.ArgumentParser(prog="kolo.engine.worker", description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="the worker's end of a socket pair")
    share_the_cores()
    # The manager decides when a worker ends; a terminal's Ctrl-C is not for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=parser.parse_args().fd) as sock:
        serve(sock)


if __name__ == "__main__":
    main()
