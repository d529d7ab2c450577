from __future__ import annotations

import json
import re
from typing import Any

import pytest
from grammar_cases import accepts, answers, sample, schema
from jsonschema import Draft202012Validator

from kolo.engine.constraint.schema import prepare
from kolo.errors import BadGrammar

I = {"type": "integer"}  # noqa: E741
S = {"type": "string"}


def obj(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


REALISTIC: dict[str, Any] = {
    "weather call": obj(
        "location",
        "unit",
        location={"type": "string", "description": "City and country", "minLength": 1},
        unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
        days={"type": "integer", "minimum": 1, "maximum": 14, "default": 1},
    ),
    "invoice": obj(
        "number",
        "lines",
        number={"type": "string", "pattern": "^INV-[0-9]{4}$"},
        lines={
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": obj("what", "price", what=S, price={"type": "number", "exclusiveMinimum": 0}),
        },
        paid={"type": "boolean"},
    ),
    "pydantic with $defs and null unions": {
        "$defs": {
            "Color": {"enum": ["red", "green"], "title": "Color", "type": "string"},
            "Item": {
                **obj(
                    "color", color={"$ref": "#/$defs/Color"}, note={"anyOf": [S, {"type": "null"}]}
                ),
                "title": "Item",
            },
        },
        **obj(
            "items",
            items={"items": {"$ref": "#/$defs/Item"}, "title": "Items", "type": "array"},
            best={"allOf": [{"$ref": "#/$defs/Item"}], "default": None},
            by_color={
                "additionalProperties": {"type": "integer"},
                "propertyNames": {"$ref": "#/$defs/Color"},
                "type": "object",
            },
        ),
    },
    "discriminated union": {
        "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/A"}},
        "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}],
        "$defs": {
            "A": obj("kind", "x", kind={"const": "a"}, x=I),
            "B": obj("kind", "y", kind={"const": "b"}, y=S),
        },
    },
    "oneOf by what is required": {"oneOf": [obj("card", card=S), obj("iban", iban=S)]},
    "oneOf by type": {
        "oneOf": [{"type": "null"}, {"type": "array", "items": I}, {"type": "number", "minimum": 3}]
    },
    "recursive tree": {
        "$ref": "#/$defs/node",
        "$defs": {
            "node": obj(
                "value", value=I, children={"type": "array", "items": {"$ref": "#/$defs/node"}}
            )
        },
    },
    "tuple": {
        "type": "array",
        "prefixItems": [I, S, {"const": None}],
        "items": {"type": "boolean"},
        "minItems": 3,
        "maxItems": 5,
    },
    "inheritance by allOf": {
        "allOf": [
            {"$ref": "#/$defs/base"},
            {"properties": {"extra": {"type": "boolean"}}, "required": ["extra"]},
        ],
        "$defs": {"base": obj("id", id={"type": "integer", "minimum": 10, "maximum": 99}, name=S)},
    },
    "properties beside anyOf": {
        **obj("mode", mode={"enum": ["fast", "slow"]}),
        "anyOf": [{"required": ["a"]}, {"required": ["b"], "properties": {"b": I}}],
    },
    "map with patterns": {
        "type": "object",
        "properties": {"x-size": {"minimum": 5}},
        "patternProperties": {"^x-": I, "^s-": {"type": "string", "maxLength": 4}},
        "additionalProperties": {"type": "null"},
    },
    "open object": {**obj("a", "b/c", a=I, **{"b/c": S}), "additionalProperties": {"type": "null"}},
    "number bounds": {
        "type": "array",
        "minItems": 4,
        "maxItems": 4,
        "prefixItems": [
            {"type": "number", "minimum": -1.5, "maximum": 2.25},
            {"type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 5, "multipleOf": 3},
            {"type": "number", "multipleOf": 0.25, "maximum": 10, "minimum": 0},
            {"type": "integer", "format": "uint8"},
        ],
    },
    "enum of anything": {"enum": ["a", 1, 2.5, None, True, [1, {"k": "v"}], {"o": []}, 'é"\\\n']},
    "without types": {"properties": {"n": {"minimum": 3, "maximum": 9}, "s": {"maxLength": 3}}},
    "names to escape": obj('q"', "é/~", **{'q"': I, "é/~": {"const": "\t\\"}, "%$ref": True}),
    "reference into properties": obj("a", a=S, b={"$ref": "#/properties/a"}, c={"$ref": "#here"})
    | {"$defs": {"x": {"$anchor": "here", "type": "integer"}}},
    "anything": {},
}


