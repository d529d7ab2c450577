"""llama-cpp-python's low-level bindings, without the rest of its package.

Importing the package imports its high-level classes and what those need, which takes five times
as long as the bindings; nothing here uses them. So the package is stood in for by an empty one in
the same place.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path
from typing import Any

import msgspec

from kolo.engine.saved import fingerprint

_LIBRARY = re.compile(r"(lib)?(llama|ggml)[^/]*\.(so|dylib|dll)\b")


def _load() -> Any:
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError("No module named 'llama_cpp'", name="llama_cpp")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    return importlib.import_module("llama_cpp.llama_cpp")


llama_cpp = _load()


def build() -> str:
    """Tells this build of llama.cpp, on a processor like this, from any other."""
    folder = Path(llama_cpp._lib._name).resolve().parent
    libraries = [path for path in sorted(folder.iterdir()) if _LIBRARY.match(path.name)]
    prints = [fingerprint(str(path)) for path in libraries if path.is_file()]
    features = llama_cpp.llama_print_system_info() or b""
    return hashlib.sha256(msgspec.msgpack.encode([prints, features])).hexdigest()
