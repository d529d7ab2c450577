"""What a worker saves when it leaves is what the next one starts from, and nothing else."""

from __future__ import annotations

import random
import resource
import shutil
import struct
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from ggufs import build
from harness import GUIDE, Worker, chat, tokens, worker

from kolo import wire
from kolo.engine.saved import SavedPrefixes
from kolo.manager.saved import PrefixFolder
from kolo.types import LoadParams, Sampling

GREEDY = Sampling(temperature=0)
PARAMS = LoadParams(ctx=1024, parallel=2, threads=1, warmup=False)
LONG = "Tell me about slots. " + "What is a KV cache, and why is it kept? " * 12


def saving(folder: Path, model: str = GUIDE, key: bytes = b"k" * 32) -> wire.Saving:
    return wire.Saving(str(folder / "engine"), key, [model])


def files(folder: Path) -> list[Path]:
    return sorted((folder / "engine").glob("*"))


def answer(started: Worker, text: str = LONG) -> tuple[str, int]:
    """Greedy text, and how many tokens of its prompt were not computed."""
    found = started.ask(chat(text, sampling=GREEDY, max_tokens=24))
    return found.text(), found.generated.usage.cached_tokens


def test_the_same_text_comes_from_a_restored_prefix_as_from_none(tmp_path: Path) -> None:
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        text, cached = answer(first)
        assert cached == 0
        first.leave()
    assert len(files(tmp_path)) == 1
    assert any("saved: 1" in note.message for note in first.notes)
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        assert second.stats().saved_entries == 1
        again, cached = answer(second)
        assert second.stats().restores == 1
    assert again == text
    assert cached > 100


def test_a_conversation_goes_on_where_it_was(tmp_path: Path) -> None:
    ids = random.Random(3).choices(range(300, 400), k=300)
    more = ids + random.Random(4).choices(range(300, 400), k=50)
    with worker(GUIDE, PARAMS) as plain:
        expected = plain.ask(tokens(more, sampling=GREEDY, max_tokens=16)).text()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        first.ask(tokens(ids, sampling=GREEDY, max_tokens=1))
        first.leave()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        found = second.ask(tokens(more, sampling=GREEDY, max_tokens=16))
    assert found.text() == expected
    assert found.generated.usage.cached_tokens == 300


def test_what_left_its_slot_is_saved_too(tmp_path: Path) -> None:
    prompts = [random.Random(seed).choices(range(300, 400), k=200) for seed in range(5)]
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        for ids in prompts:
            first.ask(tokens(ids, sampling=GREEDY, max_tokens=1))
        first.leave()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        for ids in prompts:
            found = second.ask(tokens(ids, sampling=GREEDY, max_tokens=1))
            assert found.generated.usage.cached_tokens == 199


def test_a_busy_engine_saves_what_it_has_so_far(tmp_path: Path) -> None:
    endless = Sampling(temperature=0, ignore_eos=True)
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        first.submit(chat(LONG, sampling=endless, max_tokens=800))
        first.read()
        first.leave()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        assert answer(second)[1] > 100


@pytest.mark.parametrize(
    "other",
    [
        LoadParams(ctx=512, parallel=2, threads=1, warmup=False),
        LoadParams(ctx=1024, parallel=4, threads=1, warmup=False),
        LoadParams(ctx=1024, parallel=2, threads=1, warmup=False, kv_unified=True),
        LoadParams(ctx=1024, parallel=2, threads=1, warmup=False, kv_type_k="f32"),
        LoadParams(ctx=1024, parallel=2, threads=1, warmup=False, rope_freq_scale=0.5),
    ],
    ids=["ctx", "parallel", "unified", "kv type", "rope"],
)
def test_other_parameters_discard_it(tmp_path: Path, other: LoadParams) -> None:
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        answer(first)
        first.leave()
    with worker(GUIDE, other, saving=saving(tmp_path)) as second:
        assert second.stats().saved_entries == 0
        assert any("discarded: 1" in note.message for note in second.notes)
    assert files(tmp_path) == []


