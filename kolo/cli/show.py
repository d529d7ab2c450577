"""``kolo show``: what is known of a model without loading it."""

from __future__ import annotations

import sys
from typing import Any

import click

from kolo.cli.facts import Facts, facts
from kolo.cli.grid import Column, print_grid, print_line
from kolo.cli.ls import params_text
from kolo.cli.options import Text
from kolo.cli.output import look, printable
from kolo.cli.remote import json_option
from kolo.cli.rollback import date_text
from kolo.cli.root import Command
from kolo.cli.table import print_json, size_text
from kolo.config import load_settings
from kolo.errors import ModelNotFound, UsageError
from kolo.models.cursor import LazyArray
from kolo.models.gguf import read_model
from kolo.models.header import Header
from kolo.models.resolve import resolve

SHOWN_CHARS = 60


@click.command(
    "show",
    cls=Command,
    short_help="Show what is known of a model.",
    examples=[
        ("kolo show guide", "what it is, and what memory it takes"),
        ("kolo show guide --template", "its chat template, as it is in the file"),
        ("kolo show guide --metadata --json", "everything the header says"),
    ],
)
@click.argument("model", type=Text())
@click.option("--template", is_flag=True, help="The chat template alone.")
@click.option("--metadata", is_flag=True, help="All metadata of the file, a line for each key.")
@json_option("One JSON object; with --metadata, from key to value.")
def command(model: str, template: bool, metadata: bool, as_json: bool) -> None:
    """Show what is known of MODEL without loading it: its header, template, tokenizer, tensor
    types, and the memory it takes at several lengths of context.

    MODEL is anything that kolo chat -m takes.
    """
    if template and metadata:
        raise UsageError("--template and --metadata exclude each other", hint="one of them")
    settings = load_settings()
    spec = resolve(model, settings)
    header = read_model(spec.path)
    if template:
        _print_template(header, spec.title, as_json)
    elif metadata:
        _print_metadata(header, as_json)
    else:
        told = facts(spec, header, settings)
        print_json(told) if as_json else _print(told)


def _print(told: Facts) -> None:
    print_line(told.name)
    for label, text in [*_lines(told), *((k, _short(v)) for k, v in told.extras.items())]:
        print_line(f"  {label:13} {text}", indent=" " * 16)
    click.echo("")
    print_line(f"memory for {told.parallel} request{'s' * (told.parallel != 1)} at a time")
    rows = [
        [str(m.ctx), size_text(m.total_bytes), "fits" if m.fits else "does not fit now"]
        for m in told.memory
    ]
    print_grid([Column("CONTEXT", number=True), Column("MEMORY", number=True), Column("")], rows)
    print_line(f"{size_text(told.memory_free_bytes)} are free")


def _lines(told: Facts) -> list[tuple[str, str]]:
    tokenizer = told.tokenizer
    specials = ", ".join(f"{name} {text!r}" for name, text in tokenizer.specials.items())
    tensors = ", ".join(f"{n} {kind}" for kind, n in told.tensor_types.items())
    parts = f" in {told.n_files} files" if told.n_files > 1 else ""
    template = (
        f"{told.template_chars} characters, for {', '.join(told.templates)}"
        if told.templates
        else "none"
    )
    saved = (
        f"{told.saved_prefixes} cached prefix{'es' * (told.saved_prefixes != 1)}, "
        f"{size_text(told.saved_bytes)}"
        if told.saved_prefixes
        else ""
    )
    lines = [
        ("what", f"{told.architecture}, {told.purpose}"),
        ("title", told.title),
        ("size", f"{size_text(told.size_bytes)}{parts}, {told.quant}"),
        ("parameters", params_text(told.n_params)),
        ("context", f"{told.n_ctx_train} tokens in training"),
        ("shape", told.shape),
        ("tensors", tensors),
        ("tokenizer", f"{tokenizer.kind}, {tokenizer.n_tokens} tokens"),
        ("specials", specials),
        ("template", template),
        ("speed", told.speed),
        ("license", told.license),
        ("source", told.source),
        ("file", told.path),
        ("aliases", ", ".join(told.aliases)),
        ("saved", saved),
    ]
    for version in told.versions:
        mark = ", in use" if version.in_use else ""
        added = date_text(version.added_at)
        lines.append(("version", f"{version.id} of {added}, {size_text(version.size_bytes)}{mark}"))
    return [(label, text) for label, text in lines if text]


def _print_template(header: Header, title: str, as_json: bool) -> None:
    templates = header.chat_templates
    if as_json:
        print_json(templates)
    elif not templates:
        raise ModelNotFound(f"{title} has no chat template in its file")
    else:
        text = templates.get("default") or next(iter(templates.values()))
        click.echo(printable(text) if look(sys.stdout).terminal else text)


def _print_metadata(header: Header, as_json: bool) -> None:
    if as_json:
        print_json({key: _plain(value) for key, value in header.metadata.items()})
        return
    for key, value in sorted(header.metadata.items()):
        print_line(f"{key} = {_short(str(_plain(value)))}".replace("\n", "\\n"))


def _plain(value: Any) -> Any:
    """A value as JSON has it; a long array by its length."""
    if isinstance(value, LazyArray):
        return f"{value.length} x {value.item_type}"
    return value


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}… ({len(text)} characters)"
