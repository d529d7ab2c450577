"""``kolo bench``: measure servers and models, keep what came out, compare it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import click

from kolo.cli.formatter import RANGE
from kolo.cli.options import INT32_MAX, Number, Text
from kolo.cli.root import Command, unknown

FORMATS = ("table", "json", "jsonl", "csv", "md", "html")
WORKLOADS = ("fixed", "prefix", "chat", "interference", "mixed", "json")
SUBCOMMANDS = {
    "compare": "kolo.cli.bench_compare",
    "history": "kolo.cli.bench_history",
    "show": "kolo.cli.bench_show",
}
SECTIONS = {
    "Who is measured": "models urls local api_keys ctx_tokens parallel threads gpu_layers "
    "engine_too depths shape keep",
    "When requests are sent": "concurrency rate arrival sweep goals",
    "What is asked": "workloads prompt_tokens output_tokens prefix_tokens long_tokens turns "
    "schema file cached body api",
    "How much": "requests duration rounds warmup seed timeout_s",
    "The result": "form as_json save overwrite quiet formulas help",
}
"""The options by what they are about; a test sees that each is somewhere."""
OF_SHAPE = "shape keep threads gpu_layers ctx_tokens parallel form as_json quiet"
"""Options with which --shape says by itself what is measured."""
EXAMPLES = [
    ("kolo bench", "the default model, one user: the server that runs, or one of its own"),
    ("kolo bench -m qwen -c 1,8,32 --save before", "three loads; kept under a name"),
    (
        "kolo bench --url a=http://127.0.0.1:8080 --url b=http://127.0.0.1:8081 -c 8",
        "two servers, taking turns",
    ),
    ("kolo bench --sweep --goal 'ttft.p95<500ms'", "how many users it can carry"),
    (
        "kolo bench --shape qwen2.5-7b:q4_k_m",
        "what this machine would do with it, before a download",
    ),
    ("kolo bench compare before last", "what changed from one run to another"),
]


class BenchGroup(Command, click.Group):
    """Measures by itself; its subcommands, about runs that are kept, are imported when asked."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """In sections, and without the ranges of numbers, which nobody reads."""
        records = {
            (param.name or "").removeprefix("_click_default_"): param.get_help_record(ctx)
            for param in self.get_params(ctx)
        }
        for title, names in SECTIONS.items():
            found = [record for name in names.split() if (record := records.get(name))]
            with formatter.section(title):
                formatter.write_dl([(name, RANGE.sub("", text)) for name, text in found if text])
        self.format_commands(ctx, formatter)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = SUBCOMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = importlib.import_module(module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in SUBCOMMANDS:
            error = unknown("subcommand", args[0], list(SUBCOMMANDS), "kolo bench")
            if not any(args[0][:3] == name[:3] for name in SUBCOMMANDS):
                error.hint = f"kolo bench -m {args[0]}"
            raise error
        return super().resolve_command(ctx, args)


@click.group(
    "bench",
    cls=BenchGroup,
    invoke_without_command=True,
    short_help="Measure how fast a model answers.",
    examples=EXAMPLES,
    epilog="'kolo bench --formulas' says what each number is.",
)
@click.option(
    "-m",
    "--model",
    "models",
    type=Text(),
    multiple=True,
    metavar="[NAME=]MODEL",
    help="Which model; with NAME= of the target of that name alone.",
)
@click.option(
    "--url",
    "urls",
    type=Text(),
    multiple=True,
    metavar="[NAME=]URL",
    help="A server that speaks OpenAI's API; may be given again, and they take turns. The first "
    "is what the others are compared with.",
)
@click.option(
    "--local",
    is_flag=True,
    help="Start a server for the run although one runs; with --url, besides those.",
)
@click.option(
    "--api-key",
    "api_keys",
    type=Text(),
    multiple=True,
    metavar="[NAME=]KEY",
    help="Key of the servers, or of the one named; @FILE reads it from a file.",
)
@click.option(
    "-c",
    "--concurrency",
    type=Text(),
    metavar="N,…",
    help="Users at a time, each sending when its last answer has ended; 1 if left out.",
)
@click.option(
    "--rate", type=Text(), metavar="R,…", help="Requests per second, whether answered or not."
)
@click.option(
    "--arrival",
    type=click.Choice(["poisson", "constant"]),
    help="How requests of a --rate arrive; poisson if left out.",
)
@click.option(
    "--sweep",
    is_flag=True,
    help="Double the users until the output grows no more, or a goal fails.",
)
@click.option(
    "--goal",
    "goals",
    type=Text(),
    multiple=True,
    metavar="COND",
    help="Such as 'ttft.p95<500ms': loads are climbed until it fails; exit code 8 if it never "
    "held.",
)
@click.option(
    "-w",
    "--workload",
    "workloads",
    type=click.Choice(WORKLOADS),
    multiple=True,
    help="What is asked; may be given again. fixed if left out.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Send the requests in FILE, one JSON body a line, as OpenAI's API takes them.",
)
@click.option(
    "--schema",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The JSON Schema of the workload json.",
)
@click.option(
    "-p",
    "--prompt-tokens",
    type=click.IntRange(1, INT32_MAX),
    metavar="N",
    help="Tokens of a prompt; 512, but 64 in prefix (beyond it), chat (a turn) and interference.",
)
@click.option(
    "--output-tokens",
    type=click.IntRange(1, INT32_MAX),
    metavar="N",
    help="Tokens of an answer; 128, but 64 in chat.",
)
@click.option(
    "--prefix-tokens",
    type=click.IntRange(1, INT32_MAX),
    metavar="N",
    help="What requests of prefix share; 1000 if left out.",
)
@click.option(
    "--long-tokens",
    type=click.IntRange(1, INT32_MAX),
    metavar="N",
    help="The prompt that disturbs in interference; 2000 if left out.",
)
@click.option(
    "--turns",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Of a conversation in chat; 10 if left out.",
)
@click.option("--cached", is_flag=True, help="Repeat prompts, so that prefix caches may help.")
@click.option(
    "--body", type=Text(), metavar="JSON", help="Fields to put into every request, over its own."
)
@click.option(
    "--api",
    type=click.Choice(["auto", "completions", "chat"]),
    default="auto",
    help="Which route takes plain prompts; auto takes chat where there are no completions.",
)
@click.option(
    "-n",
    "--requests",
    type=click.IntRange(1, INT32_MAX),
    metavar="N",
    help="Requests of a round (conversations in chat); if left out twice the users, at least 4, "
    "and for at most 30 s.",
)
@click.option(
    "--duration", type=Text(), metavar="TIME", help="Begin requests for so long in each round."
)
@click.option(
    "--rounds",
    type=click.IntRange(1, 10_000),
    default=5,
    metavar="N",
    help="How often all is done; 5 if left out. Intervals need 5.",
)
@click.option(
    "--warmup",
    type=click.IntRange(0, 10_000),
    default=2,
    metavar="N",
    help="Requests to each target that are not counted; 2 if left out.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, INT32_MAX),
    default=0,
    metavar="S",
    help="Decides arrivals, lengths and words, but for those that defeat caches.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Number(0.1, 1e6),
    default=600.0,
    metavar="SECONDS",
    help="A request that gets nothing for so long has failed; 600 if left out.",
)
@click.option(
    "--ctx",
    "ctx_tokens",
    type=click.IntRange(8, 2**27),
    metavar="N",
    help="As of kolo serve, for a server of its own.",
)
@click.option(
    "--parallel", type=click.IntRange(1, 256), metavar="N", help="Its slots: answers at a time."
)
@click.option(
    "--threads", type=click.IntRange(1, 1024), metavar="N", help="Its threads while generating."
)
@click.option(
    "--gpu-layers",
    type=click.IntRange(-1, 10_000),
    metavar="N",
    help="Its layers on GPUs.",
)
@click.option(
    "--engine",
    "engine_too",
    is_flag=True,
    help="Measure the engine alone as well, and what the path above it costs.",
)
@click.option(
    "--depth",
    "depths",
    type=Text(),
    metavar="N,…",
    help="Of --engine: answers are also timed in sequences that hold so many tokens.",
)
@click.option(
    "--shape",
    type=Text(),
    metavar="NAME",
    help="What this machine would do with a model before you download it, from one of the same "
    "shape with random weights: qwen2.5-7b:q4_k_m, or dimensions such as arch=llama,layers=16,…; "
    "with -c, -w and the like, that is measured on it.",
)
@click.option("--keep", is_flag=True, help="The model of --shape stays in the cache folder.")
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    help="How the result is written.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as -o json.")
@click.option("--save", type=Text(), metavar="NAME", help="Keep the run under a name.")
@click.option("--overwrite", is_flag=True, help="--save over a run of that name.")
@click.option("--quiet", is_flag=True, help="No progress on a terminal.")
@click.option("--formulas", is_flag=True, help="Say how each number is computed, and leave.")
@click.pass_context
def command(ctx: click.Context, /, formulas: bool, as_json: bool, form: str, **options: Any) -> int:
    """Measure how fast a model answers, over HTTP as its users ask it.

    Without --url it is the server that runs on this machine, or else one started for the run.
    Warm-up is not counted, prompts have the length that is asked for and begin with words that
    no cache has seen, and every run is kept: 'kolo bench history', 'kolo bench show last'.

    Exit code 8: some requests failed, or a --goal held nowhere.
    """
    if ctx.invoked_subcommand is not None:
        return 0
    if formulas:
        from kolo.bench.metrics import formulas as text
        from kolo.cli.grid import print_line

        for line in text().splitlines():
            print_line(line, indent="    ")
        return 0
    if options["shape"] is not None and not _asks_for_load(ctx):
        from kolo.cli.bench_shape import run as foresee

        return foresee(form="json" if as_json else form, **options)
    from kolo.cli.bench_run import run

    return run(form="json" if as_json else form, **options)


def _asks_for_load(ctx: click.Context) -> bool:
    """Whether something was given that says who is measured, or how."""
    given = {
        name
        for name in ctx.params
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    return not given <= {*OF_SHAPE.split()}