def test_another_model_in_the_place_of_the_file_discards_it(tmp_path: Path) -> None:
    model = tmp_path / "m.gguf"
    shutil.copyfile(GUIDE, model)
    with worker(str(model), PARAMS, saving=saving(tmp_path, str(model))) as first:
        text, _ = answer(first)
        first.leave()
    shutil.copyfile(build(tmp_path, "llama"), model)
    with worker(str(model), PARAMS, saving=saving(tmp_path, str(model))) as second:
        assert second.stats().saved_entries == 0
    shutil.copyfile(GUIDE, model)
    with worker(str(model), PARAMS, saving=saving(tmp_path, str(model))) as third:
        assert answer(third) == (text, 0)


def test_a_disk_that_is_full_leaves_nothing_and_the_worker_leaves(tmp_path: Path) -> None:
    """A limit on the size of files, which the kernel enforces in the middle of a write."""
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        answer(first)
        limit = (100_000, resource.RLIM_INFINITY)
        psutil.Process(first.process.pid).rlimit(resource.RLIMIT_FSIZE, limit)
        first.leave()
    assert any(note.level == "warning" and "not saved" in note.message for note in first.notes)
    assert files(tmp_path) == []


def test_no_time_to_save_costs_what_is_cached_and_nothing_else(tmp_path: Path) -> None:
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        answer(first)
        first.leave(max_bytes=10)
    assert files(tmp_path) == []


def test_a_killed_worker_leaves_what_was_there_before(tmp_path: Path) -> None:
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        answer(first)
        first.leave()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        assert answer(second)[1] > 100
        second.process.kill()
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as third:
        assert answer(third)[1] > 100


def test_one_that_is_killed_while_it_saves_leaves_only_whole_files(tmp_path: Path) -> None:
    params = LoadParams(ctx=1024, parallel=8, threads=1, warmup=False)
    prompts = [random.Random(seed).choices(range(300, 400), k=900) for seed in range(8)]
    delays = random.Random(6)
    for _ in range(4):
        with worker(GUIDE, params, saving=saving(tmp_path)) as started:
            for ids in prompts:
                started.ask(tokens(ids, sampling=GREEDY, max_tokens=1))
            started.send(wire.Stop(60_000, 1 << 40))
            time.sleep(delays.uniform(0, 0.1))
            started.process.kill()
        for file in files(tmp_path):
            if file.suffix == ".kv":
                shelf = SavedPrefixes(tmp_path / "engine", _identity_of(file), b"k" * 32)
                assert shelf.n_discarded == 0
                assert all(shelf.read(entry) for entry in list(shelf.entries))
                break
    with worker(GUIDE, params, saving=saving(tmp_path)) as last:
        n = last.stats().saved_entries
        cached = [
            last.ask(tokens(ids, sampling=GREEDY, max_tokens=1)).generated.usage.cached_tokens
            for ids in prompts
        ]
        assert sorted(cached) == [0] * (8 - n) + [899] * n
        last.leave()
    PrefixFolder(tmp_path, 1 << 40, b"").trim()
    assert len(files(tmp_path)) == 8, "and nothing half written"


def _cut(state: bytearray) -> bytearray:
    return state[: len(state) // 2]


def _many_cells(state: bytearray) -> bytearray:
    """A cell count in the billions, if the third word is one."""
    struct.pack_into("<I", state, 8, 0x7FFFFFF0)
    return state


def _noise(state: bytearray) -> bytearray:
    return bytearray(random.Random(5).randbytes(len(state)))


@pytest.mark.parametrize("spoil", [_cut, _many_cells, _noise])
def test_a_state_that_llama_cpp_refuses_is_computed_anew(
    tmp_path: Path, spoil: Callable[[bytearray], bytearray]
) -> None:
    """Signed as if it were ours: what would come of a defect in what we write."""
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as first:
        text, _ = answer(first)
        first.leave()
    own = _identity_of(files(tmp_path)[0])
    shelf = SavedPrefixes(tmp_path / "engine", own, b"k" * 32)
    (entry,) = shelf.entries
    state = shelf.read(entry)
    assert state is not None
    shelf.drop(entry)
    assert shelf.keep(entry.tokens, spoil(state), float("inf"))
    with worker(GUIDE, PARAMS, saving=saving(tmp_path)) as second:
        assert second.stats().saved_entries == 1
        assert answer(second) == (text, 0)
        assert answer(second)[0] == text


def _identity_of(file: Path) -> bytes:
    data = file.read_bytes()
    (length,) = struct.unpack_from("<I", data, 8)
    identity: bytes = msgspec.msgpack.decode(data[12 : 12 + length])[0]
    return identity
