"""llama-cpp-python's low-level bindings, without the rest of its package.

Importing the package imports its high-level classes and what those need, which takes five times
as long as the bindings; nothing here uses them. So the package is stood in for by an empty one in
the same place.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import Any


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
