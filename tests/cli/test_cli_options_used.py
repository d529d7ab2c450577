"""Every option that a help mentions is used by a test.

A test uses an option if both its command's name and the option, as an argument each, are in one
call, list or tuple of the tests' sources, or in one function with what it is parametrized with;
``Server(...)`` is a ``kolo serve``.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from tree import NODES

TESTS = Path(__file__).parent.parent
PLACES = (ast.Call, ast.List, ast.Tuple, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def used() -> list[frozenset[str]]:
    """The words of each call, collection and function of the tests."""
    found = []
    for file in TESTS.rglob("*.py"):
        tree = ast.parse(file.read_text())
        constants = dict(_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, PLACES):
                words = frozenset(_words(node, constants))
                if any(word.startswith("-") for word in words):
                    found.append(words)
    return found


def _constants(module: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Collections that have a name in a module."""
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Tuple, ast.List)):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    yield target.id, node.value


def _words(node: ast.AST, constants: dict[str, ast.expr]) -> Iterator[str]:
    """Strings as arguments: ``--stop=x`` is ``--stop``, ``kolo a b`` is its words, and text is
    nothing."""
    for each in ast.walk(node):
        if isinstance(each, ast.Constant) and isinstance(each.value, str):
            words = each.value.split()
            if len(words) == 1 or words[:1] == ["kolo"]:
                for word in words:
                    yield word.partition("=")[0] if word.startswith("--") else word
        elif isinstance(each, ast.Starred) and isinstance(each.value, ast.Name):
            if each.value.id in constants:
                yield from _words(constants[each.value.id], {})
        elif isinstance(each, ast.Call) and isinstance(each.func, ast.Name):
            yield from ("serve",) if each.func.id == "Server" else ()


@pytest.mark.parametrize("name", NODES)
def test_every_option_is_used_by_a_test(name: str) -> None:
    node = NODES[name]
    # kolo serve has an option for every setting: test_every_setting_is_an_option_of_serve.
    made = {f"--{key.replace('_', '-')}" for key in getattr(node.command, "keys", ())}
    unused = [
        flags
        for flags in node.flags()
        if flags[0] not in made
        and not any(words.issuperset(node.path) and words & set(flags) for words in used())
    ]
    assert unused == [], f"no test runs kolo {name} with " + ", ".join(f[-1] for f in unused)


def test_words_of_a_command_line() -> None:
    tree = ast.parse(
        'A = ("-m", "x")\nkolo("bench", *A, "-o=x", f"--n={1}", "kolo b --s=1", "a b")'
    )
    words = set(_words(tree.body[1], dict(_constants(tree))))
    assert words == {"bench", "-m", "x", "-o=x", "--n", "kolo", "b", "--s"}