@pytest.mark.parametrize("name", REALISTIC)
def test_random_answers_are_whole_and_valid(name: str) -> None:
    validator = Draft202012Validator(REALISTIC[name])
    matcher = schema(REALISTIC[name])
    for seed in range(12):
        text, whole = sample(matcher.clone(), seed, 120)
        assert whole, text
        validator.validate(json.loads(text))


# What is refused -----------------------------------------------------------------------------

REFUSED: list[tuple[Any, str]] = [
    (obj(age={"not": S}), "/properties/age/not"),
    ({"if": I, "then": S}, "/if"),
    ({"type": "object", "dependentSchemas": {"a": {}}}, "/dependentSchemas"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "/dependentRequired"),
    (obj(a=S) | {"propertyNames": {"pattern": "^a"}}, "/propertyNames"),
    ({"type": "object", "propertyNames": {"minLength": 2}}, "/propertyNames"),
    ({"type": "object", "unevaluatedProperties": False}, "/unevaluatedProperties"),
    ({"type": "array", "unevaluatedItems": False}, "/unevaluatedItems"),
    ({"type": "array", "contains": I}, "/contains"),
    (obj(a={"type": "array", "uniqueItems": True}), "/properties/a/uniqueItems"),
    ({"type": "array", "items": [I]}, "/items"),
    ({"type": "array", "additionalItems": False}, "/additionalItems"),
    ({"$dynamicRef": "#a"}, "/$dynamicRef"),
    ({"$ref": "https://example.com/s.json"}, "/$ref"),
    ({"$ref": "#/$defs/missing"}, "/$ref"),
    ({"$ref": "#missing"}, "/$ref"),
    (obj(a={"$id": "x"}), "/properties/a/$id"),
    ({"$schema": "https://example.com/own"}, "/$schema"),
    (obj(a={"type": "string", "minlength": 2}), "/properties/a/minlength"),
    ({"type": "string", "nullable": True}, "/nullable"),
    ({"type": "string", "format": "color"}, "/format"),
    ({"type": "string", "format": "int32"}, "/format"),
    ({"type": "string", "contentEncoding": "base32"}, "/contentEncoding"),
    ({"type": "string", "contentMediaType": "application/json"}, "/contentMediaType"),
    ({"anyOf": [S, {"pattern": "(?=a)b"}]}, "/anyOf/1/pattern"),
    ({"type": "object", "patternProperties": {"a/(b)\\1": S}}, "/patternProperties/a~1(b)\\1"),
    ({"type": "object", "minProperties": 2}, "/minProperties"),
    ({"type": "number", "exclusiveMinimum": True}, "/exclusiveMinimum"),
    ({"type": "integer", "multipleOf": 0}, "/multipleOf"),
    ({"type": "integer", "multipleOf": 1234567}, "/multipleOf"),
    ({"const": 2**53 + 1}, "/const"),
    ({"enum": ["ok", "\x00"]}, "/enum/1"),
    ({"const": {"a": [1e300]}}, "/const/a/0"),
    ({"type": "text"}, "/type"),
    ({"type": []}, "/type"),
    ({"properties": []}, "/properties"),
    (obj(a=3), "/properties/a"),
    ({"required": "a"}, "/required"),
    ({"anyOf": []}, "/anyOf"),
    ({"oneOf": [I, {"type": "number"}]}, "/oneOf"),
    ({"oneOf": [obj("a", a=S), obj("a", a=S, b=I)]}, "/oneOf"),
    ({"oneOf": [obj(a=S), obj(b=S)]}, "/oneOf"),
    (
        {"$defs": {"a": {"properties": {"b": {"not": {}}}}}, "$ref": "#/$defs/a"},
        "/$defs/a/properties/b/not",
    ),
]


@pytest.mark.parametrize(("given", "path"), REFUSED, ids=[path for _, path in REFUSED])
def test_what_cannot_be_kept_is_refused_by_its_path(given: Any, path: str) -> None:
    with pytest.raises(BadGrammar, match=f"^schema {re.escape(path)}: ") as refused:
        schema(given)
    assert refused.value.hint
    assert refused.value.param == "json_schema"


