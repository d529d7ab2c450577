"""``--template``: variables, where their values come from, and what has none."""

from __future__ import annotations

from pathlib import Path

import pytest

from kolo.cli.template import Template, read_variables
from kolo.errors import UsageError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "t.txt"


def filled(file: Path, text: str, **variables: object) -> str:
    file.write_text(text)
    return Template(file, {}).fill(variables)


def test_variables_lists_and_conditions(file: Path) -> None:
    assert filled(file, "To {{ who }}:\n", who="Ada") == "To Ada:\n"
    listed = "{% for one in all %}- {{ one }}\n{% endfor %}"
    assert filled(file, listed, all=["a", "b"]) == "- a\n- b\n"
    assert filled(file, "{{ user.name }} {{ '{{' }}", user={"name": "Ada"}) == "Ada {{"


def test_a_line_has_its_own_over_those_of_the_command(file: Path) -> None:
    file.write_text("{{ a }}{{ b }}")
    assert Template(file, {"a": "1", "b": "2"}).fill({"b": "3"}) == "13"


def test_a_variable_without_a_value_is_named(file: Path) -> None:
    with pytest.raises(UsageError, match="'language' is undefined") as caught:
        filled(file, "In {{ language }}", lang="x")
    assert caught.value.hint == "--var language=…"
    with pytest.raises(UsageError, match="'dict object' has no attribute 'nam'"):
        filled(file, "{{ user.nam }}", user={"name": "Ada"})


@pytest.mark.parametrize("text", ["{{ a / 0 }}", "{{ a + 'x' }}", "{{ [1][a] }}x{{ a.b.c }}"])
def test_an_expression_that_fails_is_no_traceback(file: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"^--template "):
        filled(file, text, a=1)


def test_a_template_from_elsewhere_can_do_no_harm(file: Path) -> None:
    with pytest.raises(UsageError, match=r"access to attribute '__class__' .* unsafe"):
        filled(file, "{{ ''.__class__ }}")
    with pytest.raises(UsageError):
        filled(file, "{% include '/etc/passwd' %}")


def test_what_is_no_template_names_its_line(file: Path) -> None:
    with pytest.raises(UsageError, match=r"t\.txt: line 2: "):
        filled(file, "a\n{% for %}")


def test_it_knows_whether_it_takes_input(file: Path) -> None:
    file.write_text("Sum up: {{ input }}")
    assert Template(file, {}).takes_input
    assert not Template(file, {"input": "given"}).takes_input
    file.write_text("Hello")
    assert not Template(file, {}).takes_input


def test_values_of_a_file_and_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "v.json"
    path.write_text('{"a": [1], "b": "file"}')
    assert read_variables(("b=x=y", "c="), path) == {"a": [1], "b": "x=y", "c": ""}


@pytest.mark.parametrize("text", ["a", "=b", "a-b=c", ""])
def test_a_variable_is_a_name_and_a_value(text: str) -> None:
    with pytest.raises(UsageError, match="is not NAME=VALUE"):
        read_variables((text,), None)


@pytest.mark.parametrize(
    ("text", "told"), [("{\n x", "line 2, column 2"), ("[]", "is no JSON object")]
)
def test_a_file_of_values_that_is_none(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "v.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=told):
        read_variables((), path)
