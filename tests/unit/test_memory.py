from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ggufs
import psutil
import pytest

from kolo.errors import OutOfMemory
from kolo.manager.machine import Machine, available, physical_cores
from kolo.manager.memory import (
    Estimate,
    check_fit,
    default_ctx,
    default_parallel,
    estimate,
    human,
)
from kolo.models.ggml import BLOCKS
from kolo.models.gguf import read_model
from kolo.models.header import Header, TensorInfo
from kolo.types import LoadParams

MIB = 1 << 20
GIB = 1 << 30


def tensor(name: str, *shape: int, kind: str = "Q4_K") -> TensorInfo:
    block, block_bytes = BLOCKS[kind]
    n = 1
    for size in shape:
        n *= size
    return TensorInfo(name, shape, kind, 0, n, n // block * block_bytes)


def header(
    arch: str = "llama",
    *,
    layers: int,
    n_embd: int,
    n_head: int,
    n_head_kv: int | list[int],
    n_ff: int,
    vocab: int,
    head: int | None = None,
    experts: int = 0,
    used: int = 0,
    ctx: int = 131072,
    kind: str = "Q4_K",
    **more: Any,
) -> Header:
    """A header as a converted model of that shape has it."""
    metadata: dict[str, Any] = {
        "general.architecture": arch,
        "tokenizer.ggml.tokens": [""] * vocab,
        f"{arch}.block_count": layers,
        f"{arch}.embedding_length": n_embd,
        f"{arch}.context_length": ctx,
        f"{arch}.attention.head_count": n_head,
        f"{arch}.attention.head_count_kv": n_head_kv,
        **{f"{arch}.{key.replace('__', '.')}": value for key, value in more.items()},
    }
    if head:
        metadata |= {f"{arch}.attention.{key}_length": head for key in ("key", "value")}
    if used:
        metadata[f"{arch}.expert_used_count"] = used
    dim = (head or n_embd // n_head) * n_head
    tensors = [tensor("token_embd.weight", n_embd, vocab), tensor("output.weight", n_embd, vocab)]
    for i in range(layers):
        tensors.append(tensor(f"blk.{i}.attn_q.weight", n_embd, dim, kind=kind))
        suffix, shape = ("_exps", (experts,)) if experts else ("", ())
        for part in ("gate", "up") if arch != "bert" else ("up",):
            name = f"blk.{i}.ffn_{part}{suffix}.weight"
            tensors.append(tensor(name, n_embd, n_ff, *shape, kind=kind))
        tensors.append(tensor(f"blk.{i}.ffn_down{suffix}.weight", n_ff, n_embd, *shape, kind=kind))
    return Header(
        path=Path("model.gguf"),
        version=3,
        metadata=metadata,
        tensors=tensors,
        data_offset=0,
        file_bytes=sum(item.n_bytes for item in tensors),
        alignment=32,
    )


MODELS = {
    "0.5B": header(
        "qwen2", layers=24, n_embd=896, n_head=14, n_head_kv=2, n_ff=4864, vocab=151936, kind="F16"
    ),
    "4B": header(
        "qwen3", layers=36, n_embd=2560, n_head=32, n_head_kv=8, n_ff=9728, vocab=151936, head=128
    ),
    "8B": header(layers=32, n_embd=4096, n_head=32, n_head_kv=8, n_ff=14336, vocab=128256),
    "14B": header(layers=40, n_embd=5120, n_head=40, n_head_kv=8, n_ff=17408, vocab=151936),
    "30B-A3B": header(
        "qwen3moe", layers=48, n_embd=2048, n_head=32, n_head_kv=4, n_ff=768, vocab=151936,
        head=128, experts=128, used=8,
    ),
}  # fmt: skip
BERT = header(
    "bert", layers=12, n_embd=768, n_head=12, n_head_kv=12, n_ff=3072, vocab=149, ctx=8192,
    kind="F32",
)  # fmt: skip


# What llama.cpp reports ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "params", "kv_mib", "compute_mib"),
    [
        # Contexts of the pinned version, made with no_alloc, n_batch 2048 and n_outputs_max 32:
        # "llama_kv_cache: size" and "compute buffer size".
        ("0.5B", LoadParams(ctx=4096, parallel=1), 48, 39.51),
        ("0.5B", LoadParams(ctx=1000, parallel=4), 48, 36.51),
        ("0.5B", LoadParams(ctx=32768, parallel=1), 384, 67.51),
        ("0.5B", LoadParams(ctx=4096, parallel=4, ubatch=128), 192, 19.09),
        ("4B", LoadParams(ctx=4096, parallel=4), 2304, 84.01),
        ("4B", LoadParams(ctx=4096, parallel=1, flash_attn="off"), 576, 299.01),
        ("8B", LoadParams(ctx=4096, parallel=4), 2048, 120.01),
        ("8B", LoadParams(ctx=4096, parallel=4, ubatch=2048), 2048, 480.05),
        ("8B", LoadParams(ctx=4096, parallel=4, kv_unified=True), 2048, 132.01),
        ("8B", LoadParams(ctx=4096, parallel=4, kv_type_k="q8_0", kv_type_v="q8_0"), 1088, 112.09),
        ("8B", LoadParams(ctx=4096, parallel=4, kv_type_k="q4_0", kv_type_v="q4_0"), 576, 112.09),
        ("8B", LoadParams(ctx=4096, parallel=4, flash_attn="off"), 2048, 308.01),
        ("14B", LoadParams(ctx=32768, parallel=1), 5120, 174.01),
        ("30B-A3B", LoadParams(ctx=4096, parallel=4), 1536, 92.01),
    ],
)
def test_estimates_are_never_below_what_llama_cpp_takes(
    model: str, params: LoadParams, kv_mib: float, compute_mib: float
) -> None:
    found = estimate(MODELS[model], params)
    assert found.kv_bytes == kv_mib * MIB
    logits_bytes = 32 * 4 * MODELS[model].n_vocab
    compute_bytes = found.compute_bytes - logits_bytes
    assert compute_mib * MIB <= compute_bytes <= compute_mib * MIB * 1.25


def test_an_encoder_has_no_cache_and_computes_its_whole_text_at_once() -> None:
    found = estimate(BERT, LoadParams())
    assert found.kv_bytes == 0
    assert 298 * MIB <= found.compute_bytes <= 298 * MIB * 1.25
    assert (found.n_ctx, found.parallel) == (8192, 1)


def test_a_recurrent_model_has_a_state_for_each_request(tmp_path: Path) -> None:
    mamba = read_model(ggufs.tiny_mamba(tmp_path / "m.gguf", layers=1, n_embd=768))
    one, four = (estimate(mamba, LoadParams(parallel=n, ctx=4096)) for n in (1, 4))
    assert one.kv_bytes == (3 + 16) * 1536 * 4
    assert four.kv_bytes == 4 * one.kv_bytes
    assert estimate(mamba, LoadParams(parallel=1, ctx=8192)).kv_bytes == one.kv_bytes
    assert 19.63 * MIB <= one.compute_bytes <= 22 * MIB


# Parts ------------------------------------------------------------------------------------------


def test_the_total_is_the_sum_of_its_parts(tmp_path: Path) -> None:
    model = read_model(ggufs.tiny_llama(tmp_path / "m.gguf", quant="Q8_0", n_ctx=1024))
    found = estimate(model, LoadParams())
    assert found.weights_bytes == sum(item.n_bytes for item in model.tensors)
    assert found.kv_bytes == 4 * 1024 * 2 * 2 * 64 * 2
    assert (found.n_ctx, found.parallel, found.device_bytes, found.notes) == (1024, 4, 0, ())
    assert found.total_bytes == (
        found.weights_bytes + found.kv_bytes + found.compute_bytes + found.process_bytes
    )


def test_context_is_padded_as_llama_cpp_pads_it() -> None:
    assert estimate(MODELS["8B"], LoadParams(ctx=1000)).n_ctx == 1024
    assert estimate(MODELS["8B"], LoadParams(ctx=1024)).n_ctx == 1024


def test_repacked_weights_are_told_but_not_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    found = estimate(MODELS["8B"], LoadParams())
    table = next(item for item in MODELS["8B"].tensors if item.name == "token_embd.weight")
    assert found.repack_bytes == found.weights_bytes - table.n_bytes
    assert found.total_bytes < found.weights_bytes + found.repack_bytes + found.kv_bytes
    assert estimate(MODELS["8B"], LoadParams(mmap=False)).repack_bytes == 0
    assert estimate(MODELS["0.5B"], LoadParams()).repack_bytes == sum(
        item.n_bytes for item in MODELS["0.5B"].tensors if item.name == "output.weight"
    )


def test_layers_on_a_gpu_leave_the_host() -> None:
    host = estimate(MODELS["8B"], LoadParams(ctx=4096))
    none, half, everything = (
        estimate(MODELS["8B"], LoadParams(ctx=4096, gpu_layers=n)) for n in (0, 16, -1)
    )
    assert none == host
    assert everything.weights_bytes == everything.kv_bytes == 0
    assert everything.device_bytes == host.weights_bytes + host.kv_bytes
    assert half.weights_bytes + half.kv_bytes + half.device_bytes == everything.device_bytes
    assert host.weights_bytes > half.weights_bytes > 0
    kept = estimate(MODELS["8B"], LoadParams(ctx=4096, gpu_layers=99, kv_offload=False))
    assert (kept.kv_bytes, kept.weights_bytes) == (host.kv_bytes, 0)


def test_latent_attention_stores_keys_alone() -> None:
    shape: dict[str, Any] = dict(layers=27, n_embd=2048, n_head=16, n_ff=10944, vocab=1000)
    deepseek = header(
        "deepseek2", n_head_kv=1, attention__key_length=576, attention__value_length=512,
        attention__key_length_mla=192, **shape,
    )  # fmt: skip
    assert estimate(deepseek, LoadParams(ctx=4096, parallel=1)).kv_bytes == 27 * 4096 * 576 * 2


def test_only_attention_layers_of_a_hybrid_have_a_cache() -> None:
    shape: dict[str, Any] = dict(n_embd=512, n_head=8, n_ff=1024, vocab=1000, head=64)
    state: dict[str, Any] = dict(ssm__conv_kernel=4, ssm__inner_size=1024, ssm__state_size=16)
    row_bytes, state_bytes = 4 * 64 * 2 * 2, (3 * 1024 + 16 * 1024) * 4
    params = LoadParams(ctx=256, parallel=2)

    by_heads = header("jamba", layers=4, n_head_kv=[0, 4, 0, 4], **state, **shape)
    assert estimate(by_heads, params).kv_bytes == 2 * (2 * 256 * row_bytes + 2 * state_bytes)

    by_interval = header(
        "qwen3next", layers=8, n_head_kv=4, full_attention_interval=4, **state, **shape
    )
    assert estimate(by_interval, params).kv_bytes == 2 * (2 * 256 * row_bytes + 6 * state_bytes)
    assert estimate(by_interval, params).notes == ()

    unknown = header("falcon-h1", layers=4, n_head_kv=4, **state, **shape)
    assert estimate(unknown, params).kv_bytes == 2 * (4 * 256 * row_bytes + 4 * state_bytes)
    assert "counted twice" in estimate(unknown, params).notes[0]


def test_windowed_layers_are_counted_whole_and_it_is_said() -> None:
    shape: dict[str, Any] = dict(layers=4, n_embd=512, n_head=8, n_head_kv=4, n_ff=1024, vocab=9)
    plain, windowed = (
        header("gemma3", **shape),
        header("gemma3", attention__sliding_window=1024, **shape),
    )
    params = LoadParams(ctx=8192)
    assert estimate(plain, params).kv_bytes == estimate(windowed, params).kv_bytes
    assert "windowed layers" in estimate(windowed, params).notes[0]


def test_an_embedding_model_with_a_cache_computes_logits_for_every_token() -> None:
    causal = header(
        "qwen3", layers=2, n_embd=512, n_head=8, n_head_kv=4, n_ff=1024, vocab=10_000, ctx=2048,
        pooling_type=3,
    )  # fmt: skip
    found = estimate(causal, LoadParams())
    assert found.kv_bytes == 2 * 2048 * 2 * 4 * 64 * 2
    assert found.compute_bytes > 2048 * 10_000 * 4


# Defaults -----------------------------------------------------------------------------------------


def test_default_parallel() -> None:
    assert (default_parallel(MODELS["8B"]), default_parallel(BERT)) == (4, 1)


@pytest.mark.parametrize(
    ("trained", "parallel", "ctx"),
    [(131072, None, 8192), (131072, 1, 32768), (2048, None, 2048), (128, 1, 128), (0, None, 4096)],
)
def test_default_ctx_with_memory_to_spare(trained: int, parallel: int | None, ctx: int) -> None:
    model = header(
        layers=2, n_embd=64, n_head=2, n_head_kv=2, n_ff=128, vocab=9, ctx=trained, kind="F32"
    )
    assert default_ctx(model, LoadParams(parallel=parallel), 64 * GIB) == ctx


def test_default_ctx_leaves_half_of_what_the_weights_leave() -> None:
    model, params = MODELS["8B"], LoadParams()
    for free_bytes in (12 * GIB, 10 * GIB, 9 * GIB):
        ctx = default_ctx(model, params, free_bytes)
        assert ctx % 256 == 0
        found = estimate(model, LoadParams(ctx=ctx))
        fixed_bytes = found.weights_bytes + found.process_bytes
        assert found.kv_bytes <= (free_bytes - fixed_bytes) / 2
        assert found.total_bytes < free_bytes
    assert default_ctx(model, params, 0) == 256


# Fit ----------------------------------------------------------------------------------------------


def test_what_fits_gives_its_estimate() -> None:
    params = LoadParams(ctx=4096)
    assert check_fit(MODELS["8B"], params, 64 * GIB) == estimate(MODELS["8B"], params)


def refused(model: Header, params: LoadParams, free_bytes: int) -> OutOfMemory:
    with pytest.raises(OutOfMemory) as caught:
        check_fit(model, params, free_bytes, "group /x")
    return caught.value


def fits(model: Header, params: LoadParams, free_bytes: int) -> Estimate:
    return check_fit(model, params, free_bytes)


def test_what_does_not_fit_is_told_with_all_numbers_and_with_what_would() -> None:
    model, params = MODELS["8B"], LoadParams(ctx=32768, parallel=4)
    free_bytes = 18 * GIB
    need = estimate(model, params)
    error = refused(model, params, free_bytes)
    assert error.message == (
        f"model.gguf needs {human(need.total_bytes)} of memory "
        f"(weights {human(need.weights_bytes)}, KV cache 17.2 GB (4 x 32768 tokens), "
        f"computing {human(need.compute_bytes + need.process_bytes)}), "
        f"19.3 GB are free on group /x: {human(need.total_bytes - free_bytes)} too few"
    )
    assert error.hint == (
        "It would fit with ctx 16384, or parallel 2, or kv_type_k and kv_type_v q8_0."
    )
    assert fits(model, LoadParams(ctx=16384, parallel=4), free_bytes)
    assert fits(model, LoadParams(ctx=32768, parallel=2), free_bytes)


def test_changes_that_cannot_be_made_are_not_proposed() -> None:
    params = LoadParams(ctx=32768, parallel=1, flash_attn="off")
    hint = refused(MODELS["8B"], params, 9 * GIB).hint
    assert "ctx" in hint
    assert "parallel" not in hint
    assert "kv_type" not in hint


def test_weights_too_large_for_the_machine_need_a_smaller_model() -> None:
    assert "smaller quant" in refused(MODELS["14B"], LoadParams(), 2 * GIB).hint


def test_human() -> None:
    assert [human(n) for n in (0, 1, 320 * 10**6, 10**9 - 1, 10**9, 3 * 10**9 // 2)] == [
        "0 MB", "1 MB", "320 MB", "1000 MB", "1.0 GB", "1.5 GB",
    ]  # fmt: skip


# The machine --------------------------------------------------------------------------------------


class Kernel:
    """Fake /proc/self/cgroup, /sys/fs/cgroup and CPU topology."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.cgroups, self.cpus = folder / "proc", folder / "cgroup", folder / "cpu"
        self.proc.write_text("0::/user/app\n")

    def write(self, name: str, content: object) -> None:
        path = self.cgroups / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")

    def memory(self) -> Machine:
        return available(self.proc, self.cgroups)

    def cores(self) -> int:
        return physical_cores(self.proc, self.cgroups, self.cpus)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    class Memory:
        total, available = 16 * GIB, 8 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", lambda: Memory)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    return Kernel(tmp_path)


def test_without_control_groups_the_machine_counts(kernel: Kernel) -> None:
    kernel.proc.unlink()
    assert kernel.memory() == Machine(16 * GIB, 8 * GIB, "this machine")


def test_a_group_without_a_limit_changes_nothing(kernel: Kernel) -> None:
    kernel.write("user/app/memory.max", "max")
    kernel.write("user/app/memory.current", GIB)
    assert kernel.memory().limit == "this machine"


def test_the_tightest_group_counts_its_file_cache_being_free(kernel: Kernel) -> None:
    kernel.write("user/app/memory.max", 6 * GIB)
    kernel.write("user/app/memory.current", 1 * GIB)
    kernel.write("user/memory.max", 4 * GIB)
    kernel.write("user/memory.current", 3 * GIB)
    kernel.write("user/memory.stat", f"anon 5\ninactive_file {2 * GIB}")
    assert kernel.memory() == Machine(4 * GIB, 3 * GIB, str(kernel.cgroups / "user"))


def test_a_roomy_group_on_a_full_machine_does_not_count(kernel: Kernel) -> None:
    kernel.write("user/app/memory.max", 12 * GIB)
    kernel.write("user/app/memory.current", 0)
    assert kernel.memory().limit == "this machine"


def test_a_container_that_sees_its_group_as_the_root(kernel: Kernel) -> None:
    kernel.proc.write_text("0::/\n")
    kernel.write("memory.max", GIB)
    kernel.write("memory.current", 2 * GIB)
    assert kernel.memory() == Machine(GIB, 0, str(kernel.cgroups))


def test_version_one_groups(kernel: Kernel) -> None:
    kernel.proc.write_text("9:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/\n")
    kernel.write("memory/docker/x/memory.limit_in_bytes", 2 * GIB)
    kernel.write("memory/docker/x/memory.usage_in_bytes", GIB)
    kernel.write("memory/memory.limit_in_bytes", 2**63 - 4096)
    kernel.write("memory/memory.usage_in_bytes", GIB)
    kernel.write("cpu/docker/x/cpu.cfs_quota_us", 250_000)
    kernel.write("cpu/docker/x/cpu.cfs_period_us", 100_000)
    assert kernel.memory().total_bytes == 2 * GIB
    assert kernel.cores() == 2


def test_hyper_threads_count_once(kernel: Kernel) -> None:
    for cpu, siblings in enumerate(("0,2", "1,3", "0,2", "1,3")):
        topology = kernel.cpus / f"cpu{cpu}" / "topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(siblings)
    assert kernel.cores() == 2


def test_unknown_topology_counts_every_cpu_allowed(kernel: Kernel) -> None:
    assert kernel.cores() == 4


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 4), ("150000 100000", 1), ("50000 100000", 1), ("300000 100000", 3)],
)
def test_cpu_quota_is_rounded_down_to_at_least_one(kernel: Kernel, quota: str, cores: int) -> None:
    kernel.write("user/app/cpu.max", quota)
    assert kernel.cores() == cores


def test_this_machine_answers() -> None:
    found = available()
    assert 0 < found.available_bytes <= found.total_bytes
    assert 1 <= physical_cores() <= len(os.sched_getaffinity(0))
