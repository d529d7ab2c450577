"""llama-server's own POST /completion, and /infill, which answers in the same form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from quart import Response

from kolo.errors import BadParameter
from kolo.manager.engine import Engine
from kolo.server.answer import Choice, collect
from kolo.server.llama.generation import (
    FinalReply,
    GenerationBody,
    InfillBody,
    NativeBody,
    TokenProbability,
    TopProbability,
)
from kolo.server.llama.props import sampling_params
from kolo.server.llama.stream import NativeRenderer
from kolo.server.openai.common import prompt_text, timings_reply
from kolo.server.openai.prompts import prompts
from kolo.server.openai.shared import (
    check_common,
    constraint,
    one_of,
    sampling,
    stops,
    token_bound,
)
from kolo.server.route import json_reply
from kolo.server.service import Service
from kolo.server.sse import stream_reply
from kolo.types import Generate, Generated, Prompt, TokenLogprob
