"""What this build of llama.cpp is: ``python -m kolo.engine.llama.about`` prints it as JSON.

In a process of its own, because a library built for another CPU or driver may end the process
that loads it.
"""

from __future__ import annotations

import sys
from importlib.metadata import version

import msgspec

from kolo.engine.llama.bindings import llama_cpp
from kolo.engine.llama.devices import devices


def main() -> int:
    """Print it."""
    told = {
        "version": version("llama-cpp-python"),
        "library": str(llama_cpp._lib._name),
        "system_info": (llama_cpp.llama_print_system_info() or b"").decode(),
        "gpu_offload": bool(llama_cpp.llama_supports_gpu_offload()),
        "devices": [
            {
                "name": device.name,
                "gpu": device.is_gpu,
                "free_bytes": device.free_bytes,
                "total_bytes": device.total_bytes,
            }
            for device in devices()
        ],
    }
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
