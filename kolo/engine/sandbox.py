"""A Jinja environment in which a hostile template can neither look around nor run away.

Attributes and mutation are Jinja's ``ImmutableSandboxedEnvironment``'s affair; files cannot be
reached, as there is no loader. What is added here is an account of the work done:

* time: every block of a template (a loop's body, a branch, a macro), every call and every
  filter is a step, and every few steps the thread's CPU time is looked at;
* size: whatever makes text or lists longer is asked first how long they will be, and whatever
  enters compiled code (``str``, ``json``, ``==``, ``join``) is weighed first, counting shared
  parts as often as they would be written. A list holding itself twice, forty times over, is
  small in memory and endless in JSON.

CPU time and not the clock: a busy machine must not turn a good prompt into an error.
"""

from __future__ import annotations

import functools
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.compiler import CodeGenerator, Frame, operators
from jinja2.ext import Extension
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext, markup_join, str_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MAX_VALUE_CHARS = 32 << 20
"""Of one value, and of the prompt: some eight million tokens, more than any context."""

MAX_MADE_BYTES = 1 << 30
"""Of all values made in one rendering together."""

_ITEM_CHARS = 32
"""What an item of a list costs beside its text: bounds lists to a million items."""

_MAX_INT_BITS = 1 << 16
_MAX_FIELD_WIDTH = 9_999
_STEPS_PER_LOOK = 64
_BIG_CHARS = 1 << 16

_PADDING = frozenset(
    {"batch", "center", "expandtabs", "indent", "ljust", "rjust", "slice", "to_bytes", "zfill"}
)
_SLOW = frozenset({"striptags", "title", "urlencode", "wordcount"})
"""Microseconds a character where others take nanoseconds."""

_COMPARING = frozenset(
    {"==", "eq", "equalto", "!=", "ne", "in"}
    | {">", "gt", "greaterthan", ">=", "ge", "<", "lt", "lessthan", "<=", "le"}
)
_REMOVED_FILTERS = ("pprint", "urlize", "wordwrap", "xmlattr")
_GROWING = _PADDING | _SLOW | {"format", "join", "replace", "sum"}
_SCALARS = frozenset({str, int, float, bool, type(None)})
_JINJAS_OWN = frozenset({"_block_vars", "_loop_vars"})
_DICT_READS = frozenset({"get", "items", "keys", "values"})
_DICT_NAMES = frozenset(dir(dict))
_FORBIDDEN_TEXT_METHODS = frozenset({"format_map", "maketrans", "translate"})
_BRACE_FIELD = re.compile(r"\{([^{}]*)([{}]?)")
_PERCENT_FIELD = re.compile(r"%[^%a-zA-Z]*")
_DIGITS = re.compile(r"\d+")


