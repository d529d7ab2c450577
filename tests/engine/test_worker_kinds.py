"""Kinds of models and ways to load them, and files that are none, through real workers."""

from __future__ import annotations

import shutil
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ggufs import build, tiny_llama
from harness import GUIDE, Worker, chat, prompt, tokens, worker
from llama_cpp import llama_supports_gpu_offload

from kolo import wire
from kolo.errors import BadParameter, KoloError, LoadFailed, OutOfMemory, Unsupported
from kolo.types import Embed, LoadParams, Lora, Rerank, Sampling

GREEDY = Sampling(temperature=0)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def bert(models: Path) -> Iterator[Worker]:
    with worker(str(build(models, "bert"))) as started:
        yield started


def test_an_embedding_model_embeds_and_says_it_cannot_chat(bert: Worker) -> None:
    assert (bert.info.can_chat, bert.info.can_embed) == (False, True)
    result = bert.ask(Embed(inputs=["one", "two words", "one"])).result
    assert [len(vector) for vector in result.vectors] == [bert.info.n_embd] * 3
    assert result.vectors[0] == pytest.approx(result.vectors[2], abs=1e-5)
    assert result.vectors[0] != pytest.approx(result.vectors[1], abs=1e-3)
    assert isinstance(bert.ask(chat("hi")).error, Unsupported)


def test_many_documents_are_embedded_as_each_alone(bert: Worker) -> None:
    texts = [f"text number {i} " + "word " * (i % 7) for i in range(50)]
    together = bert.ask(Embed(inputs=list(texts))).result.vectors
    for text, vector in list(zip(texts, together, strict=True))[::10]:
        alone = bert.ask(Embed(inputs=[text])).result.vectors[0]
        assert vector == pytest.approx(alone, abs=1e-3)


def test_a_reranker_scores_each_document(models: Path) -> None:
    with worker(str(build(models, "reranker"))) as started:
        assert started.info.can_rerank
        op = Rerank(query="what", documents=["one", "two words", "one"])
        scores = started.ask(op).result.scores
    assert len(scores) == 3
    assert scores[0] == pytest.approx(scores[2], abs=1e-4)
    assert scores[0] != pytest.approx(scores[1], abs=1e-6)


def test_a_recurrent_model_reuses_whole_conversations_only(models: Path) -> None:
    with worker(str(build(models, "mamba")), LoadParams(parallel=2, ctx=512)) as started:
        first = started.ask(tokens(list(range(40, 90)), max_tokens=6, sampling=GREEDY))
        fork = tokens([*range(40, 80), 33, 34], max_tokens=6, sampling=GREEDY)
        forked = started.ask(fork)
        fresh = started.ask(
            tokens([*range(40, 80), 33, 34], max_tokens=6, sampling=GREEDY, cache_prompt=False)
        )
        again = started.ask(tokens(list(range(40, 90)), max_tokens=6, sampling=GREEDY))
    assert forked.generated.usage.cached_tokens == 0
    assert forked.text() == fresh.text()
    assert first.text() == again.text()


@pytest.mark.parametrize(
    "params",
    [
        LoadParams(kv_unified=True),
        LoadParams(kv_type_k="q8_0", kv_type_v="q8_0", flash_attn="on"),
        LoadParams(flash_attn="off"),
        LoadParams(mmap=False),
        LoadParams(batch=64, ubatch=32),
        LoadParams(rope_freq_base=20000.0, rope_freq_scale=0.5, rope_scaling="linear"),
        LoadParams(threads=2, threads_batch=1),
        LoadParams(parallel=1),
        LoadParams(cache_store_bytes=0),
        LoadParams(chat_template="{{ messages[0].content }}"),
    ],
    ids=lambda params: ",".join(sorted(set(params.__struct_fields__) & _set_in(params))),
)
def test_load_parameters_are_taken(params: LoadParams) -> None:
    with worker(GUIDE, params) as started:
        answer = started.ask(chat("What is Kolo?", max_tokens=12, sampling=GREEDY))
        assert answer.generated.usage.completion_tokens == 12
        if params.chat_template:
            assert answer.generated.usage.prompt_tokens < 8
            assert started.info.template_source == "given"


def _set_in(params: LoadParams) -> set[str]:
    default = LoadParams()
    return {n for n in params.__struct_fields__ if getattr(params, n) != getattr(default, n)}


def test_a_shared_pool_that_runs_full_delays_but_loses_nothing() -> None:
    params = LoadParams(parallel=6, ctx=256, kv_unified=True, threads=1)
    with worker(GUIDE, params) as started:
        long = Sampling(temperature=0, ignore_eos=True)
        ops = [tokens([300 + i] * 120, max_tokens=130, sampling=long) for i in range(10)]
        answers = started.wait(*(started.submit(op) for op in ops))
        stats = started.stats()
    assert [a.generated.usage.completion_tokens for a in answers] == [130] * 10
    assert all(slot.state == "idle" for slot in stats.slots)


