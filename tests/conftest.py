"""What every test may rely on."""

from __future__ import annotations

import sys
from pathlib import Path

# Helpers that are no tests: GGUF writers, the worker harness.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "engine")]
