"""``kolo help``: a command's help, or a topic that belongs to no single command."""

from __future__ import annotations

from collections.abc import Callable

import click

from kolo.cli.boundary import EXIT_CODES
from kolo.cli.root import Command, root, unknown

ENVIRONMENT: dict[str, str] = {
    "KOLO_CONFIG": "The settings file, in place of config.toml in the config folder.",
    "KOLO_HOME": "One folder for everything, in place of those that 'kolo path' shows.",
    "KOLO_URL": "Address of a running server, as --url.",
    "KOLO_API_KEY": "Key for a server that wants one.",
    "KOLO_COMPLETION_TIMEOUT": "Seconds that completion waits for a server or a disk, not 0.5.",
    "KOLO_DEBUG": "1 shows the traceback with an error.",
    "XDG_CONFIG_HOME": "And XDG_DATA_HOME, XDG_STATE_HOME, XDG_CACHE_HOME, XDG_RUNTIME_DIR: where "
    "folders are.",
    "VISUAL": "And EDITOR: what 'kolo config edit' and Ctrl-G in a chat open.",
    "HF_HOME": "And HF_HUB_CACHE: where the Hugging Face cache is.",
    "HF_TOKEN": "Token for the Hugging Face hub, before that of 'hf auth login'.",
    "HF_ENDPOINT": "A mirror of the Hugging Face hub.",
    "DOCKER_CONFIG": "Folder of Docker's config.json, with passwords for registries.",
    "HTTPS_PROXY": "Proxy for downloads; HTTP_PROXY, ALL_PROXY and NO_PROXY are read too.",
    "SSL_CERT_FILE": "Certificates that sources of downloads are checked against.",
    "NO_COLOR": "Anything but empty: no colour and no styles.",
    "FORCE_COLOR": "Colour although the output is no terminal; CLICOLOR_FORCE is read too.",
    "TERM": "dumb: no line is written over, and signs are ASCII.",
    "COLUMNS": "How wide the terminal is, in place of what it says itself.",
}

NAMES = """\
Where a command takes a model it takes the first of these that there is:

a path to a .gguf file; of a split model, to any of its parts

a name that 'kolo ls' shows: the built-in 'guide', models of the settings, of the store, of the
folders that the settings name, and of the Hugging Face cache

an alias ('kolo alias', or 'aliases' in the settings)

the beginning of a name, where only one name begins like that

'kolo pull' takes references besides: hf:OWNER/REPO[:QUANT], ollama:NAME[:TAG], oci:HOST/NAME:TAG,
or an https:// URL of a .gguf file. A command that talks to a server ('kolo load', 'kolo unload')
takes the names of that server, which 'kolo ps' shows."""

OUTPUT = """\
What a command is asked for goes to standard output, and nothing else does; what it has to say goes
to standard error. So pipes and redirections get data alone.

--json writes one JSON document ('kolo help json'); where there is a stream, --jsonl writes a line
of JSON for each event. -q writes names alone, one a line, where a command lists things.

On a terminal a table is no wider than the terminal, and its longest column is cut. Through a pipe
nothing is cut.

Colour is as --color says (auto, always, never; before the command or after it), else there is none
if NO_COLOR is set, else there is some if FORCE_COLOR is, else if the output is a terminal. JSON has
none. A terminal that is not UTF-8, or dumb, gets ASCII.

Progress is shown on standard error if that is a terminal; where it is none there is a line now and
then, of what takes long. No command asks anything without a terminal: it names the option that
answers."""


def _exit_codes(formatter: click.HelpFormatter) -> None:
    formatter.write_dl([(str(code).rjust(3), meaning) for code, meaning in EXIT_CODES.items()])


def _environment(formatter: click.HelpFormatter) -> None:
    from kolo.config.environment import VARIABLES
    from kolo.config.example import summary

    with formatter.indentation():
        formatter.write_dl(list(ENVIRONMENT.items()))
    formatter.write_paragraph()
    formatter.write_text(
        "Every setting has a variable, stronger than the settings file and weaker than a flag: "
        "KOLO_ and the key in capitals, with _ for every other sign. A list is a,b or JSON; an "
        "empty variable counts as none. Models of the file have theirs by the same rule: "
        'KOLO_MODELS_QWEN2_5_CTX is ctx of [models."qwen2.5"].'
    )
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_dl(
            [(name, summary(tuple(key.split(".")))) for name, key in VARIABLES.items()]
        )


