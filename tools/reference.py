"""The reference in ``docs/reference``: commands, settings, JSON and exit codes, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from helptext import Page, Terms, pages

from kolo.cli.boundary import EXIT_CODES
from kolo.cli.help import ENVIRONMENT, NAMES, OUTPUT
from kolo.cli.schema import schema
from kolo.cli.shapes import SHAPES
from kolo.config import Settings
from kolo.config.environment import variable_of
from kolo.config.example import descriptions
from kolo.config.keys import LEAVES, MODEL_LEAVES, is_secret
from kolo.config.rows import value_of
from kolo.toml import written as toml
from kolo.top.keys import KEYS
from kolo.values import plain

MADE = "<!-- Made by `./dev generate`; a test compares it with the code. -->"


def made() -> dict[str, str]:
    """Each page, by the name of its file."""
    return {
        "commands.md": _page("Commands", _commands()),
        "settings.md": _page("Settings", _settings()),
        "json.md": _page("JSON", _json()),
        "exit-codes.md": _page("Exit codes and variables", _codes()),
        "top-keys.md": _page("Keys of kolo top", _keys()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", MADE, "", *lines]).rstrip("\n") + "\n"


# Commands --------------------------------------------------------------------------------


def _commands() -> Iterator[str]:
    yield "What `--help` of each says; `kolo help names` and `kolo help output` are at the end."
    yield ""
    found = pages()
    for page in found:
        if " " in page.name and page.name.count(" ") == 1:
            yield f"- [`{page.name}`](#{_anchor(page.name)}): {page.summary}"
    yield ""
    for page in found:
        yield from _command(page)
    yield from ("## How a model is named", "", NAMES.replace(" 'kolo ", " `kolo ").rstrip(), "")
    yield from ("## Where output goes", "", OUTPUT.rstrip())


def _command(page: Page) -> Iterator[str]:
    yield f"{'##' if page.name.count(' ') < 2 else '###'} {page.name}"
    yield from ("", "```", page.usage(), "```", "")
    for text in page.texts():
        yield from (_text(text), "")
    yield "```sh"
    for line, meaning in page.examples():
        yield from (f"# {meaning}", line)
    yield from ("```", "")
    for terms in page.terms():
        yield from _terms(terms)


def _terms(terms: Terms) -> Iterator[str]:
    if terms.heading != "Options":
        yield from (f"**{_text(terms.heading)}**", "")
    yield from ("| | |", "|---|---|")
    for term, about in terms.rows:
        yield f"| `{_cell(term)}` | {_cell(_text(about))} |"
    yield ""


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


# Settings --------------------------------------------------------------------------------


def _settings() -> Iterator[str]:
    yield from (
        "The keys of `config.toml` (`kolo config path`), the variable of each, and its default.",
        "A flag wins over a variable, that over a profile, that over the rest of the file.",
        "`kolo config init` writes a file with all of them; durations are written 90s or 1h30m,",
        "sizes 12GB or 12GiB.",
    )
    for section in dict.fromkeys(key.rpartition(".")[0] for key in LEAVES):
        yield from _heading(section)
        for key in LEAVES:
            above, _, name = key.rpartition(".")
            if above == section:
                yield f"| `{name}` | `{variable_of(key)}` | {_default(key)} | {_about(key)} |"
    yield from ("", "## [models.NAME]", "", _text(_description("models.example")), "")
    own = [key for key in MODEL_LEAVES if key not in _engine_keys()]
    yield from ("| key | |", "|---|---|")
    for key in own:
        yield f"| `{key}` | {_about(f'models.example.{key}')} |"
    yield from ("", "And every key of `[engine]`, for this model alone.", "")
    yield from ("## [profiles.NAME]", "", _text(_description("profiles.example")), "")


def _heading(section: str) -> Iterator[str]:
    title, about = (f"[{section}]", _description(section)) if section else ("In general", "")
    yield from ("", f"## {title}", "")
    if about:
        yield from (_text(about), "")
    yield from ("| key | variable | default | |", "|---|---|---|---|")


def _engine_keys() -> set[str]:
    return {key.removeprefix("engine.") for key in LEAVES if key.startswith("engine.")}


def _default(key: str) -> str:
    value: Any = plain(value_of(Settings(), key), LEAVES[key])
    if value is None or "Auto:" in _description(key):
        return "auto"
    return "" if value == "" or is_secret(key) else f"`{_cell(toml(value))}`"


def _about(key: str) -> str:
    return _cell(_text(_description(key)))


def _description(key: str) -> str:
    return descriptions().get(tuple(key.split(".")), "")


# JSON ------------------------------------------------------------------------------------


def _json() -> Iterator[str]:
    yield from (
        "What commands write with `--json` (one document) and `--jsonl` (a line each). Sizes are",
        "in bytes, moments in seconds since 1970; other times say their unit. `kolo help json ls`",
        "prints the JSON Schema of what `kolo ls --json` writes. Types with a name are at the end.",
    )
    forms = {"array": "An array", "map": "An object by name", "lines": "A line each"}
    inner: dict[str, Any] = {}
    for name, shape in SHAPES.items():
        told = schema(name)
        yield from ("", f"## {told['title'].removeprefix('a line of ')}", "")
        yield _text(f"{forms.get(shape.form, 'An object')}: {shape.what}.")
        inner |= told.get("$defs", {})
        for kind in _objects(told):
            yield from _fields(told["$defs"][kind])
    linked = _linked(inner)
    yield from ("", "## Types")
    for kind in sorted(inner.keys() & linked):
        yield from ("", f"### {kind}", "", _text(inner[kind].get("description", "")))
        yield from _fields(inner[kind])


def _objects(told: dict[str, Any]) -> Iterator[str]:
    """The names of the types of the document itself, or of what is in its array."""
    for one in told.get("anyOf", [told]):
        inner = one.get("items") or one.get("additionalProperties") or one
        name = inner.get("$ref", "").rpartition("/")[2] if isinstance(inner, dict) else ""
        if name:
            yield name


def _linked(definitions: dict[str, Any]) -> set[str]:
    """The types that are those of a field of another."""
    rows = [row for told in definitions.values() for row in _fields(told)]
    return {name for name in definitions if any(f"](#{name.lower()})" in row for row in rows)}


def _fields(told: dict[str, Any]) -> Iterator[str]:
    if not told.get("properties"):
        return
    yield from ("", "| field | type | |", "|---|---|---|")
    for field, about in told["properties"].items():
        meaning = _cell(_text(about.get("description", "")))
        yield f"| `{field}` | {_cell(_type(about))} | {meaning} |"


def _type(told: dict[str, Any]) -> str:
    if "enum" in told:
        return ", ".join(f"`{each}`" for each in told["enum"])
    if "const" in told:
        return f"`{told['const']}`"
    if "anyOf" in told:
        return " or ".join(dict.fromkeys(_type(each) for each in told["anyOf"]))
    if "$ref" in told:
        name = told["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if told.get("type") == "array":
        items = told.get("items")
        return f"array of {_type(items)}" if isinstance(items, dict) and items else "array"
    return str(told.get("type", "any"))


# Exit codes ------------------------------------------------------------------------------


def _codes() -> Iterator[str]:
    yield from ("| code | meaning |", "|---|---|")
    for code, meaning in EXIT_CODES.items():
        yield f"| {code} | {_cell(meaning)} |"
    yield from ("", "## Variables", "", "Beside those of [settings](settings.md):", "")
    yield from ("| variable | |", "|---|---|")
    for name, meaning in ENVIRONMENT.items():
        yield f"| `{name}` | {_cell(_text(meaning))} |"


def _keys() -> Iterator[str]:
    yield "What `?` shows; `kolo top --readonly` is without those that change something."
    for group in dict.fromkeys(key.group for key in KEYS):
        yield from ("", f"## {group}", "", "| key | |", "|---|---|")
        for key in KEYS:
            if key.group == group:
                yield f"| `{_cell(key.shown)}` | {_cell(_text(key.meaning))} |"


# Markdown --------------------------------------------------------------------------------


def _text(text: str) -> str:
    """Text in which Markdown sees nothing of its own but what we mean."""
    text = " ".join(text.split())
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("<", "&lt;")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