def test_a_pool_smaller_than_its_streams_puts_the_newest_back_and_resumes_it() -> None:
    script = '{"cells": 500, "words": 100000}'
    params = LoadParams(parallel=4, ctx=400, kv_unified=True)
    with worker(script, params, backend="fake") as started:
        ops = [tokens([97 + i] * 50, max_tokens=200) for i in range(4)]
        together = started.wait(*(started.submit(op) for op in ops))
        alone = [started.ask(op).text() for op in ops]
        assert started.stats().preemptions > 0
    assert [a.text() for a in together] == alone


def test_a_model_without_a_template_gets_chatml_and_it_is_said(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "bare.gguf", template=None)
    with worker(str(path)) as started:
        assert started.info.template_source == "default"
        assert any("template" in note.message for note in started.notes)
        assert started.ask(chat("hi", max_tokens=3)).generated.usage.completion_tokens == 3


def test_a_template_that_does_not_compile_refuses_the_load(tmp_path: Path) -> None:
    path = tiny_llama(tmp_path / "bad.gguf", template="{% for %}")
    with pytest.raises(LoadFailed, match="template"), worker(str(path)):
        pass


def test_loading_tells_how_far_it_is() -> None:
    with worker(GUIDE) as started:
        fractions = [frame.fraction for frame in started.loading if frame.stage == "weights"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def damaged(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.gguf"
    data = Path(GUIDE).read_bytes()
    match kind:
        case "missing":
            return path
        case "empty":
            path.write_bytes(b"")
        case "text":
            path.write_text("<html>not found</html>")
        case "cut-data":
            path.write_bytes(data[: len(data) // 2])
        case "cut-header":
            path.write_bytes(data[:300])
        case "version":
            path.write_bytes(data[:4] + struct.pack("<I", 99) + data[8:])
        case "counts":
            path.write_bytes(data[:8] + struct.pack("<QQ", 2**60, 2**60) + data[24:])
        case "garbled":
            path.write_bytes(data[:24] + bytes(b ^ 0x5A for b in data[24:4096]) + data[4096:])
        case "folder":
            path.mkdir()
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "empty",
        "text",
        "cut-data",
        "cut-header",
        "version",
        "counts",
        "garbled",
        "folder",
    ],
)
def test_a_damaged_file_is_refused_and_the_worker_leaves(tmp_path: Path, kind: str) -> None:
    path = damaged(tmp_path, kind)
    with pytest.raises(KoloError) as caught, worker(str(path)):
        pass
    assert isinstance(caught.value, LoadFailed)
    assert path.name in caught.value.message
    assert caught.value.hint


def test_a_context_no_memory_can_hold_is_refused() -> None:
    params = LoadParams(ctx=2**26, parallel=64)
    with pytest.raises((OutOfMemory, LoadFailed)) as caught, worker(GUIDE, params):
        pass
    assert "ctx" in caught.value.hint or "context" in caught.value.message


@pytest.mark.skipif(llama_supports_gpu_offload(), reason="this llama.cpp has a GPU to use")
def test_layers_asked_for_without_a_gpu_are_refused_by_name() -> None:
    asked = LoadParams(gpu_layers=20)
    with pytest.raises(BadParameter, match="gpu_layers is 20") as caught, worker(GUIDE, asked):
        pass
    assert caught.value.param == "gpu_layers"
    assert "CMAKE_ARGS" in caught.value.hint
    with worker(GUIDE, LoadParams(gpu_layers=-1, ctx=64, parallel=1)) as started:
        assert started.ask(prompt("a", max_tokens=1)).error is None


def test_a_lora_that_is_none_is_refused_by_its_path(tmp_path: Path) -> None:
    adapter = shutil.copy(GUIDE, tmp_path / "adapter.gguf")
    with (
        pytest.raises(LoadFailed, match=r"adapter\.gguf"),
        worker(GUIDE, LoadParams(lora=[Lora(str(adapter))])),
    ):
        pass


def test_an_abort_inside_the_backend_ends_only_its_process() -> None:
    params = LoadParams(warmup=False)
    with worker('{"crash_after_calls": 40}', params, backend="fake") as started:
        started.submit(prompt("kolo", max_tokens=1000))
        with pytest.raises(ConnectionError):
            started.wait(1)
        assert started.process.wait(10) == -signal.SIGSEGV


def test_a_closed_socket_ends_the_worker_even_inside_a_long_decode() -> None:
    with worker('{"row_ms": 60000}', LoadParams(warmup=False), backend="fake") as started:
        started.submit(prompt("kolo"))
        process = started.process
    assert process.returncode == 0


def test_a_closed_socket_ends_the_worker_while_it_loads() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        command = [sys.executable, "-m", "kolo.engine.worker", "--fd", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        ours.sendall(wire.encode(wire.Load('{"hang_on_load": true}', LoadParams(), "fake")))
        ours.close()
        assert process.wait(20) == 0