CONTRADICTIONS: list[tuple[Any, str]] = [
    (obj(a={"type": "integer", "minimum": 5, "maximum": 3}), "schema /properties/a: "),
    ({"type": "integer", "minimum": 1.2, "maximum": 1.8}, "no integer"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength 3 is over maxLength 2"),
    ({"type": "array", "minItems": 3, "maxItems": 2}, "minItems 3 is over maxItems 2"),
    ({"type": "array", "minItems": 1, "items": False}, "unsatisfiable"),
    ({"enum": []}, "schema /enum: an empty enum"),
    (obj("a", a=False), "required property 'a'"),
    (obj("b", a=S) | {"additionalProperties": False}, "required property 'b'"),
    (obj("a", "b", a=S, b=S) | {"maxProperties": 1}, "schema /maxProperties: "),
    (obj(a=S) | {"minProperties": 2}, "schema /minProperties: "),
    (obj("x", x={"allOf": [S, I]}), "schema /properties/x: "),
    (obj("x", x={"const": "a", "type": "integer"}), "schema /properties/x: "),
    (obj("x", x={"type": "string", "pattern": "^a$", "minLength": 2}), "schema /properties/x: "),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 5, "multipleOf": 2}}}, "schema /$defs/a: "),
    (
        obj(s={"type": "number", "multipleOf": 0.01, "minimum": 0.015, "maximum": 0.021}),
        "schema /properties/s: nothing can match",
    ),
    (False, "schema: "),
    ({"$ref": "#"}, "refers to itself"),
    ({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, S]}}}, "/$defs/a: "),
    ({"$ref": "#/$defs/n", "$defs": {"n": obj("n", n={"$ref": "#/$defs/n"})}}, "without end"),
    ({"type": "array", "minItems": 1, "items": {"$ref": "#"}}, "without end"),
]


@pytest.mark.parametrize(("given", "says"), CONTRADICTIONS, ids=[s for _, s in CONTRADICTIONS])
def test_a_schema_that_contradicts_itself_is_refused_and_named(given: Any, says: str) -> None:
    with pytest.raises(BadGrammar, match=re.escape(says)):
        schema(given)


