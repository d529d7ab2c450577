"""What models write, family by family: reasoning, content and tool calls.

``detect`` tells the family from the chat template, once. Its dialect makes a reader for each
answer, which splits the text as it forms, and the grammar of calls that must be made.
"""

from __future__ import annotations

from kolo.engine.dialects.detect import detect
from kolo.engine.dialects.surface import Dialect, Piece, Reader, new_call_id, plain_reader

__all__ = ["Dialect", "Piece", "Reader", "detect", "new_call_id", "plain_reader"]
