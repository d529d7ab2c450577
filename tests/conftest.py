"""What every test may rely on."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# The same examples each time, so that a change is judged by what it changed; a search for new
# ones is `./dev test --hypothesis-profile default`.
settings.register_profile("steady", derandomize=True)
settings.load_profile("steady")

# Helpers that are no tests: GGUF writers, the worker harness.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "engine")]
