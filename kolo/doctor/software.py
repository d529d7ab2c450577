"""Python, the libraries, and llama.cpp's build against this CPU."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from kolo.doctor.report import Finding, fail, ok, warn
from kolo.doctor.subject import Subject, rebuild

DISTRIBUTION = "kolo-llm"
OLDEST = (3, 11)
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*([^;]*)(;.*)?$")

X86_FEATURES = {
    "avx": "AVX", "avx2": "AVX2", "fma": "FMA", "f16c": "F16C", "bmi2": "BMI2",
    "avx512f": "AVX512", "avx512vbmi": "AVX512_VBMI", "avx512_vnni": "AVX512_VNNI",
    "avx512_bf16": "AVX512_BF16", "avx_vnni": "AVX_VNNI", "amx_int8": "AMX_INT8",
}  # fmt: skip
ARM_FEATURES = {"asimd": "NEON", "asimddp": "DOTPROD", "i8mm": "MATMUL_INT8", "sve": "SVE"}
"""What Linux calls a feature in /proc/cpuinfo, and what llama.cpp's system info calls it."""


def python(subject: Subject) -> Iterator[Finding]:
    version = platform.python_version()
    what = f"{platform.python_implementation()} {version}, {sys.executable}"
    if sys.version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield fail("python", f"{what}: too old", f"install Kolo with Python {oldest} or newer")
    else:
        yield ok("python", what)


def libraries(subject: Subject) -> Iterator[Finding]:
    """Every library that Kolo requires: there, and in a version that it was made for."""
    wrong = []
    count = 0
    for line in metadata.requires(DISTRIBUTION) or ():
        match = _REQUIREMENT.match(line)
        if match is None or "extra ==" in (match[3] or ""):
            continue
        count += 1
        name, wanted = match[1], match[2].strip()
        problem = version_problem(name, wanted)
        if problem:
            wrong.append((f"{name}{wanted}", problem))
    for requirement, problem in wrong:
        yield fail("libraries", problem, f"pip install '{requirement}'")
    if not wrong:
        yield ok("libraries", f"all {count} are there")


def version_problem(name: str, wanted: str) -> str:
    """Why a library is not as ``wanted`` (``>=2,<3``); empty if it is."""
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError:
        return f"{name} is not installed"
    for condition in filter(None, wanted.split(",")):
        sign, limit = re.match(r"([=<>!~]+)\s*(.+)", condition.strip()).groups()  # type: ignore[union-attr]
        have, bound = _numbers(found), _numbers(limit)
        good = {
            "==": have == bound,
            ">=": have >= bound,
            "<": have < bound,
        }.get(sign, True)
        if not good:
            return f"{name} {found} is installed, and Kolo needs {sign}{limit}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    """Without trailing zeros: 2.0 is 2."""
    numbers = [int(part) for part in re.findall(r"\d+", re.split(r"[a-z+-]", version)[0])]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def llama_cpp(subject: Subject) -> Iterator[Finding]:
    """It can be loaded, and computes where this machine computes best."""
    build = subject.build
    from kolo.manager.machine import gpu_present

    gpus = [device for device in build.devices if device.gpu]
    on = ", ".join(device.name for device in gpus) or "the CPU alone"
    what = f"llama-cpp-python {build.version}, computes on {on}"
    if gpu_present() and not gpus:
        flag = _gpu_flag()
        yield warn(
            "llama.cpp",
            f"{what}, and this machine has a GPU",
            f"build it for the GPU: {rebuild(flag)}",
        )
    else:
        yield ok("llama.cpp", what)


def _gpu_flag() -> str:
    """The backend for the GPU that is here."""
    if next(Path("/dev").glob("nvidia[0-9]*"), None):
        return "-DGGML_CUDA=ON"
    return "-DGGML_HIP=ON" if Path("/dev/kfd").exists() else "-DGGML_VULKAN=ON"


def cpu(subject: Subject) -> Iterator[Finding]:
    """What the CPU can do against what llama.cpp was built to use."""
    features = subject.build.features
    from kolo.manager.machine import physical_cores

    cores = physical_cores()
    name, flags = read_cpu()
    what = f"{name or platform.machine()}, {cores} core{'s' * (cores != 1)}"
    yield from against_build(what, flags, features)


def against_build(what: str, flags: set[str], used: set[str]) -> Iterator[Finding]:
    """``flags`` are /proc/cpuinfo's, ``used`` llama.cpp's; what neither names is not judged."""
    names = {**X86_FEATURES, **ARM_FEATURES}
    can = {shown for flag, shown in names.items() if flag in flags}
    needs = used & set(names.values())
    if not flags:
        yield ok("cpu", what)
    elif needs - can:
        yield fail(
            "cpu",
            f"{what}: llama.cpp was built to use {_list(needs - can)}, which it does not have",
            f"build it on this machine: {rebuild()}",
        )
    elif can - needs:
        yield warn(
            "cpu",
            f"{what}: llama.cpp was built without {_list(can - needs)}, which it has",
            f"for more speed, build it on this machine: {rebuild()}",
        )
    else:
        yield ok("cpu", f"{what}; llama.cpp uses all of {_list(can) or 'it'}")


def read_cpu(file: Path = Path("/proc/cpuinfo")) -> tuple[str, set[str]]:
    """Its name and its features; empty where the system does not say."""
    try:
        text = file.read_text()
    except OSError:
        return "", set()
    found = dict(
        (key.strip(), value.strip())
        for key, separator, value in (line.partition(":") for line in text.splitlines())
        if separator
    )
    return found.get("model name", ""), set(
        (found.get("flags") or found.get("Features") or "").split()
    )


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))
