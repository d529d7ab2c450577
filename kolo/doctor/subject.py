"""What the checks share, read once and when it is first asked for."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from functools import cached_property
from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from kolo.errors import KoloError, LoadFailed

if TYPE_CHECKING:
    from kolo.config import Settings
    from kolo.config.reading import Reading
    from kolo.paths import Paths

LLAMA = "llama-cpp-python"
PROBE_S = 50.0


class Device(Struct, frozen=True):
    """What llama.cpp can compute on."""

    name: str
    gpu: bool
    free_bytes: int
    total_bytes: int


class Build(Struct, frozen=True):
    """A build of llama.cpp, as ``kolo.engine.llama.about`` tells of it."""

    version: str
    library: str
    system_info: str
    """``CPU : AVX = 1 | AVX2 = 1 | …``"""
    gpu_offload: bool
    devices: list[Device]

    @property
    def features(self) -> set[str]:
        """Those of the CPU that it was built to use, in its own words."""
        pairs = (part.partition("=") for part in self.system_info.replace(":", "|").split("|"))
        return {name.strip() for name, _, value in pairs if value.strip() == "1"}


class Subject:
    """This machine, this installation and this person's settings."""

    @cached_property
    def paths(self) -> Paths:
        """ConfigError where there is no home."""
        from kolo.paths import find_paths

        return find_paths(os.environ)

    @cached_property
    def reading(self) -> Reading:
        """The settings, with what is wrong about them."""
        from kolo.config.reading import read_settings

        return read_settings()

    @property
    def settings(self) -> Settings:
        """What is right of the settings."""
        return self.reading.settings

    @cached_property
    def build(self) -> Build:
        """The llama.cpp that is installed. LoadFailed where it cannot be loaded."""
        command = [sys.executable, "-P", "-m", "kolo.engine.llama.about"]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LoadFailed(
                f"llama.cpp cannot be loaded: nothing happened for {PROBE_S:g} s",
                hint="see whether a GPU's driver hangs: nvidia-smi, dmesg",
            ) from None
        if done.returncode:
            raise _why(done.returncode, done.stderr.decode("utf-8", "replace"))
        return msgspec.json.decode(done.stdout, type=Build)


def _why(code: int, said: str) -> KoloError:
    if code == -signal.SIGILL:
        return LoadFailed(
            "llama.cpp cannot be loaded: it was built for another CPU than this",
            hint=f"build it on this machine: {rebuild()}",
        )
    if code < 0:
        return LoadFailed(
            f"llama.cpp cannot be loaded: its process was ended by {signal.Signals(-code).name}",
            hint=f"install it anew: {reinstall()}",
        )
    last = (said.strip().splitlines() or ["it did not say why"])[-1]
    return LoadFailed(f"llama.cpp cannot be loaded: {last}", hint=f"install it anew: {reinstall()}")


def reinstall() -> str:
    """The command that replaces an installation of llama.cpp, by the version that Kolo needs."""
    return f"pip install --force-reinstall --no-deps {shlex.quote(_needed(LLAMA))}"


def _needed(package: str) -> str:
    """``package`` with its version, as this installation of Kolo asks for it."""
    try:
        needs = [each.partition(";")[0].strip() for each in requires("kolo-llm") or ()]
    except PackageNotFoundError:  # run from its source, never installed
        return package
    return next((need for need in needs if need.startswith(package)), package)


def rebuild(*flags: str) -> str:
    """The command that builds it on this machine, for this machine."""
    arguments = " ".join(("-DGGML_NATIVE=ON", *flags))
    return f'CMAKE_ARGS="{arguments}" {reinstall()} --no-binary {LLAMA}'
