"""JSON Schemas of what commands write, made from the types that write it.

A type's docstring describes it, and the string below a field describes the field.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
from msgspec.structs import fields as fields_of

from kolo.cli.shapes import SHAPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of the shape ``name``, of one line if it has lines. Nothing is allowed that
    it does not name, and all is required but what its type leaves out when there is none."""
    shape = SHAPES[name]
    types = shape.types()
    found, definitions = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    for cls in _structs(types):
        if cls.__name__ in definitions:
            _complete(definitions[cls.__name__], cls)
    line = "a line of " if shape.form == "lines" else ""
    return {
        "$schema": DIALECT,
        "title": f"{line}kolo {_typed(name)}",
        "description": shape.what,
        **(found[0] if len(found) == 1 else {"anyOf": list(found)}),
        **({"$defs": definitions} if definitions else {}),
    }


def fields(name: str) -> list[str]:
    """The fields of the shape's object, or of the objects in it."""
    kinds = _structs(SHAPES[name].types(), deep=False)
    return list(dict.fromkeys(each for cls in kinds for each in cls.__struct_encode_fields__))


def _typed(name: str) -> str:
    typed = name.removeprefix("kolo ")
    return typed if "-" in typed else f"{typed} --json"


def _complete(definition: dict[str, Any], cls: type[msgspec.Struct]) -> None:
    """What ``msgspec`` leaves open: what is read may lack what is always written."""
    config = cls.__struct_config__
    told = _descriptions(cls)
    names = dict(zip(cls.__struct_encode_fields__, cls.__struct_fields__, strict=True))
    tag = [config.tag_field] if config.tag_field else []
    if not config.omit_defaults:
        optional = {one.encode_name for one in fields_of(cls) if one.default is msgspec.UNSET}
        definition["required"] = [*tag, *(name for name in names if name not in optional)]
    definition["additionalProperties"] = False
    for key, field in names.items():
        if field in told:
            definition["properties"][key]["description"] = told[field]


@cache
def _descriptions(cls: type) -> dict[str, str]:
    """The strings below the fields of a class; none where its source is not there."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, msgspec.Struct) or base is msgspec.Struct:
            continue
        try:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        except (OSError, TypeError):
            continue
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                text = _text(below)
                if text:
                    found[field.target.id] = text
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return " ".join(str(node.value.value).replace("``", "").split())
    return ""


def _structs(types: Sequence[Any], *, deep: bool = True) -> Iterator[type[msgspec.Struct]]:
    """Every Struct in some types; without ``deep`` not those in the fields of another."""
    seen: set[type] = set()
    left = [msgspec.inspect.type_info(one) for one in types]
    while left:
        each = left.pop(0)
        if isinstance(each, msgspec.inspect.StructType):
            if each.cls in seen:
                continue
            seen.add(each.cls)
            yield each.cls
            if deep:
                left += [field.type for field in each.fields]
        elif isinstance(each, msgspec.inspect.UnionType):
            left += each.types
        elif isinstance(each, msgspec.inspect.DictType):
            left.append(each.value_type)
        elif isinstance(each, msgspec.inspect.TupleType):
            left += each.item_types
        elif isinstance(each, msgspec.inspect.CollectionType):
            left.append(each.item_type)
        elif isinstance(each, msgspec.inspect.Metadata):
            left.append(each.type)
