"""``--template``: a file with ``{{ variables }}``, and where their values come from.

Jinja in its sandbox, so that lists can be gone through and a template from elsewhere can do no
harm. A variable that has no value is an error; nothing is left out silently.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kolo.cli.prompt import read_text
from kolo.errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Template as Jinja

INPUT = "input"
"""The variable that holds files, standard input and PROMPT."""


def template_of(
    path: Path | None, variables: tuple[str, ...], variables_file: Path | None
) -> Template | None:
    """What ``--template``, ``--var`` and ``--vars`` say together."""
    if path is not None:
        return Template(path, read_variables(variables, variables_file))
    if variables or variables_file is not None:
        raise UsageError("--var and --vars are for --template", hint="--template FILE, or neither")
    return None


class Template:
    """A template that was read; UsageError names the line where it is none."""

    def __init__(self, path: Path, variables: Mapping[str, Any]) -> None:
        from jinja2 import StrictUndefined, TemplateSyntaxError, meta
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        self._path = path
        self._variables = variables
        environment = ImmutableSandboxedEnvironment(
            undefined=StrictUndefined, keep_trailing_newline=True
        )
        text = read_text(path, "--template")
        try:
            self._jinja: Jinja = environment.from_string(text)
            self.names = meta.find_undeclared_variables(environment.parse(text))
        except TemplateSyntaxError as error:
            raise UsageError(
                f"--template {path}: line {error.lineno}: {error.message}",
                hint="{{ name }} for a variable; a brace that is meant as such is {{ '{' }}",
                param="--template",
            ) from error

    @property
    def takes_input(self) -> bool:
        """Whether it has a place for text that no ``--var`` gives."""
        return INPUT in self.names and INPUT not in self._variables

    def fill(self, variables: Mapping[str, Any]) -> str:
        """The prompt, ``variables`` over those of the command line."""
        from jinja2 import TemplateError

        try:
            return self._jinja.render({**self._variables, **variables})
        except TemplateError as error:
            missing = sorted(self.names - self._variables.keys() - variables.keys())
            hint = f"--var {missing[0]}=…" if missing else ""
            raise UsageError(
                f"--template {self._path}: {error.message}", hint=hint, param="--template"
            ) from error
        except (TypeError, ValueError, ArithmeticError, LookupError) as error:
            # What an expression in the template does with values it did not expect.
            raise UsageError(
                f"--template {self._path}: {type(error).__name__}: {error}", param="--template"
            ) from error


def read_variables(given: tuple[str, ...], file: Path | None) -> dict[str, Any]:
    """The values of ``--vars``, those of ``--var NAME=VALUE`` over them. UsageError for what is
    none."""
    variables = _of_file(file) if file is not None else {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise UsageError(
                f"--var {text!r} is not NAME=VALUE",
                hint="--var language=Swahili",
                param="--var",
            )
        variables[name] = value
    return variables


def _of_file(path: Path) -> dict[str, Any]:
    text = read_text(path, "--vars")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--vars {path} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}",
            hint='an object, such as {"language": "Swahili"}',
            param="--vars",
        ) from error
    if not isinstance(found, dict):
        raise UsageError(
            f"--vars {path} is no JSON object",
            hint='an object, such as {"language": "Swahili"}',
            param="--vars",
        )
    return found
