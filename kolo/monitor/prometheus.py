"""The counters as Prometheus reads them: text format 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from kolo.monitor.completions import Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = Mapping[str, str]


def exposition(tallies: Mapping[str, Tally], running: Mapping[str, int]) -> str:
    """What each engine did since the server started, and the requests it has now."""
    each = [({"engine": id}, tally) for id, tally in tallies.items()]
    blocks = [
        _block(
            "kolo_requests_total",
            "counter",
            "Requests that have ended, by how.",
            (
                ({**engine, "outcome": outcome}, count)
                for engine, tally in each
                for outcome, count in _outcomes(tally).items()
            ),
        ),
        _block(
            "kolo_requests_running",
            "gauge",
            "Requests that hold or wait for a slot.",
            (({"engine": id}, count) for id, count in running.items()),
        ),
    ]
    blocks += [
        _block(name, "counter", text, ((engine, value(tally)) for engine, tally in each))
        for name, text, value in _COUNTERS
    ]
    return "".join(blocks)


_COUNTERS: tuple[tuple[str, str, Callable[[Tally], float]], ...] = (
    (
        "kolo_prompt_tokens_total",
        "Prompt tokens, the cached ones included.",
        lambda tally: tally.prompt_tokens,
    ),
    (
        "kolo_prompt_tokens_cached_total",
        "Prompt tokens taken from a cache.",
        lambda tally: tally.cached_tokens,
    ),
    (
        "kolo_generated_tokens_total",
        "Tokens written.",
        lambda tally: tally.completion_tokens,
    ),
    (
        "kolo_request_seconds_total",
        "From submit to end, of completed requests.",
        lambda tally: tally.completed.wall_ms / 1000,
    ),
    (
        "kolo_time_to_first_token_seconds_total",
        "From submit to the first token, of completed requests for text.",
        lambda tally: tally.completed.ttft_ms / 1000,
    ),
    (
        "kolo_decode_seconds_total",
        "From the first token to the last, of completed requests for text.",
        lambda tally: tally.completed.decode_ms / 1000,
    ),
    ("kolo_model_loads_total", "Loads that went well.", lambda tally: tally.loads),
    ("kolo_model_load_failures_total", "Loads that failed.", lambda tally: tally.failed_loads),
    ("kolo_model_crashes_total", "Workers that died.", lambda tally: tally.crashes),
)


def _outcomes(tally: Tally) -> dict[str, int]:
    return {
        "completed": tally.completed.requests,
        "failed": tally.failed,
        "cancelled": tally.cancelled.requests,
        "rejected": tally.rejected,
    }


def _block(name: str, kind: str, text: str, samples: Iterable[tuple[Labels, float]]) -> str:
    lines = [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(of)}"' for label, of in labels.items())
        lines.append(f"{name}{{{inner}}} {value}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
