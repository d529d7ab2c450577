"""Saved prefixes: what is written is what is read, and nothing else ever is."""

from __future__ import annotations

import errno
import os
import random
import time
from array import array
from pathlib import Path

import pytest

from kolo.engine import saved as saved_module
from kolo.engine.fake import FakeBackend, Script
from kolo.engine.prefix import READ_MS_PER_BYTE, PrefixCache
from kolo.engine.saved import SavedPrefixes, fingerprint, identity
from kolo.types import LoadParams, Lora, Sampling

KEY = b"k" * 32
OWN = b"i" * 32
TOKENS = array("i", range(100))
STATE = random.Random(1).randbytes(300_000)
LATER_S = time.monotonic() + 3600


def shelf(folder: Path, own: bytes = OWN, key: bytes = KEY) -> SavedPrefixes:
    return SavedPrefixes(folder / "engine", own, key)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A folder's only file, whole."""
    assert shelf(tmp_path).keep(TOKENS, STATE, LATER_S)
    (found,) = (tmp_path / "engine").iterdir()
    return found


def test_what_was_saved_is_there_at_the_next_load(tmp_path: Path, file: Path) -> None:
    again = shelf(tmp_path)
    (entry,) = again.entries
    assert entry.tokens == TOKENS
    assert again.n_bytes == len(STATE)
    assert again.read(entry) == STATE
    assert file.exists(), "a worker that crashes after it was read loses nothing"


def test_what_another_has_removed_is_not_taken_for_saved(tmp_path: Path, file: Path) -> None:
    again = shelf(tmp_path)
    assert again.find(TOKENS) is not None
    file.unlink()
    assert again.find(TOKENS) is None


def test_files_are_the_owners_alone(tmp_path: Path, file: Path) -> None:
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("length", [0, 5, 12, 40, 450, 600, -STATE.__len__(), -1])
def test_a_torn_file_is_deleted_and_never_read(tmp_path: Path, file: Path, length: int) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[:length])
    again = shelf(tmp_path)
    assert again.entries == []
    assert again.n_discarded == 1
    assert not file.exists()


def test_one_that_is_too_long_is_deleted(tmp_path: Path, file: Path) -> None:
    with file.open("ab") as more:
        more.write(b"x")
    assert shelf(tmp_path).entries == []


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_byte_anywhere_is_found(tmp_path: Path, file: Path, seed: int) -> None:
    data = bytearray(file.read_bytes())
    at = random.Random(seed).randrange(len(data) if seed % 2 else 500)
    data[at] ^= 1 << seed % 8
    file.write_bytes(data)
    again = shelf(tmp_path)
    assert [again.read(entry) for entry in list(again.entries)] in ([], [None])
    assert again.entries == []
    assert not file.exists()


def test_a_file_changed_between_the_load_and_its_use_is_not_given_out(
    tmp_path: Path, file: Path
) -> None:
    again = shelf(tmp_path)
    data = file.read_bytes()
    file.write_bytes(data[:-1] + b"?")
    assert again.read(again.entries[0]) is None
    assert again.entries == []


def test_another_whole_file_in_its_place_is_not_given_out(tmp_path: Path, file: Path) -> None:
    again = shelf(tmp_path)
    other = shelf(tmp_path / "other")
    assert other.keep(array("i", range(7, 107)), STATE, LATER_S)
    os.replace(other.entries[0].path, file)
    assert again.read(again.entries[0]) is None


def test_what_another_server_wrote_is_not_believed(tmp_path: Path, file: Path) -> None:
    assert shelf(tmp_path, key=b"x" * 32).entries == []
    assert not file.exists()


def test_what_belongs_to_another_model_is_deleted(tmp_path: Path, file: Path) -> None:
    assert shelf(tmp_path, own=b"o" * 32).entries == []
    assert not file.exists()


def test_a_file_that_others_may_write_is_not_read(tmp_path: Path, file: Path) -> None:
    file.chmod(0o660)
    assert shelf(tmp_path).entries == []


