"""The dialect of chat templates, and the box that a hostile one is kept in."""

from __future__ import annotations

import tracemalloc
from datetime import datetime
from typing import Any

import pytest

from kolo.engine import sandbox
from kolo.engine.jinja import Program
from kolo.engine.prompt import Template
from kolo.errors import BadTemplate, LoadFailed
from kolo.types import Chat, Message


def render(source: str, **variables: Any) -> str:
    return Program(source).render(variables, cpu_s=0.2)


# The dialect ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("  {% if true %}\n  a\n  {% endif %}\nb", "  a\nb"),
        ("{% for i in range(9) %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}", "012"),
        (
            "{% for i in range(4) %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
            "023",
        ),
        ("{% generation %}{{ 'a' }}b{% endgeneration %}", "ab"),
        ("{{ {'b': '<ü>', 'a': [1, none]} | tojson }}", '{"b": "<ü>", "a": [1, null]}'),
        ("{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}", '{"a": 2, "b": 1}'),
        ("{{ 'ü' | tojson(ensure_ascii=true) }}", '"\\u00fc"'),
        ("{{ [1, 2] | tojson(separators=(',', ':')) }}", "[1,2]"),
        ("{{ {'a': [1]} | tojson(indent=2) }}", '{\n  "a": [\n    1\n  ]\n}'),
        ("{{ [1] | tojson('x', '\t') }}", "[\n\t1\n]"),
        ("{% set ns = namespace(n=1) %}{% set ns.n = ns.n + 1 %}{{ ns.n }}", "2"),
        ("{{ nothing }}{{ nothing is defined }}{{ d.nothing }}", "False"),
        ("{{ 'a' ~ 1 ~ none ~ nothing }}{{ 'a' in 'ab' }}{{ 1 < 2 < 3 }}", "a1NoneTrueTrue"),
        ("{{ '{}-{x:>3}'.format(1, x='b') }}{{ '%s%d%%' % ('a', 2) }}", "1-  ba2%"),
        ("{{ 'a,b'.split(',') | join('+') }}{{ range(3) | map('string') | join }}", "a+b012"),
        (
            "{% macro m(a, b=2) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}"
            "{% call m(1) %}!{% endcall %}",
            "12!",
        ),
        ("{% set x %}<{{ 1 }}>{% endset %}{{ x | length }}{{ x }}", "3<1>"),
        ("{% set l = [] %}{% set _ = l.append(1) %}{{ l }}{{ l.pop(0) }}{{ l }}", "[1]1[]"),
        ("{{ {'keys': 1}.keys is defined }}{{ d['items'] }}{{ d.get('x', 5) }}", "True75"),
        ("{% for k, v in d | items %}{{ k }}{{ v }}{{ loop.last }}{% endfor %}", "items7True"),
    ],
)
def test_the_dialect(source: str, text: str) -> None:
    assert render(source, d={"items": 7}) == text


def test_the_clock() -> None:
    now = datetime(2026, 1, 15, 12, 0)
    assert Program("{{ strftime_now('%Y-%m-%d %H') }}").render({}, now=now) == "2026-01-15 12"


def test_the_names_a_template_reads() -> None:
    program = Program("{% set a = b %}{% for c in d.e['f'] %}{{ c | tojson }}{% endfor %}")
    assert program.names == {"a", "b", "c", "d"}


# What goes wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ raise_exception('Only \x1b[31mone!') }}", r"refuses .*: Only  \[31mone!$"),
        ("{{ raise_exception(messages) }}", "refuses"),
        ("a\n{{ 'a' + 1 }}", "line 2 .*TypeError"),
        ("{{ nothing.at.all }}", "UndefinedError: 'nothing' is undefined"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ nothing | tojson }}", "not JSON serializable"),
        ("{% macro m() %}{{ m() }}{% endmacro %}\n{{ m() }}", "line 1 .*RecursionError"),
        ("{% set a = [] %}{% set _ = a.append(a) %}{{ a | tojson }}", "Circular"),
    ],
)
def test_every_failure_is_a_bad_template(source: str, words: str) -> None:
    with pytest.raises(BadTemplate, match=words) as caught:
        render(source)
    assert caught.value.param == "messages"
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a\n{% for x in y %}", "line 2"),
        ("{{ 1 | nonsense }}", "line 1: No filter named 'nonsense'"),
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "Recursion"),
        ("{% for a in b %}" * 40 + "{% endfor %}" * 40, "nested blocks"),
        ("x" * 200_000, "characters"),
    ],
)
def test_what_does_not_compile_does_not_load(source: str, words: str) -> None:
    with pytest.raises(LoadFailed, match=words) as caught:
        Program(source)
    assert caught.value.param == "chat_template"