def chain(length: int, link: Any) -> dict[str, Any]:
    defs = {f"d{i}": link(f"#/$defs/d{i + 1}") for i in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": I}}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = I
    for _ in range(depth):
        value = {"type": "array", "items": value}
    return value


def both(ref: str) -> dict[str, Any]:
    bounds = [{"properties": {name: {"minimum": 1}}} for name in "ab"]
    return {**obj(a={"$ref": ref}, b={"$ref": ref}), "allOf": bounds}


HOSTILE: dict[str, Any] = {
    "deep": nested(60),
    "very deep": nested(900),
    "long chain": chain(3000, lambda ref: {"$ref": ref}),
    "chain of objects": chain(500, lambda ref: obj(a={"$ref": ref})),
    "doubling": chain(30, both),
    "many optional": obj(**{f"p{i}": I for i in range(2000)}),
    "product": {"type": "string", "allOf": [{"anyOf": [{"minLength": i} for i in range(12)]}] * 6},
    "long pattern": {"type": "string", "pattern": "a" * 20_000},
    "nested pattern": {"type": "string", "pattern": "(" * 3000 + "a" + ")" * 3000},
    "long constant": {"const": "x" * 100_000},
    "deep constant": {"const": json.loads("[" * 60 + "]" * 60)},
    "many branches": {"oneOf": [{"const": i} for i in range(1000)]},
    "steps": {"type": "integer", "allOf": [{"multipleOf": n} for n in (97, 89, 83, 79)]},
    "reference in circles": {
        "type": "object",
        "propertyNames": {"$ref": "#/$defs/a"},
        "$defs": {"a": {"$ref": "#/$defs/a"}},
    },
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_schemas_are_refused(name: str) -> None:
    with pytest.raises(BadGrammar):
        schema(HOSTILE[name])


def test_what_is_never_used_is_not_judged() -> None:
    assert accepts(schema({"type": "null", "$defs": {"unused": {"not": {}}}}), "null")


def test_annotations_say_nothing() -> None:
    words = ["title", "description", "default", "examples", "$comment", "deprecated", "readOnly"]
    said = {word: "x" for word in (*words, "writeOnly", "x-own", "$anchor")}
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.com/x"}
    assert accepts(schema({**draft, **said, "nullable": False, "type": "integer"}), "1")


# How answers look ----------------------------------------------------------------------------


def test_json_is_written_as_python_writes_it_with_properties_in_order() -> None:
    matcher = schema(obj("a", a=I, b={"type": "array", "items": I}))
    value = {"a": 1, "b": [1, 2]}
    assert accepts(matcher, json.dumps(value))
    assert accepts(matcher, '{"a": 1}')
    for other in ('{"a":1}', '{ "a": 1}', '{"a": 1 }', '{"a": 1,"b": []}', '{"b": [], "a": 1}'):
        assert not accepts(matcher, other)


def test_objects_are_closed_unless_the_schema_speaks_of_others() -> None:
    assert not accepts(schema(obj(a=I)), '{"a": 1, "z": 2}')
    assert accepts(schema(obj(a=I) | {"additionalProperties": True}), '{"a": 1, "z": 2}')
    assert accepts(schema(obj("z", a=I)), '{"z": 2}')
    assert accepts(schema({"type": "object"}), '{"z": 2}')
    merged = schema({"allOf": [obj(a=I), {"properties": {"b": S}}]})
    assert accepts(merged, '{"a": 1, "b": "x"}')
    assert not accepts(merged, '{"a": 1, "z": 2}')


def test_a_named_property_cannot_slip_in_by_an_escape() -> None:
    matcher = schema(obj(a=I, **{"b/c": I}) | {"additionalProperties": S})
    assert accepts(matcher, '{"z": "x"}')
    for name in ("a", "\\u0061", "b/c", "b\\/c"):
        assert not accepts(matcher, f'{{"{name}": "x"}}')


def test_lengths_are_counted_in_code_points() -> None:
    matcher = schema({"type": "string", "minLength": 2, "maxLength": 2})
    for text in ("é日", "😀\\n", '\\"\\\\'):
        assert accepts(matcher, f'"{text}"')
    for text in ("a", "abc", "\\u0041b"):
        assert not accepts(matcher, f'"{text}"')


def test_bounds_that_a_double_cannot_hold_are_rounded_inwards() -> None:
    high = schema({"type": "integer", "minimum": 0, "maximum": 2**63 - 1})
    assert accepts(high, "9223372036854774784")
    assert not accepts(high, str(2**63))
    low = schema({"type": "integer", "minimum": 2**53 + 1})
    assert not accepts(low, str(2**53))
    assert accepts(low, str(2**53 + 2))


def test_formats_of_integers_are_bounds() -> None:
    matcher = schema({"type": "integer", "format": "int8"})
    assert [accepts(matcher, text) for text in ("-128", "127", "128", "-129")] == [1, 1, 0, 0]


def test_a_schema_about_one_type_is_of_that_type() -> None:
    assert not accepts(schema({"properties": {"a": I}}), "1")
    assert not accepts(schema({"minLength": 1}), "{}")
    assert accepts(schema({"minLength": 1, "minimum": 2}), "3")


def test_property_names_of_a_map_may_be_an_enum() -> None:
    rule = {"enum": ["a", "b"]}
    matcher = schema(
        {"type": "object", "propertyNames": rule, "additionalProperties": {"const": 1}}
    )
    assert set(answers(matcher)) == {b"{}", b'{"a": 1}', b'{"b": 1}', b'{"a": 1, "b": 1}'}


def test_options_in_a_schema_cannot_loosen_it() -> None:
    loose = {"x-guidance": {"lenient": True, "whitespace_flexible": True}, "not": S}
    with pytest.raises(BadGrammar, match="/not"):
        schema(loose)
    assert not accepts(
        schema({"x-guidance": {"whitespace_flexible": True}, **obj("a", a=I)}), '{ "a": 1}'
    )


def test_a_prepared_schema_says_where_it_came_from() -> None:
    with pytest.raises(BadGrammar, match=r"^tools/0/parameters /properties/a/not: "):
        prepare(obj(a={"not": S}), "tools/0/parameters")
    assert prepare(obj(a=I), "x").schema["x-guidance"]["lenient"] is False