def test_neither_a_link_nor_a_pipe_nor_a_folder_is_opened(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "target"
    file.rename(target)
    file.symlink_to(target)
    os.mkfifo(file.with_name("pipe.kv"), 0o600)
    file.with_name("folder.kv").mkdir()
    assert shelf(tmp_path).entries == []
    assert target.exists()


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    here = shelf(tmp_path)
    assert not here.keep(TOKENS, STATE, LATER_S)
    assert here.problem == os.strerror(errno.ENOSPC)
    assert here.entries == []
    assert list((tmp_path / "engine").iterdir()) == []


def test_one_that_takes_too_long_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    here = shelf(tmp_path)
    assert not here.keep(TOKENS, STATE, time.monotonic() - 1)
    assert "time" in here.problem
    assert list((tmp_path / "engine").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "engine").write_text("a file")
    here = shelf(tmp_path)
    assert not here.keep(TOKENS, STATE, LATER_S)
    assert here.problem


def test_a_longer_one_takes_the_place_of_what_it_begins_with(tmp_path: Path) -> None:
    here = shelf(tmp_path)
    longer = array("i", range(200))
    other = array("i", [5] * 100)
    for tokens in (TOKENS, other, longer):
        assert here.keep(tokens, STATE, LATER_S)
    assert [entry.tokens for entry in here.entries] == [other, longer]
    assert sorted(map(len, (e.tokens for e in shelf(tmp_path).entries))) == [100, 200]


def test_the_last_used_one_is_last_also_after_a_load(tmp_path: Path) -> None:
    here = shelf(tmp_path)
    for start in (0, 1000, 2000):
        assert here.keep(array("i", range(start, start + 70)), STATE, LATER_S)
    for at, entry in enumerate(here.entries):
        os.utime(entry.path, (at, at))
    assert here.read(here.entries[0])
    assert [e.tokens[0] for e in here.entries] == [1000, 2000, 0]
    assert [e.tokens[0] for e in shelf(tmp_path).entries] == [1000, 2000, 0]


def test_there_is_a_bound_to_how_many_a_prompt_is_held_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_module, "MAX_ENTRIES", 3)
    here = shelf(tmp_path)
    for start in range(5):
        assert here.keep(array("i", range(start, start + 70)), b"state", LATER_S)
    assert [e.tokens[0] for e in here.entries] == [2, 3, 4]
    assert len(list((tmp_path / "engine").iterdir())) == 3


# What they belong to ---------------------------------------------------------------------


def test_the_identity_changes_with_the_file_its_adapters_and_what_shapes_the_kv(
    tmp_path: Path,
) -> None:
    model, adapter = tmp_path / "m.gguf", tmp_path / "a.gguf"
    model.write_bytes(b"model")
    adapter.write_bytes(b"adapter")
    base = LoadParams(ctx=4096, parallel=4)
    seen = {
        identity([str(model)], params)
        for params in (
            base,
            LoadParams(ctx=8192, parallel=4),
            LoadParams(ctx=4096, parallel=8),
            LoadParams(ctx=4096, parallel=4, kv_type_k="q8_0"),
            LoadParams(ctx=4096, parallel=4, flash_attn="off"),
            LoadParams(ctx=4096, parallel=4, rope_freq_base=1e6),
            LoadParams(ctx=4096, parallel=4, lora=[Lora(str(adapter))]),
            LoadParams(ctx=4096, parallel=4, lora=[Lora(str(adapter), 0.5)]),
        )
    }
    os.utime(model, (1, 1))
    seen.add(identity([str(model)], base))
    model.write_bytes(b"other")
    os.utime(model, (1, 1))
    seen.add(identity([str(model)], base))
    assert len(seen) == 10


def test_what_leaves_the_kv_as_it_is_does_not_matter(tmp_path: Path) -> None:
    base = LoadParams(ctx=4096, parallel=4)
    for other in (
        LoadParams(ctx=4096, parallel=4, threads=3, batch=64, warmup=False),
        LoadParams(ctx=4096, parallel=4, sampling=Sampling(temperature=0.1), speculation="off"),
    ):
        assert identity(["m"], base) == identity(["m"], other)


def test_fields_without_effect_are_fields_there_are() -> None:
    assert set(LoadParams.__struct_fields__) >= saved_module._WITHOUT_EFFECT


def test_a_large_file_is_told_by_its_ends(tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(bytes(1 << 20))
    os.utime(file, (1, 1))
    before = fingerprint(str(file))
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"x")
    os.utime(file, (1, 1))
    assert fingerprint(str(file)) != before


# In the cache ----------------------------------------------------------------------------


def cache(folder: Path, **params: int) -> tuple[FakeBackend, PrefixCache]:
    backend = FakeBackend(Script(), LoadParams(**{"parallel": 2, "ctx": 4096, **params}))
    return backend, PrefixCache(backend, 1 << 20, shelf(folder))


