"""``kolo help``: a command's help, or a topic that belongs to no single command."""

from __future__ import annotations

from collections.abc import Callable

import click

from kolo.cli import COMMANDS
from kolo.cli.boundary import EXIT_CODES
from kolo.cli.root import Command, root, unknown

ENVIRONMENT: dict[str, str] = {
    "KOLO_CONFIG": "The settings file, in place of config.toml in the config folder.",
    "KOLO_HOME": "One folder for everything, in place of those that 'kolo path' shows.",
    "KOLO_URL": "Address of a running server, as --url.",
    "KOLO_DEBUG": "1 shows the traceback with an error.",
    "HF_TOKEN": "Token for the Hugging Face hub, before that of 'hf auth login'.",
    "HF_ENDPOINT": "A mirror of the Hugging Face hub.",
    "DOCKER_CONFIG": "Folder of Docker's config.json, with passwords for registries.",
    "HTTPS_PROXY": "Proxy for downloads; HTTP_PROXY, ALL_PROXY and NO_PROXY are read too.",
    "SSL_CERT_FILE": "Certificates that sources of downloads are checked against.",
    "NO_COLOR": "Anything but empty: no colour and no styles.",
    "FORCE_COLOR": "Colour although the output is no terminal; CLICOLOR_FORCE is read too.",
    "TERM": "dumb: no line is written over, and signs are ASCII.",
}

JSON_TOPIC = """\
With --json a command writes one JSON document to standard output and nothing else; what it
has to say goes to standard error. Numbers are plain, times are milliseconds, sizes bytes.

kolo complete --json
  text           the answer
  model          which model gave it
  finish_reason  stop, or length when the limit cut it (exit code 8)
  usage          prompt_tokens (cached_tokens of them were not computed again),
                 completion_tokens, reasoning_tokens
  timings        queue_ms, prefill_ms, ttft_ms (their sum: the first token), decode_ms
                 (from the first token to the last), draft_tokens, draft_accepted
  seed           repeats the answer when given as --seed
  reasoning      what the model thought before, if it did

kolo complete --schema FILE --json
  The answer itself: one JSON document that fits the schema, indented. An answer that was cut
  is no document: nothing is written, and the exit code is 8.

kolo ps --json, kolo load --json
  An array of engines, or the one that was loaded: engine_id, state, stage, progress, error, pid,
  in_flight, parallel, ctx, memory_bytes, device_bytes, pinned, ttl_s, expires_s, idle_s (these
  three in seconds), model_path, source, aliases

kolo unload --json
  id, unloaded (the engines that were), forgotten

kolo ls --json
  An array of models: name, place (builtin, config, store, folder, hub), source, path,
  size_bytes (null when its file is gone), quant, n_params, n_ctx_train, kind, aliases,
  version, versions, in_place, last_used (seconds since 1970), state (of its engine; null
  without a server), problem

kolo show --json
  name, place, source, path, size_bytes, n_files, title, architecture, purpose, quant,
  n_params, n_ctx_train, n_layer, n_embd, shape, tensor_types (how many of each), tokenizer
  (kind, n_tokens, specials), templates, template_chars, license, aliases, versions (id,
  added_at, source, revision, size_bytes, in_use), extras, refusal (why it cannot be
  loaded), parallel, memory (for each ctx: total_bytes, kv_bytes, device_bytes, fits),
  memory_free_bytes, speed (as kolo bench --shape measured it here, in words)

kolo pull --json
  A line for each event. plan: reference, name, quant, revision, files, size_bytes,
  partial_bytes, disk_free_bytes, memory_free_bytes, fits_disk, fits_memory, there (the
  version that has it all already); of a file: name, path, size_bytes, copy. progress: state,
  done_bytes, total_bytes, bytes_per_s. note: text. done: name, version, new, replaced,
  size_bytes, quant, source, in_place

kolo bench --json
  The whole run, from which every other form can be made: format, kolo, started, elapsed_s,
  partial, seed, planned_rounds, goals, host, targets, workloads, cells (for each target,
  workload and load: rounds, each with its samples: sent_s, ttft_ms, e2e_ms, gaps_ms,
  prompt_tokens, cached_tokens, output_tokens, finish, queue_ms, prefill_ms, error, detail),
  engine, notes, summary (for each target, workload, load and group: requests, errors, figures
  by metric with n, mean, std, min, p50, p90, p95, p99 and max, ratios with value, low and
  high, engine_tok_s, overhead_percent, goals_met). With -o jsonl a line for each sample.

kolo bench compare --json
  a, b, changes (target, workload, load, group, metric, stat, a, b, ratio), failures
  (condition, where, found), remarks

kolo bench history --json
  An array: started, name, partial, model, target, workload, load, tok_s, ttft_ms, itl_ms,
  errors, seed, kolo

kolo bench --shape NAME --json
  name, quant, dimensions, n_params, size_bytes, when (seconds since 1970), cpu, cores, devices,
  memory_bytes, llama_cpp, settings, threads, gpu_layers, reading (for each n_tokens: ttft_ms,
  tokens_per_s), writing (for each number of users: tokens_per_s of all together),
  weights_bytes, resident_bytes, kv_bytes_per_token, fixed_bytes (without any KV cache)

kolo rm --json
  removed (for each: name, versions, aliases, freed_bytes), dry_run

kolo prune --json
  removed (for each: kind, what, n_bytes, name, version, path), freed_bytes, dry_run

kolo verify --json
  An array, for each file: name, version, file, path, state (ok, unhashed, missing, changed,
  damaged), detail

kolo rollback --json
  name, version, former, dry_run

kolo alias --json
  An object, from each alias to the name of its model.

kolo path --json
  An object, from the folder's name to its path."""


def _exit_codes() -> str:
    return "\n".join(f"{code:>4}  {meaning}" for code, meaning in EXIT_CODES.items())


def _environment() -> str:
    from kolo.config import known_keys

    width = max(map(len, ENVIRONMENT))
    lines = [f"  {name:{width}}  {text}" for name, text in ENVIRONMENT.items()]
    lines += ["", "Every setting has a variable, stronger than the settings file:", ""]
    lines += [f"  KOLO_{key.upper().replace('.', '_')}" for key in known_keys()]
    return "\n".join(lines)


TOPICS: dict[str, tuple[str, Callable[[], str]]] = {
    "exit-codes": ("what a command's exit code says", _exit_codes),
    "environment": ("variables that Kolo reads", _environment),
    "json": ("what --json writes", lambda: JSON_TOPIC),
}


@click.command(
    "help",
    cls=Command,
    short_help="Explain a command or a topic.",
    examples=[
        ("kolo help complete", "a command, as kolo complete --help"),
        ("kolo help exit-codes", "a topic"),
    ],
)
@click.argument("topic", required=False, metavar="[TOPIC]")
@click.pass_context
def command(ctx: click.Context, topic: str | None) -> None:
    """Explain a command or a topic: exit-codes, environment, json."""
    parent = ctx.parent or ctx
    if topic is None:
        click.echo(parent.get_help() if parent is not ctx else ctx.get_help())
    elif topic in TOPICS:
        click.echo(TOPICS[topic][1]())
    elif topic in COMMANDS:
        found = root.get_command(parent, topic)
        assert found is not None
        with click.Context(found, info_name=topic, parent=parent) as inner:
            click.echo(found.get_help(inner))
    else:
        raise unknown("topic", topic, [*TOPICS, *COMMANDS], "kolo help")