class OverLimit(Exception):
    """A template did more than one prompt may cost; the message says of what."""


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment of one template. Renders one prompt at a time: the caller holds a lock."""

    intercepted_binops = frozenset({"+", "*", "**", "%", "//"})

    def __init__(self, extensions: Iterable[str | type[Extension]] = ()) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=list(extensions), finalize=_output
        )
        self.code_generator_class = _MeteredCode
        self.globals["namespace"] = _Namespace
        del self.globals["lipsum"]
        for name in _REMOVED_FILTERS:
            del self.filters[name]
        self.filters.update({n: _metered(self, n, f) for n, f in self.filters.items()})
        tests: dict[str, Any] = self.tests
        tests.update({n: _metered(self, n, tests[n]) for n in _COMPARING})
        self.start(cpu_s=0.0)

    def add_filter(self, name: str, function: Callable[..., Any]) -> None:
        self.filters[name] = _metered(self, name, function)

    def start(self, cpu_s: float) -> None:
        """Open a new account: ``cpu_s`` seconds of this thread's CPU time from now."""
        self._deadline_s = time.thread_time() + cpu_s
        self._cpu_s = cpu_s
        self._steps = 0
        self._made_bytes = 0
        self._weights: dict[int, tuple[Any, int]] = {}

    def finish(self) -> None:
        """Let go of the values the account has kept alive."""
        self._weights = {}

    # Time -------------------------------------------------------------------------------

    def step(self) -> None:
        self._steps += 1
        if self._steps % _STEPS_PER_LOOK == 0:
            self.look()

    def look(self) -> None:
        if time.thread_time() > self._deadline_s:
            raise OverLimit(f"it was still busy after {self._cpu_s:g} s")
        if self._made_bytes > MAX_MADE_BYTES:
            raise OverLimit(f"it makes over {MAX_MADE_BYTES >> 20} MiB of text and lists")

    # Size -------------------------------------------------------------------------------

    def weigh(self, value: Any) -> int:
        """Characters that ``value`` would take written out, roughly; OverLimit over the bound."""
        if type(value) in _SCALARS or not isinstance(value, (list, tuple, dict)):
            return len(value) if isinstance(value, (str, bytes)) else 1
        known = self._weights.get(id(value))
        if known is not None:
            return known[1]
        self._weights[id(value)] = (value, 1)
        weight = 1
        for item in value:
            weight += _ITEM_CHARS + self.weigh(item)
            if isinstance(value, dict):
                weight += self.weigh(value[item])
            self.reserve(weight)
        self._weights[id(value)] = (value, weight)
        return weight

    def weighed(self, value: Any) -> Any:
        if type(value) not in _SCALARS:
            self.weigh(value)
        return value

    def reserve(self, chars: int) -> None:
        """Refuse a value of ``chars`` characters or items before it is made."""
        if chars > MAX_VALUE_CHARS:
            raise OverLimit(f"it makes a value of over {MAX_VALUE_CHARS} characters")

    def made(self, value: Any) -> Any:
        """Charge for a value just made, and hand it on."""
        if value is None:
            return value
        if isinstance(value, (str, bytes)):
            size = len(value)
        elif isinstance(value, (list, tuple, dict)):
            size = len(value) * _ITEM_CHARS
        elif isinstance(value, int) and value.bit_length() > _MAX_INT_BITS:
            raise OverLimit(f"it makes a number of over {_MAX_INT_BITS} bits")
        else:
            return value
        if size < _BIG_CHARS:
            self._made_bytes += size
        else:
            self.reserve(size)
            self._made_bytes += sys.getsizeof(value)
            self.look()
        return value

    def admit(self, name: str, subject: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Weigh what a call or filter is given, and what it may make of it."""
        values = (
            (*args, *(v for k, v in kwargs.items() if k not in _JINJAS_OWN)) if kwargs else args
        )
        for value in (subject, *values):
            if type(value) not in _SCALARS:
                self.weigh(value)
        if name in _GROWING:
            self._admit_growth(name, subject, values)

    def _admit_growth(self, name: str, subject: Any, values: tuple[Any, ...]) -> None:
        weight = self.weigh(subject)
        if name in _PADDING:
            self.reserve(max(weight, 64) * sum(map(_extent, values)))
        elif name in _SLOW:
            self.reserve(weight * 64)
        elif name == "replace" and isinstance(subject, str):
            old, new = (str(v) for v in (*values, "", "")[:2])
            self.reserve(max(subject.count(old) * len(new), subject.count(new) * len(old)))
        elif name == "join":
            texts = [v for v in (subject, *values) if isinstance(v, str)]
            pieces = [v for v in (subject, *values) if not isinstance(v, str)]
            count = sum(len(v) for v in (*texts, *pieces) if isinstance(v, (str, list, tuple)))
            self.reserve(sum(map(self.weigh, pieces)) + count * max(map(len, texts), default=0))
        elif name == "format" and isinstance(subject, str):
            self._admit_fields(_PERCENT_FIELD.findall(subject), values)
        elif name == "sum" and any(isinstance(v, (list, tuple)) for v in values):
            raise OverLimit("it adds up lists")

    def _admit_fields(self, fields: list[str], values: Iterable[Any]) -> None:
        """The fields of a format string, each of which may repeat any of ``values``."""
        for field in fields:
            wide = any(len(d) > 9 or int(d) > _MAX_FIELD_WIDTH for d in _DIGITS.findall(field))
            if wide or "*" in field:
                raise OverLimit("it formats a field of unbounded width")
        self.reserve(len(fields) * (_MAX_FIELD_WIDTH + sum(map(self.weigh, values))))

    # What the compiled template calls ---------------------------------------------------

    def concat(self, pieces: Iterable[str]) -> str:
        """Join a buffer (a macro, a ``set`` block) or the whole rendering."""
        if not isinstance(pieces, list):
            pieces = list(self._counted(pieces))
        self.reserve(sum(map(len, pieces)))
        text: str = self.made("".join(pieces))
        return text

    def _counted(self, pieces: Iterable[str]) -> Iterator[str]:
        """What is written while nobody knows yet how long it will be."""
        chars = 0
        for piece in pieces:
            self.step()
            chars += len(piece)
            self.reserve(chars)
            yield piece

    def joined(self, eval_ctx: EvalContext, values: tuple[Any, ...]) -> str:
        """``a ~ b ~ c``"""
        self.reserve(sum(map(self.weigh, values)))
        join = markup_join if eval_ctx.autoescape else str_join
        return str(self.made(join(values)))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __self.step()
        receiver = getattr(__obj, "__self__", None)
        name = getattr(__obj, "__name__", "")
        if name == "join" and args and not isinstance(args[0], (str, list, tuple, dict)):
            args = (list(args[0]), *args[1:])
        __self.admit(name, receiver, args, kwargs)
        result = __self.made(super().call(__context, __obj, *args, **kwargs))
        if isinstance(receiver, list) and name in ("append", "pop"):
            __self._weights.clear()
        return result

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            values = right if isinstance(right, tuple) else (right,)
            self._admit_fields(_PERCENT_FIELD.findall(left), values)
        elif operator == "*":
            count, other = (left, right) if isinstance(left, int) else (right, left)
            if isinstance(count, int) and not isinstance(other, (int, float)):
                self.reserve(self.weigh(other) * count)
        elif (
            operator == "**"
            and isinstance(left, int)
            and isinstance(right, int)
            and left.bit_length() * right > _MAX_INT_BITS
        ):
            raise OverLimit(f"it makes a number of over {_MAX_INT_BITS} bits")
        return self.made(super().call_binop(context, operator, left, right))

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        wrapped = super().wrap_str_format(value)
        if wrapped is None:
            return None
        text: str = value.__self__

        @functools.wraps(value)
        def bounded(*args: Any, **kwargs: Any) -> str:
            found = _BRACE_FIELD.findall(text)
            if any(nested == "{" and field for field, nested in found):
                raise OverLimit("it formats a field of unbounded width")
            self._admit_fields([field for field, _ in found], (*args, *kwargs.values()))
            return wrapped(*args, **kwargs)

        return bounded

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Jinja's own answer, found sooner for what templates ask all the time."""
        kind = type(obj)
        if kind is dict:
            if attribute not in _DICT_NAMES and attribute in obj:
                return obj[attribute]
        elif kind is _Namespace and attribute[:1] != "_":
            value = getattr(obj, attribute, self)
            if value is not self:
                return value
        return super().getattr(obj, attribute)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Also ``append`` and ``pop`` of a list, which the reference forbids and some published
        templates need: every list a template can see was made for this one rendering."""
        if isinstance(obj, list) and attr in ("append", "pop"):
            return True
        if isinstance(obj, (str, bytes)) and attr in _FORBIDDEN_TEXT_METHODS:
            return False
        if isinstance(obj, (str, LoopContext)):
            return attr[:1] != "_"
        if type(obj) is dict and attr in _DICT_READS:
            return True
        return super().is_safe_attribute(obj, attr, value)


class _MeteredCode(CodeGenerator):
    """Jinja's compiler, with the account's calls in the code it writes."""

    def blockvisit(self, nodes: Iterable[nodes.Node], frame: Frame) -> None:
        self.writeline("environment.step()")
        super().blockvisit(nodes, frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.write("environment.joined(context.eval_ctx, (")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        sides = (node.expr, *(operand.expr for operand in node.ops))
        if len(sides) == 2 and any(map(_is_flat, sides)):
            super().visit_Compare(node, frame)
            return
        self.write("(environment.weighed(")
        self.visit(node.expr, frame)
        for operand in node.ops:
            self.write(f") {operators[operand.op]} environment.weighed(")
            self.visit(operand.expr, frame)
        self.write("))")


class _Namespace(Namespace):
    """Does not write out what it holds: nothing weighs a namespace."""

    def __repr__(self) -> str:
        return "<Namespace>"


def _is_flat(node: nodes.Expr) -> bool:
    """Comparing with this never descends into the other side."""
    items = node.items if isinstance(node, (nodes.List, nodes.Tuple)) else [node]
    return all(isinstance(item, nodes.Const) for item in items)


@pass_context
def _output(context: Context, value: Any) -> Any:
    if type(value) not in _SCALARS:
        context.environment.weigh(value)  # type: ignore[attr-defined]
    return value


def _extent(value: Any) -> int:
    """How far a width or a filler may stretch a text."""
    if isinstance(value, int):
        return abs(value)
    return len(value) if isinstance(value, str) else 1


def _metered(sandbox: Sandbox, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test that is a step and pays for what it makes."""
    first = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Any:
        sandbox.step()
        subject = args[first]
        if name == "join" and not isinstance(subject, (str, list, tuple, dict)):
            subject = list(subject)
            args = (*args[:first], subject, *args[first + 1 :])
        sandbox.admit(name, subject, args[first + 1 :], kwargs)
        result = sandbox.made(function(*args, **kwargs))
        if type(subject) not in _SCALARS:
            # A hundred thousand items may have gone by in this one step.
            sandbox.look()
        return result

    return metered