# What it must not reach -------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ ('' | attr('__class__')).x }}",
        "{{ '{0.__class__.x}'.format(1) ~ nothing.x }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.x }}",
        "{{ strftime_now.__closure__.x }}",
        "{{ self._TemplateReference__context.environment }}",
        "{{ (messages | map(attribute='__class__') | first).x }}",
        "{% include '/etc/passwd' %}",
        "{% import '/etc/passwd' as x %}",
        "{% extends '/etc/passwd' %}",
        "{{ messages.clear() }}",
        "{{ messages[0].update({'role': 'system'}) }}",
    ],
)
def test_attributes_files_and_mutation_are_out_of_reach(source: str) -> None:
    with pytest.raises(BadTemplate, match=r"SecurityError|undefined|no loader|no attribute"):
        render(source, messages=[{"role": "user"}])


# What it must not cost --------------------------------------------------------------------

GROW = "{% set n = namespace(x=START) %}{% for i in range(60) %}STEP{% endfor %}"
NEST = GROW.replace("START", "[1]").replace("STEP", "{% set n.x = [n.x, n.x] %}")
TWO_NESTS = (
    "{% set n = namespace(x=[1], y=[1]) %}{% for i in range(60) %}"
    "{% set n.x = [n.x, n.x] %}{% set n.y = [n.y, n.y] %}{% endfor %}"
)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(10 ** 9) %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% for b in range(9999) if false %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{% set _ = range(9999) | map('string') | list %}{% endfor %}",
        "{% macro m(n) %}{% if n %}{{ m(n - 1) ~ m(n - 1) }}{% endif %}{% endmacro %}{{ m(99) }}",
        "{% for x in [1, 2] recursive %}{% if loop.depth < 99 %}{{ loop([1, 2]) }}{% endif %}"
        "{% endfor %}",
        "{% set b = 'x' * 10 ** 6 %}{% for i in range(99999) %}{{ b }}{% endfor %}",
        "{% set b %}{% for i in range(99999) %}" + "x" * 9999 + "{% endfor %}{% endset %}",
        "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% for j in range(99999) %}"
        "{% set _ = n.l.append('a' * 4000 ~ i) %}{% endfor %}{% endfor %}",
        "{{ 'a' * 10 ** 9 }}",
        "{{ 10 ** 9 * 'a' }}",
        "{{ ([0] * 10 ** 9) | length }}",
        "{{ (9 ** 9) ** (9 ** 9) }}",
        GROW.replace("START", "3").replace("STEP", "{% set n.x = n.x * n.x %}"),
        GROW.replace("START", "'a'").replace("STEP", "{% set n.x = n.x + n.x %}"),
        GROW.replace("START", "'a'").replace("STEP", "{% set n.x = n.x ~ n.x %}"),
        GROW.replace("START", "[1]").replace("STEP", "{% set n.x = n.x + n.x %}"),
        GROW.replace("START", "'a'").replace(
            "STEP", "{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"
        ),
        NEST + "{{ n.x }}",
        NEST + "{{ n.x | tojson }}",
        NEST + "{{ n.x | string }}",
        NEST + "{{ 'a' ~ n.x }}",
        NEST + "{{ '%s' % n.x }}",
        NEST + "{{ '{}'.format(n.x) }}",
        TWO_NESTS + "{{ n.x == n.y }}",
        TWO_NESTS + "{{ n.x in [n.y] }}",
        TWO_NESTS + "{{ n.x is eq n.y }}",
        TWO_NESTS + "{{ [n.x].index(n.y) }}",
        "{% macro m(d) %}{% if d < 60 %}{{ m(d + 1, varargs, varargs) }}{% else %}"
        "{{ varargs }}{% endif %}{% endmacro %}{{ m(0, 1) }}",
        "{% set a = [] %}{% set n = namespace(x=a) %}{% for i in range(15) %}"
        "{% set n.x = [n.x, n.x] %}{% endfor %}{{ n.x | length }}"
        "{% set _ = a.append('x' * 10 ** 6) %}{{ n.x | string | length }}",
        "{{ 'a' | center(10 ** 9) }}",
        "{{ 'a'.ljust(10 ** 9) }}",
        "{{ '\t'.expandtabs(tabsize=10 ** 9) }}",
        "{{ ('a\n' * 99999) | indent(10 ** 6) }}",
        "{{ [1] | batch(10 ** 9, 'x') | list }}",
        "{{ [1] | tojson(indent=10 ** 9) }}",
        "{{ ([1] * 9999) | tojson(separators=('x' * 10 ** 6, '')) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (10 ** 9, 1) }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:>1000000000}'.format(1) }}",
        "{{ '{:{}}'.format('a', 10 ** 9) }}",
        "{{ ('%(a)s' * 9999) % {'a': 'x' * 10 ** 6} }}",
        "{{ ('{0}' * 9999).format('x' * 10 ** 6) }}",
        "{{ ('a' * 10 ** 6).replace('a', 'b' * 10 ** 6) }}",
        "{{ ('a' * 10 ** 6) | replace(new='b' * 10 ** 6, old='a') }}",
        "{{ (['x' * 10 ** 6] * 1000) | join }}",
        "{{ ('y' * 10 ** 6).join('x' * 10 ** 6) }}",
        "{% for a in range(99999) %}{{ range(999) | map(attribute='q') | unique | first }}"
        "{% endfor %}",
        "{{ range(9999) | map(attribute='q', default='x' * 10 ** 6) | join }}",
        "{{ ''.join(range(999) | map(attribute='q', default='x' * 10 ** 6)) }}",
        "{% for p in range(999) | map(attribute='q', default='x' * 10 ** 6) | batch(999) %}"
        "{{ p }}{% endfor %}",
        "{{ ([[1] * 1000] * 1000) | sum(start=[]) }}",
        "{{ ('ab ' * 10 ** 7) | title }}",
        "{{ ('f' * 10 ** 7) | int(base=16) }}",
        "{{ strftime_now('%Y' * 10 ** 6) }}",
        "{{ 'a'.translate({97: 'b' * 10 ** 6}) }}",
    ],
)
def test_work_without_end_ends_in_bad_template_and_bounded_memory(source: str) -> None:
    program = Program(source)
    tracemalloc.start()
    try:
        with pytest.raises(BadTemplate):
            program.render({}, cpu_s=0.2)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 8 * sandbox.MAX_VALUE_CHARS


def test_a_program_renders_again_after_it_was_stopped() -> None:
    program = Program("{% for a in range(n) %}{% for b in range(n) %}{% endfor %}{% endfor %}ok")
    with pytest.raises(BadTemplate, match="still busy"):
        program.render({"n": 99999}, cpu_s=0.05)
    assert program.render({"n": 1}) == "ok"


def test_a_hostile_template_is_given_up_on_at_load() -> None:
    source = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    template = Template(source, bos_token="", eos_token="")
    assert not template.caps["supports_tools"]


def test_a_long_conversation_is_no_excess() -> None:
    source = (
        "{% set ns = namespace(all='') %}{% for m in messages %}"
        "{% set ns.all = ns.all ~ m.role ~ (m.content | trim) %}{% endfor %}{{ ns.all }}"
    )
    template = Template(source, bos_token="", eos_token="")
    words = "word " * 200
    messages = [Message(role=("user", "assistant")[i % 2], content=words) for i in range(1000)]
    assert len(template.render(Chat(messages=messages)).text) > 1_000_000
