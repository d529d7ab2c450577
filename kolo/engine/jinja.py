"""Chat templates as ``transformers`` understands them: Jinja with a few words of its own.

The dialect is that of ``apply_chat_template``: blocks trimmed, ``break`` and ``continue``,
``{% generation %}`` blocks (which mark text and change nothing here), ``tojson`` that escapes no
HTML and no Unicode, ``raise_exception`` and ``strftime_now``. Whatever goes wrong in a template
ends in ``BadTemplate``; one that cannot be compiled in ``LoadFailed``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any

import jinja2
from jinja2 import nodes, pass_environment
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from kolo.engine.sandbox import OverLimit, Sandbox
from kolo.errors import BadTemplate, LoadFailed

RENDER_CPU_S = 1.0
"""CPU time one rendering may take; a long conversation takes some milliseconds."""

_MAX_SOURCE_CHARS = 128 << 10
_MAX_WORDS_CHARS = 500
_MAX_INDENT = 16
_MAX_STRFTIME_CHARS = 1000

_OVERRIDE = "load the model with another chat_template"


class Program:
    """One compiled template. Renders one prompt at a time; a second thread waits.

    ``name`` is what the template is called in errors.
    """

    def __init__(self, source: str, *, name: str = "chat template") -> None:
        """Raises LoadFailed, naming the line, for a source that does not compile."""
        self.source = source
        self._name = name
        self._lock = threading.Lock()
        self._sandbox = Sandbox([_Generation, loopcontrols])
        self._sandbox.add_filter("tojson", _tojson)
        self._sandbox.globals["raise_exception"] = _raise_exception
        self._template, self.names = self._compile()

    def _compile(self) -> tuple[jinja2.Template, frozenset[str]]:
        """The template, and every name it reads."""
        if len(self.source) > _MAX_SOURCE_CHARS:
            raise self._unusable(f"it has more than {_MAX_SOURCE_CHARS} characters")
        self._sandbox.start(RENDER_CPU_S)
        try:
            tree = self._sandbox.parse(self.source)
            names = frozenset(name.name for name in tree.find_all(nodes.Name))
            return self._sandbox.from_string(tree), names
        except jinja2.TemplateSyntaxError as error:
            raise self._unusable(f"line {error.lineno}: {error.message}") from error
        except Exception as error:
            # Nesting beyond what Python's own compiler takes, for one.
            raise self._unusable(f"{type(error).__name__}: {error}") from error

    def render(
        self,
        variables: Mapping[str, Any],
        *,
        now: datetime | None = None,
        cpu_s: float = RENDER_CPU_S,
    ) -> str:
        """The text of the template; BadTemplate for whatever it raises or does too much of.

        ``now`` is what ``strftime_now`` tells, None for the local time. Lists in ``variables``
        may be changed by the template.
        """

        def strftime_now(format: str) -> str:
            if len(format) > _MAX_STRFTIME_CHARS:
                raise OverLimit("it formats the time at unbounded length")
            return (now or datetime.now()).strftime(format)

        with self._lock:
            self._sandbox.start(cpu_s)
            try:
                context = self._template.new_context({"strftime_now": strftime_now, **variables})
                return self._sandbox.concat(self._template.root_render_func(context))
            except Exception as error:
                raise self._failure(error) from error
            finally:
                self._sandbox.finish()

    def _unusable(self, why: str) -> LoadFailed:
        return LoadFailed(
            f"the model's {self._name} does not compile: {_plain(why)}",
            hint=_OVERRIDE,
            param="chat_template",
        )

    def _failure(self, error: Exception) -> BadTemplate:
        if isinstance(error, _Refusal):
            return BadTemplate(
                f"the model's {self._name} refuses this conversation: {_plain(str(error))}",
                hint="change roles, order or contents of the messages as the template asks",
                param="messages",
            )
        where = self._where(error.__traceback__)
        if isinstance(error, OverLimit):
            return BadTemplate(
                f"the model's {self._name} was stopped{where}: {error}",
                hint=f"the template is broken or hostile; {_OVERRIDE}",
                param="messages",
            )
        return BadTemplate(
            f"the model's {self._name} fails{where} on this conversation: "
            f"{type(error).__name__}: {_plain(str(error))}",
            hint=f"leave out what the template cannot take, or {_OVERRIDE}",
            param="messages",
        )

    def _where(self, traceback: TracebackType | None) -> str:
        """The line of the template where an error came up."""
        line = 0
        while traceback is not None:
            if traceback.tb_frame.f_globals.get("__jinja_template__") is self._template:
                line = self._template.get_corresponding_lineno(traceback.tb_lineno)
            traceback = traceback.tb_next
        return f" at line {line}" if line else ""


class _Refusal(jinja2.TemplateError):
    """The template called ``raise_exception``."""


class _Generation(Extension):
    """``{% generation %}``: the answers' text, which trainers mask by. Rendered as it is."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        scope = nodes.CallBlock(self.call_method("_body"), [], [], body)
        return scope.set_lineno(line)

    def _body(self, caller: Any) -> str:
        return str(caller())


def _raise_exception(message: object) -> None:
    raise _Refusal(message if isinstance(message, str) else repr(message))


@pass_environment
def _tojson(
    sandbox: Sandbox,
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    _check_layout(indent, separators or ())
    encoder = json.JSONEncoder(
        ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
    return encoder.encode(value) if indent is None else sandbox.concat(encoder.iterencode(value))


def _check_layout(indent: int | str | None, separators: Iterable[str]) -> None:
    width = indent if isinstance(indent, int) else len(indent or "")
    if width > _MAX_INDENT or any(len(separator) > _MAX_INDENT for separator in separators):
        raise OverLimit("it lays out JSON at unbounded width")


def _plain(words: str) -> str:
    """A template's words, fit for a terminal: short, and without control characters."""
    kept = "".join(char if char.isprintable() else " " for char in words[:_MAX_WORDS_CHARS])
    return kept + ("..." if len(words) > _MAX_WORDS_CHARS else "")
