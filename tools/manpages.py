"""Manual pages, in the language of man(7): one for each command, one for the settings file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from helptext import Page, Part, Terms, Text, of_topic, pages

from kolo import __version__
from kolo.cli.boundary import EXIT_CODES
from kolo.cli.help import ENVIRONMENT, NAMES

RELEASED = "2026-11-21"
"""The date on the pages, which goes with the version."""

_SIGNS = {
    "-": "\\-",
    '"': "\\(dq",
    "'": "\\(aq",
    "`": "\\(ga",
    "^": "\\(ha",
    "~": "\\(ti",
    "·": "\\(pc",
    "…": "...",
}


def made() -> dict[str, str]:
    """Each page, by the name of its file."""
    known = {page.name: page for page in pages()}
    return {file_of(name): _page(page, known) for name, page in known.items()}


def file_of(name: str) -> str:
    """``kolo bench compare`` is in ``kolo-bench-compare.1``."""
    return f"{_title(name)}.1"


def _page(page: Page, known: dict[str, Page]) -> str:
    lines = [
        '.\\" Made by tools/manpages.py from what the command says of itself.',
        f'.TH {_title(page.name).upper()} 1 {RELEASED} "Kolo {__version__}" "Kolo"',
        *_section("Name"),
        f"{_escaped(_title(page.name))} \\- {_escaped(_lower_first(page.summary.rstrip('.')))}",
        *_section("Synopsis"),
        *_synopsis(page.usage()),
        *_section("Description"),
        *_paragraphs(page.texts()),
    ]
    for terms in page.terms():
        lines += _section(terms.heading)
        lines += _commands(terms, page) if _lists_commands(terms, page) else _list(terms.rows)
    lines += [*_section("Examples"), *_examples(page.examples())]
    if page.name == "kolo":
        lines += [*_section("Models"), *_paragraphs(_texts(NAMES))]
        lines += [*_section("Exit status"), *_list([(str(c), m) for c, m in EXIT_CODES.items()])]
        lines += [*_section("Environment"), *_list(list(ENVIRONMENT.items()))]
        lines += [
            ".PP",
            *_paragraphs(["Every setting has a variable too: kolo help env lists them."]),
        ]
    lines += [*_section("See also"), *_see_also(page, known)]
    return "\n".join(lines) + "\n"


def _texts(prose: str) -> list[str]:
    parts: list[Part] = of_topic(lambda formatter: formatter.write_text(prose))
    return [p for part in parts if isinstance(part, Text) for p in part.paragraphs]


def _section(title: str) -> list[str]:
    return [f".SH {_quoted(title.upper() if '[' not in title else title)}"]


def _synopsis(usage: str) -> Iterator[str]:
    name, _, rest = usage.partition(" [")
    yield f".B {_escaped(name)}"
    if rest:
        yield _escaped(f"[{rest}")


def _paragraphs(texts: list[str]) -> Iterator[str]:
    for number, text in enumerate(texts):
        if number:
            yield ".PP"
        yield from _filled(text)


def _list(rows: list[tuple[str, str]]) -> Iterator[str]:
    for term, about in rows:
        yield ".TP"
        yield f".B {_escaped(term)}"
        yield from _filled(about)


def _lists_commands(terms: Terms, page: Page) -> bool:
    return bool(terms.rows) and all(f"{page.name} {name}" in page.inner for name, _ in terms.rows)


def _commands(terms: Terms, page: Page) -> Iterator[str]:
    for name, about in terms.rows:
        yield ".TP"
        yield f".BR {_escaped(_title(f'{page.name} {name}'))} (1)"
        yield from _filled(about)


def _examples(rows: list[tuple[str, str]]) -> Iterator[str]:
    for line, meaning in rows:
        yield ".TP"
        yield f".B {_escaped(line)}"
        yield from _filled(meaning[:1].upper() + meaning[1:] + ".")


def _see_also(page: Page, known: dict[str, Page]) -> Iterator[str]:
    above = page.name.rpartition(" ")[0]
    near = [above, *known[above].inner] if above else page.inner
    names = [name for name in near if name != page.name]
    for number, name in enumerate(names):
        comma = " ," if number + 1 < len(names) else ""
        yield f".BR {_escaped(_title(name))} (1){comma}"


def _title(name: str) -> str:
    return name.replace(" ", "-")


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', '""') + '"'


def _escaped(text: str) -> str:
    """Text that roff takes for text, in lines of its source. Hyphens are minus signs, so that
    options can be copied; a line that begins with a dot would be a command."""
    text = text.replace("\\", "\\e")
    for sign, name in _SIGNS.items():
        text = text.replace(sign, name)
    return f"\\&{text}" if text.startswith(".") else text


def _filled(text: str) -> Iterator[str]:
    for line in textwrap.wrap(text, 64, break_long_words=False, break_on_hyphens=False):
        yield _escaped(line)