def feed(backend: FakeBackend, held: PrefixCache, tokens: array[int]) -> int:
    """Compute a prompt as a request would, and leave it cached; how many tokens were."""
    slot = held.place(tokens)
    assert slot is not None
    reused = len(slot.tokens)
    for at in range(reused, len(tokens)):
        backend.decode([tokens[at]], [at], [slot.id], [0])
        slot.tokens.append(tokens[at])
    held.release(slot)
    return reused


def prompt(seed: int, length: int = 200) -> array[int]:
    return array("i", random.Random(seed).choices(range(200), k=length))


def test_what_was_in_slots_and_in_the_store_is_reused_by_the_next_engine(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    for seed in range(4):
        assert feed(backend, held, prompt(seed)) == 0
    assert len(held.store) == 2
    kept = held.save_all(LATER_S, 1 << 30)
    assert (kept.n, kept.left_out) == (4, 0)
    backend, held = cache(tmp_path)
    for seed in range(4):
        assert feed(backend, held, prompt(seed)) == 199
    assert held.counters.restores == 4


def test_a_restored_one_that_grew_replaces_its_file(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1))
    held.save_all(LATER_S, 1 << 30)
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1) + prompt(2))
    assert held.save_all(LATER_S, 1 << 30).n == 1
    (entry,) = shelf(tmp_path).entries
    assert entry.tokens == prompt(1) + prompt(2)


def test_one_that_did_not_change_is_not_written_again(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1))
    held.save_all(LATER_S, 1 << 30)
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1))
    kept = held.save_all(LATER_S, 1 << 30)
    assert (kept.n, kept.left_out) == (0, 0)


def test_the_last_used_are_saved_when_not_all_have_room(tmp_path: Path) -> None:
    backend, held = cache(tmp_path, parallel=3)
    for seed in range(3):
        feed(backend, held, prompt(seed))
    kept = held.save_all(LATER_S, 2 * 4 * 200)
    assert (kept.n, kept.left_out) == (2, 1)
    saved = {tuple(entry.tokens) for entry in shelf(tmp_path).entries}
    assert saved == {tuple(prompt(1)), tuple(prompt(2))}


def test_what_was_used_last_is_last_to_go_whatever_was_written_first(tmp_path: Path) -> None:
    backend, held = cache(tmp_path, parallel=3)
    for seed in range(3):
        feed(backend, held, prompt(seed))
    held.save_all(LATER_S, 1 << 30)
    assert [entry.tokens for entry in shelf(tmp_path).entries] == [prompt(n) for n in range(3)]
    backend, held = cache(tmp_path, parallel=3)
    feed(backend, held, prompt(0))
    held.save_all(LATER_S, 1 << 30)
    assert [entry.tokens for entry in shelf(tmp_path).entries] == [prompt(n) for n in (1, 2, 0)]


def test_short_ones_are_not_worth_a_file(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1, length=30))
    assert held.save_all(LATER_S, 1 << 30).n == 0


def test_one_that_takes_longer_to_read_than_to_compute_is_left_alone(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1))
    held.save_all(LATER_S, 1 << 30)
    quick = 0.99 * 4 * 200 * READ_MS_PER_BYTE / 199
    for token_ms, reused in ((quick, 0), (2 * quick, 199)):
        backend = FakeBackend(Script(), LoadParams(parallel=2, ctx=4096))
        held = PrefixCache(backend, 0, shelf(tmp_path), lambda ms=token_ms: ms)
        assert feed(backend, held, prompt(1)) == reused


def test_a_damaged_one_costs_its_reuse_and_nothing_else(tmp_path: Path) -> None:
    backend, held = cache(tmp_path)
    feed(backend, held, prompt(1))
    held.save_all(LATER_S, 1 << 30)
    backend, held = cache(tmp_path)
    (file,) = (tmp_path / "engine").iterdir()
    file.write_bytes(file.read_bytes()[:-4] + b"torn")
    assert feed(backend, held, prompt(1)) == 0
    assert feed(backend, held, prompt(1)) == 199


def test_the_state_of_a_recurrent_model_is_used_whole_or_not_at_all(tmp_path: Path) -> None:
    def recurrent() -> tuple[FakeBackend, PrefixCache]:
        backend = FakeBackend(Script(can_trim=False), LoadParams(parallel=2, ctx=4096))
        return backend, PrefixCache(backend, 1 << 20, shelf(tmp_path))

    backend, held = recurrent()
    feed(backend, held, prompt(1))
    held.save_all(LATER_S, 1 << 30)
    backend, held = recurrent()
    assert feed(backend, held, prompt(1)[:150] + prompt(2)) == 0
    assert feed(backend, held, prompt(1) + prompt(2)) == 200
