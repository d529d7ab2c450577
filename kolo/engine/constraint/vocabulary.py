"""Which keywords of JSON Schema are kept, which say nothing of the value, which are refused."""

from __future__ import annotations

import re

from kolo.engine.constraint.keywords import Node, refuse

ANNOTATIONS = {
    *("$schema", "$comment", "$defs", "definitions", "$anchor", "title", "description"),
    *("markdownDescription", "default", "examples", "example", "deprecated", "readOnly"),
    *("writeOnly", "discriminator", "externalDocs", "xml"),
}
APPLICATORS = ("$ref", "allOf", "anyOf", "oneOf")
FAMILY = {
    key: family
    for family, keys in {
        "number": "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf",
        "string": "minLength maxLength pattern contentEncoding",
        "array": "items prefixItems minItems maxItems uniqueItems",
        "object": "properties required additionalProperties patternProperties propertyNames "
        "minProperties maxProperties",
    }.items()
    for key in keys.split()
}
"""Keyword to the type it is about."""
KNOWN = {*APPLICATORS, *FAMILY, "type", "const", "enum", "format"}
_HINTS = {
    "nullable": 'Write "type": ["...", "null"].',
    "additionalItems": 'Write "prefixItems" for the first items and "items" for the others.',
    "unevaluatedProperties": 'Write "additionalProperties": false in the object itself.',
    "not": "Say what the value may be, for example with enum or pattern.",
    "if": "Write the cases as anyOf.",
    "dependentRequired": "Write the cases as anyOf, or require the properties always.",
    "id": 'Write "$id" or leave it out.',
}
_DIALECTS = re.compile(
    r"https?://json-schema\.org/(?:draft-0[467]|draft/(?:2019-09|2020-12))/schema#?"
)


def check_keys(node: Node, path: str, *, root: bool = False) -> None:
    """Refuse every keyword that cannot be kept. Annotations and ``x-...`` say nothing."""
    for key, value in node.items():
        if key == "$schema" and not (isinstance(value, str) and _DIALECTS.fullmatch(value)):
            refuse(f"{path}/$schema", f"unknown dialect {value!r}", "Use draft 2020-12.")
        if key in KNOWN or key in ANNOTATIONS or key.startswith("x-"):
            continue
        if (key == "$id" and root) or (key == "nullable" and value is False):
            continue
        refuse(f"{path}/{key}", "this keyword cannot be kept", _HINTS.get(key, ""))
