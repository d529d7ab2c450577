"""GPUs and their drivers, memory, disk, and whether the default model has room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kolo.doctor.report import Finding, fail, ok, warn
from kolo.doctor.subject import Subject

if TYPE_CHECKING:
    from kolo.snapshot import Gpu

LOW_MEMORY = 0.1
"""Of all memory: with less free than that a model is more likely to fail than not."""
LOW_DISK_BYTES = 5 * 10**9
NO_DISK_BYTES = 200 * 10**6
HOT_C = 90.0


def gpus(subject: Subject) -> Iterator[Finding]:
    """Each GPU with its driver, and whether it is held back."""
    from kolo.manager.machine import gpu_present
    from kolo.monitor.gpu import gpus_of_this_machine

    found = gpus_of_this_machine()()
    for gpu in found:
        yield judged(gpu)
    if not found and gpu_present():
        yield warn(
            "gpu",
            "there is one, and its driver does not answer",
            "nvidia-smi or rocm-smi says more; in a container, is the GPU passed in?",
        )
    elif not found:
        yield ok("gpu", "none: models run on the CPU")


def judged(gpu: Gpu) -> Finding:
    """What to say of one GPU."""
    from kolo.manager.memory import human

    parts = [gpu.name or gpu.id]
    if gpu.driver:
        parts.append(f"driver {gpu.driver}")
    if gpu.memory_total_bytes and gpu.memory_used_bytes is not None:
        free = gpu.memory_total_bytes - gpu.memory_used_bytes
        parts.append(f"{human(free)} of {human(gpu.memory_total_bytes)} free")
    what = ", ".join(parts)
    hot = gpu.temperature_c is not None and gpu.temperature_c >= HOT_C
    held = [word for word in gpu.throttle or () if word not in ("clocks set", "sync boost")]
    if hot or held:
        why = ", ".join(held) or f"{gpu.temperature_c:.0f} °C"
        return warn("gpu", f"{what}: held back ({why})", "cooling, power supply, power limit")
    return ok("gpu", what)


def memory(subject: Subject) -> Iterator[Finding]:
    """What is free, in the control group too."""
    from kolo.manager.machine import available
    from kolo.manager.memory import human

    machine = available()
    what = f"{human(machine.available_bytes)} of {human(machine.total_bytes)} free"
    if machine.limit != "this machine":
        what += f", by the limit of {machine.limit}"
    if machine.available_bytes < LOW_MEMORY * machine.total_bytes:
        yield warn("memory", what, "kolo ps and kolo unload, or stop what else needs much")
    else:
        yield ok("memory", what)


def disk(subject: Subject) -> Iterator[Finding]:
    """Where models and state are kept; a file system once."""
    from kolo.manager.memory import human

    store = subject.settings.store.dir
    folders = {
        "models": Path(store) if store else subject.paths.data,
        "state": subject.paths.state,
        "cache": subject.paths.cache,
    }
    devices: dict[int, list[str]] = {}
    places: dict[int, Path] = {}
    for name, folder in folders.items():
        place = existing(folder)
        device = os.stat(place).st_dev
        devices.setdefault(device, []).append(name)
        places.setdefault(device, place)
    for device, names in devices.items():
        free = shutil.disk_usage(places[device]).free
        what = f"{human(free)} free for {', '.join(names)} ({places[device]})"
        if free < NO_DISK_BYTES:
            yield fail("disk", what, "kolo prune, or kolo rm what is not needed")
        elif free < LOW_DISK_BYTES:
            yield warn("disk", what, "kolo prune; most models are larger")
        else:
            yield ok("disk", what)


def existing(folder: Path) -> Path:
    """The folder, or the nearest above it that is there."""
    while not folder.exists():
        folder = folder.parent
    return folder


def model(subject: Subject) -> Iterator[Finding]:
    """The default model is there and has room."""
    from kolo.manager.machine import available
    from kolo.manager.memory import estimate, human
    from kolo.models.gguf import read_model
    from kolo.models.resolve import resolve

    name = subject.settings.default_model
    spec = resolve(name, subject.settings)
    header = read_model(spec.path)
    if refusal := header.refusal():
        yield fail("model", f"{name}: {refusal}", "another default_model in the settings")
        return
    need = estimate(header, spec.params).total_bytes
    free = available().available_bytes
    if need > free:
        yield warn(
            "model",
            f"{name} needs {human(need)}, and {human(free)} are free",
            "a smaller context (engine.ctx), fewer slots (engine.parallel), or a smaller quant",
        )
    else:
        yield ok("model", f"{name} (the default) is there and fits: {human(need)}")
