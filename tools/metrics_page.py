"""The page ``docs/metrics.md``, from the tables that the server itself uses."""

from __future__ import annotations

from collections.abc import Iterable

from kolo.monitor.history.figures import FIGURES
from kolo.monitor.otel import METRICS
from kolo.monitor.prometheus import FAMILIES

INTRO = """\
# Metrics

A server that runs tells its numbers in five ways. None of them wakes, loads or delays a
model.

| for | where |
|---|---|
| eyes | `kolo top`, over the monitor socket |
| Prometheus | `GET /metrics` |
| scripts, and clients of Kolosal | `GET /v1/metrics`, JSON |
| graphs of the past | `GET /v1/monitor/history`, kept by Kolo itself |
| OpenTelemetry | spans and metrics over OTLP, off by default |

This page is made by `./dev generate` from the code's own tables; a test compares the two.

## Prometheus

```yaml
scrape_configs:
  - job_name: kolo
    static_configs: [{targets: ["127.0.0.1:8080"]}]
```

Every metric of an engine has two labels: `engine`, its name, and `model`, the name of the model's
file. Counters and histograms are sums since the server started; they outlive the loads of an
engine and start again at 0 only with the server, or for an engine that was removed and added
again. What is not known is left out, never 0. Histograms are exact in their number and sum; a
value within 1 % of a bound may count on either side of it.

The p95 of the time to the first token over all engines, and of each:

```promql
histogram_quantile(0.95, sum by (le) (rate(kolo_time_to_first_token_seconds_bucket[5m])))
histogram_quantile(0.95, sum by (engine, le) (rate(kolo_time_to_first_token_seconds_bucket[5m])))
```

`contrib/grafana/kolo.json` is a dashboard: in Grafana, Dashboards, New, Import.

**Names of others.** One answer speaks one set of names, so that nothing is counted twice. With
`GET /metrics?names=vllm` or `?names=llamacpp` the same numbers come under vLLM's or llama-server's
names, for dashboards made for those: only the metrics that mean the same, with vLLM's label
`model_name`, or `model` as llama-server's router has it, in the place of `engine`. A scrape config
says `params: {names: [vllm]}`. `?model=NAME` gives the metrics of one engine.
"""

HISTORY = """\
## History

Kolo keeps its own past in `history.db` in the state folder (`kolo path state`), SQLite, so that
graphs need no other program. It holds numbers, events and engine runs, no text of anybody. Each
minute is written once; then what is older than `history.keep_minutes` is known by ten minutes, and
what is older than `history.keep_ten_minutes` by the hour, until the file reaches
`history.max_size` and the oldest goes. A kill loses the minute under way at most. A file that is
damaged is set aside with the time in its name and begun anew, which is told as an event.

```console
$ curl 'localhost:8080/v1/monitor/history?metric=ttft_ms,output_tokens&engine=guide&from=-3600'
$ curl 'localhost:8080/v1/monitor/events?from=-86400'
$ curl 'localhost:8080/v1/monitor/runs?engine=guide'
```

`metric` is one of those below, or several with commas. `engine` (or `gpu`) says whose; without it
all engines are one: counters add up, percentiles are those of all values together, gauges are of
the sum (of `kv_share`, the share of all cells). `from` and `to` are unix times, or seconds before
now if negative. `step` is the seconds of one point; left out, there are 360 points at most. Where
figures as fine as `step` are no longer kept, `step_s` of the answer is longer. A counter has
`total` and `per_s`, a gauge `mean` and `max`, a distribution `n`, `mean`, `p50`, `p95`, `p99` and
`max`. A step in which the server was not up has neither.

"""

OTEL = """\
## OpenTelemetry

```console
$ pip install 'kolo-llm[otel]'
$ KOLO_OTEL_ENABLED=true KOLO_OTEL_ENDPOINT=http://localhost:4318 kolo serve
```

Each request is a span named `chat MODEL`, `text_completion MODEL`, `embeddings MODEL` or
`rerank MODEL`, part of the client's trace if it sent a `traceparent` header. Its attributes follow
the semantic conventions for generative AI: `gen_ai.operation.name`, `gen_ai.provider.name`
(`kolo`), `gen_ai.request.model` and the parameters that were given, `gen_ai.output.type`,
`gen_ai.response.finish_reasons`, `gen_ai.usage.input_tokens`, `.output_tokens`,
`.cache_read.input_tokens`, `.reasoning.output_tokens`, `server.address`, `server.port`,
`error.type`. Kolo's own are `kolo.request.id`, `kolo.cancelled`, `kolo.queue_ms`,
`kolo.prefill_ms`, `kolo.time_to_first_token_ms` and `kolo.decode_ms`. No prompt, answer, stop
string, tool, schema, user or error text is ever in a span. Requests that no engine took (a wrong
field, a full queue) have none.

The SDK's variables hold, such as `OTEL_SERVICE_NAME`, `OTEL_EXPORTER_OTLP_HEADERS`,
`OTEL_TRACES_SAMPLER` and `OTEL_METRIC_EXPORT_INTERVAL`. A collector that is away costs what it was
to be sent, and no request waits for it.

"""


def page() -> str:
    return "\n".join(
        (
            INTRO,
            _table(("metric", "type", "labels", "meaning"), _own()),
            "The same numbers under other names:\n",
            _table(("Kolo", "vLLM", "llama-server"), _others()),
            "vLLM's `prefix_cache_queries` and `prefix_cache_hits` count tokens, as Kolo's do; both"
            " are\ncounted when a request ends. llama-server's `prompt_tokens_total` leaves out"
            " cached tokens.\n",
            HISTORY + _table(("metric", "of", "kind", "unit", "meaning"), _history()),
            OTEL + _table(("metric", "unit", "meaning"), _otel()).rstrip("\n"),
            "",
        )
    )


def _table(titles: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [titles, tuple("---" for _ in titles), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _own() -> Iterable[tuple[str, ...]]:
    for family in FAMILIES:
        yield f"`{family.name}`", family.kind, ", ".join(family.labels), family.text


def _others() -> Iterable[tuple[str, ...]]:
    for family in FAMILIES:
        if family.vllm or family.llamacpp:
            yield f"`{family.name}`", _names(family.vllm), _names(family.llamacpp)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _history() -> Iterable[tuple[str, ...]]:
    for figure in FIGURES:
        yield f"`{figure.name}`", figure.scope, figure.kind, figure.unit, figure.text


def _otel() -> Iterable[tuple[str, ...]]:
    for name, unit, text, _ in METRICS:
        yield f"`{name}`", unit, text