def _json(formatter: click.HelpFormatter) -> None:
    from kolo.cli.schema import fields
    from kolo.cli.shapes import SHAPES

    forms = {"array": "an array", "map": "an object by name", "lines": "a line each"}
    formatter.write_text(
        "With --json a command writes one JSON document to standard output and nothing else; what "
        "it has to say goes to standard error. Sizes are in bytes, moments in seconds since 1970; "
        "other times say their unit. 'kolo help json ls' prints the JSON Schema of what 'kolo ls "
        "--json' writes, and what each field is; a name with options goes in quotes."
    )
    for name, shape in SHAPES.items():
        formatter.write_paragraph()
        form = f" ({forms[shape.form]})" if shape.form in forms else ""
        formatter.write_text(f"{name}: {shape.what}{form}")
        with formatter.indentation():
            if names := fields(name):
                formatter.write_text(", ".join(names))


def _prose(text: str) -> Callable[[click.HelpFormatter], None]:
    return lambda formatter: formatter.write_text(text)


TOPICS: dict[str, tuple[str, Callable[[click.HelpFormatter], None]]] = {
    "exit-codes": ("what a command's exit code says", _exit_codes),
    "env": ("variables that Kolo reads", _environment),
    "json": ("what --json writes", _json),
    "names": ("how a model is named", _prose(NAMES)),
    "output": ("where output goes, and how it looks", _prose(OUTPUT)),
}
_ALSO = {"environment": "env"}


@click.command(
    "help",
    cls=Command,
    short_help="Explain a command or a topic.",
    examples=[
        ("kolo help complete", "a command, as kolo complete --help"),
        ("kolo help exit-codes", "a topic"),
        ("kolo help json ps > ps.schema.json", "the JSON Schema of what kolo ps --json writes"),
    ],
    epilog="Topics: "
    + "; ".join(f"{name}: {what}" for name, (what, _) in TOPICS.items())
    + ". After json, a command: the JSON Schema of what it writes.",
)
@click.argument("topic", nargs=-1, metavar="[TOPIC]...")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON object; for a command as in kolo --spec."
)
@click.pass_context
def command(ctx: click.Context, topic: tuple[str, ...], as_json: bool) -> None:
    """Explain a command, such as "bench compare", or a topic: exit-codes, env, json, names, output.

    Without TOPIC, the same as kolo --help.
    """
    first = _ALSO.get(topic[0], topic[0]) if topic else ""
    if first == "json" and len(topic) > 1:
        _print_schema(" ".join(topic[1:]))
    elif first in TOPICS and len(topic) == 1:
        _print_topic(ctx, first, as_json=as_json)
    else:
        _print_command(ctx, topic, as_json=as_json)


def _print_topic(ctx: click.Context, name: str, *, as_json: bool) -> None:
    formatter = ctx.make_formatter()
    TOPICS[name][1](formatter)
    text = formatter.getvalue().rstrip("\n")
    if as_json:
        from kolo.cli.replies import Topic
        from kolo.cli.table import print_json

        print_json(Topic(topic=name, text=text))
    else:
        click.echo(text)


def _print_command(ctx: click.Context, path: tuple[str, ...], *, as_json: bool) -> None:
    found, inner = _find(ctx, path)
    if not as_json:
        click.echo(found.get_help(inner))
        return
    import msgspec

    from kolo.cli.replies import Topic
    from kolo.cli.spec import spec_of
    from kolo.cli.table import print_json

    told = msgspec.to_builtins(spec_of(found, inner))
    print_json(Topic(topic=" ".join(path), command=told))


def _find(ctx: click.Context, path: tuple[str, ...]) -> tuple[click.Command, click.Context]:
    """The command below ``kolo``; the error names the nearest."""
    found: click.Command = root
    inner: click.Context = root.context_class(root, info_name="kolo")
    for at, name in enumerate(path):
        known = found.list_commands(inner) if isinstance(found, click.Group) else []
        child = found.get_command(inner, name) if isinstance(found, click.Group) else None
        if child is None:
            typed = " ".join(("kolo help", *path[:at]))
            raise unknown("topic", name, [*known, *(TOPICS if at == 0 else ())], typed)
        found, inner = child, child.context_class(child, info_name=name, parent=inner)
    return found, inner


def _print_schema(name: str) -> None:
    from kolo.cli.schema import schema
    from kolo.cli.shapes import SHAPES
    from kolo.cli.table import print_json

    name = name.removesuffix(" --json")
    name = name if name in SHAPES else name.removeprefix("kolo ")
    if name not in SHAPES:
        raise unknown("shape", name, list(SHAPES), "kolo help json")
    print_json(schema(name))
