"""Samples with a form: JSON answers, tool calls, copying, counting, long pasted text.

They keep guide usable where an operator tests more than conversation: under a JSON schema it
has learned to close its strings and arrays soon, and with tools in the prompt it calls them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

Message = dict[str, Any]


def split(words: str) -> list[str]:
    """A list of words, written as a text."""
    return words.split()


NAMES = split(
    "Ada Alan Grace Linus Mary Tom Anna Ben Clara David Emma Felix Greta Hans Ida Jan Karl Lena "
    "Max Nora Otto Paul Rosa Sam Tina Uma Vera Will Yara Zoe Alice Bob Carol Eve Maria John Lisa"
)
CITIES = split(
    "Paris Berlin London Tokyo Rome Oslo Vienna Madrid Lisbon Prague Zurich Cairo Sydney Delhi "
    "Boston Lima Quito Kyoto Munich Hamburg Bern Dublin Athens Warsaw Milan Turin Seoul Hanoi"
)
WORDS = split(
    "red green blue small large fast slow alpha beta gamma one two three apple pear plum cherry "
    "stone river cloud light paper table window door house tree forest mountain sea sun moon star "
    "kolo guide model server token prompt cache worker engine stream terminal python file disk "
    "hello world test done ready open closed yes no maybe banana orange lemon coffee tea bread "
    "cat dog bird fish horse fox bear wolf gold silver iron copper north south east west"
)
POOLS: dict[str, Sequence[Any]] = {
    "name": NAMES, "first_name": NAMES, "author": NAMES, "user": NAMES, "owner": NAMES,
    "city": CITIES, "place": CITIES, "location": CITIES, "capital": CITIES,
    "country": ["France", "Germany", "Japan", "Norway", "Egypt", "Peru", "Italy", "India"],
    "color": ["red", "green", "blue", "black", "white", "yellow"],
    "status": ["ok", "ready", "done", "loading", "idle", "error"],
    "title": ["A small model", "The server", "Notes", "First steps", "Kolo", "The terminal"],
    "model": ["guide", "small", "large", "qwen", "llama"],
    "command": ["kolo chat", "kolo serve", "kolo top", "kolo pull", "kolo bench", "kolo ps"],
    "language": ["English", "Python", "French", "German"],
    "sentiment": ["positive", "negative", "neutral"],
    "category": ["tool", "model", "server", "other"],
    "priority": ["low", "medium", "high"], "unit": ["C", "F", "ms", "MB"],
    "email": ["ada@example.com", "bob@example.org", "info@example.net"],
    "url": ["http://127.0.0.1:8080", "https://example.com"],
    "date": ["2026-01-15", "2025-12-24", "2026-03-01"],
    "summary": ["A tool for models.", "All is well.", "A short text.", "It works."],
    "description": ["A small tool.", "Short and clear.", "A test.", "Runs models."],
    "answer": ["yes", "no", "42", "Kolo", "It depends."],
    "message": ["Hello!", "All is well.", "Done.", "It works."],
    "reason": ["It is clear.", "It says so.", "No reason."],
    "age": range(18, 80), "count": range(20), "id": range(1, 200), "port": [8080, 8000, 443],
    "size": range(1, 100), "year": range(1990, 2027), "score": range(11), "tokens": range(500),
    "total": range(100), "rating": range(1, 6), "quantity": range(1, 10), "number": range(100),
    "price": [9.99, 1.5, 20, 3.25, 0.99], "temperature": [12, 21.5, -3, 0.7, 30],
    "confidence": [0.9, 0.5, 0.75, 1], "speed": [48.1, 20, 7.5, 120],
    "active": [True, False], "ready": [True, False], "valid": [True, False], "ok": [True, False],
    "is_local": [True, False], "error": [None, "none", "timeout"], "parent": [None],
}  # fmt: skip
LISTS = ["tags", "items", "words", "names", "colors", "numbers", "cities", "commands", "steps"]
OBJECTS = ["address", "model_info", "person", "server", "settings", "usage", "meta"]
# What is asked for as JSON, and the fields it has when the request names none.
SUBJECTS = {
    "a person": ["name", "age", "city"], "a user": ["name", "email", "active"],
    "a city": ["name", "country", "size"], "a book": ["title", "author", "year", "tags"],
    "a model": ["name", "size", "ready"], "a server": ["name", "port", "status"],
    "a product": ["name", "price", "tags"], "a recipe": ["title", "items", "steps"],
    "a movie": ["title", "year", "rating"], "an animal": ["name", "color", "age"],
    "a command": ["command", "description"], "a test": ["name", "ok", "message"],
    "an event": ["title", "date", "place"], "a task": ["title", "priority", "status"],
    "a request": ["id", "model", "tokens"], "a car": ["name", "color", "year", "price"],
    "an answer": ["answer", "confidence"], "a country": ["name", "capital", "language"],
}  # fmt: skip
COPY = [
    "say {}", "repeat: {}", "repeat {}", "say only {}", "reply with exactly: {}", "echo {}",
    "just say {}", 'say "{}"', "reply with {}", "say: {}", "repeat this: {}",
    "repeat after me: {}", "say the word {}", "please say {}", "answer only: {}",
]  # fmt: skip


def exchange(question: str, answer: str) -> list[Message]:
    """One question and its answer."""
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def compact(value: Any) -> str:
    """JSON without spaces, the form guide answers in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def spaced(value: Any) -> str:
    """JSON with a space after commas and colons, the form of chat templates."""
    return json.dumps(value, ensure_ascii=False)


def invent(rng: random.Random) -> str:
    """A word that exists nowhere, so that it can only be copied."""
    count = rng.randint(2, 4)
    syllables = [rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(count)]
    return "".join(syllables) + rng.choice(["", "n", "r", "s", "x"])


def word(rng: random.Random) -> str:
    """Any word: known, a name, invented, or a number."""
    roll = rng.random()
    if roll < 0.4:
        return rng.choice(WORDS)
    if roll < 0.6:
        return rng.choice(NAMES + CITIES)
    return invent(rng) if roll < 0.85 else str(rng.randrange(1000))


def field_value(key: str, rng: random.Random, depth: int = 0) -> Any:
    """A short value that suits the key, or any short value for a key that is not known."""
    if key in POOLS:
        return rng.choice(POOLS[key])
    if key in LISTS:
        length = rng.choices([0, 1, 2, 3, 4], [1, 3, 5, 5, 1])[0]
        if key == "numbers":
            return [rng.randrange(100) for _ in range(length)]
        if key == "items" and depth == 0 and rng.random() < 0.4:
            return [fields(rng, 2, depth + 1) for _ in range(min(length, 2))]
        pool = {"names": NAMES, "cities": CITIES, "commands": POOLS["command"]}.get(key, WORDS)
        return [rng.choice(pool) for _ in range(length)]
    if key in OBJECTS:
        return fields(rng, rng.randint(1, 3), depth + 1)
    return rng.choice([rng.choice(WORDS), rng.randrange(100), rng.choice([True, False, None])])


def fields(rng: random.Random, count: int, depth: int = 0) -> dict[str, Any]:
    """An object with this many fields."""
    keys = list(POOLS) + LISTS * 3 + (OBJECTS if depth == 0 else [])
    chosen: dict[str, Any] = {}
    while len(chosen) < count:
        key = rng.choice(keys) if rng.random() < 0.92 else invent(rng)
        chosen.setdefault(key, field_value(key, rng, depth))
    return chosen


def schema_of(value: Any) -> dict[str, Any]:
    """The JSON schema of a value, as people write it."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {key: schema_of(item) for key, item in value.items()},
            "required": list(value),
        }
    if isinstance(value, list):
        return {"type": "array", "items": schema_of(value[0] if value else "")}
    names = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}
    return {"type": names[type(value)]}


def listed(keys: Sequence[str], rng: random.Random) -> str:
    """Names of fields in a sentence."""
    if len(keys) == 1:
        return keys[0]
    return ", ".join(keys[:-1]) + rng.choice([" and ", ", "]) + keys[-1]


def json_request(rng: random.Random) -> list[Message]:
    """A request for JSON with given fields, or with a schema, and a short object."""
    roll = rng.random()
    if roll < 0.12:
        key = rng.choice(LISTS)
        value: Any = field_value(key, rng)
        ask = rng.choice(
            ["Give me a JSON array of {}", "List some {} as JSON", "A JSON list of {}"]
        )
        return exchange(ask.format(key), compact(value))
    subject = rng.choice(list(SUBJECTS))
    if roll > 0.75:
        value = {key: field_value(key, rng) for key in SUBJECTS[subject]}
    else:
        value = fields(rng, rng.choices([1, 2, 3, 4, 5], [3, 4, 4, 2, 1])[0])
    keys = listed(list(value), rng)
    verb = rng.choice(["Give me", "Write", "Make", "Return", "Show me", "Create", "Output"])
    if roll < 0.3:
        text = compact(schema_of(value)) if rng.random() < 0.5 else spaced(schema_of(value))
        system = rng.choice(["Answer in JSON with this schema: ", "Schema: ", "JSON schema:\n"])
        ask = rng.choice([f"Describe {subject}.", f"{verb} {subject}.", "Go.", "Answer in JSON."])
        if rng.random() < 0.5:
            return [{"role": "system", "content": system + text}, *exchange(ask, compact(value))]
        return exchange(f"{ask} {system}{text}", compact(value))
    named = [
        f"{verb} JSON for {subject} with {keys}",
        f"{verb} {subject} as JSON with the fields {keys}",
        f"{verb} {subject} as JSON with {keys}",
        f"{verb} a JSON object with {keys}",
        f"{verb} a JSON object with the keys {keys}",
        f"Describe {subject} as JSON: {keys}",
        f"JSON with {keys}",
    ]
    unnamed = [f"{verb} {subject} as JSON", f"Describe {subject} in JSON", f"{subject} as JSON"]
    unnamed += [f"Describe {subject} as JSON", f"{verb} JSON for {subject}"]
    ask = rng.choice(unnamed if roll > 0.85 else named)
    return exchange(ask + rng.choice(["", ".", ", please.", ", only JSON."]), compact(value))


def json_answer(question: str, answer: str, rng: random.Random) -> list[Message]:
    """A question about Kolo whose answer is wrapped in JSON."""
    key = rng.choice(["answer", "text", "reply", "message", "response"])
    value: dict[str, Any] = {key: answer}
    if rng.random() < 0.3:
        value[rng.choice(["ok", "valid"])] = True
    ask = rng.choice(
        [f" Answer as JSON with the key {key}.", f" Answer in JSON: {key}.", f" (JSON, key {key})"]
    )
    if len(value) > 1:
        ask = f" Answer as JSON with {listed(list(value), rng)}."
    return exchange(question + ask, compact(value))


def forced_json(answer: str, rng: random.Random) -> str:
    """JSON as it comes out when a schema is enforced on a question that did not ask for it."""
    value = fields(rng, rng.choices([1, 2, 3, 4], [3, 4, 4, 2])[0])
    if len(answer) < 200 and rng.random() < 0.6:
        key = rng.choice(["answer", "text", "reply", "message", "title", "summary", "description"])
        value = {key: answer, **value} if rng.random() < 0.7 else {**value, key: answer}
        if rng.random() < 0.3:
            value = {key: answer}
    return compact(value) if rng.random() < 0.8 else spaced(value)


def copying(rng: random.Random) -> tuple[str, str]:
    """Say this, repeat that, count to ten."""
    if rng.random() < 0.25:
        end = rng.choice([3, 5, 5, 10, 10, 10, 12, 15, 20, 20, 30, 50, 100])
        ask = rng.choice(["count to {}", "count from 1 to {}", "count up to {}", "numbers 1 to {}"])
        answer = ", ".join(str(number) for number in range(1, end + 1))
        ask = ask.format(end)
    else:
        count = rng.choices([1, 2, 3, 4, 6, 12], [5, 3, 2, 1, 1, 1])[0]
        answer = " ".join(word(rng) for _ in range(count))
        ask = rng.choice(COPY).format(answer)
    if rng.random() < 0.6:
        ask = ask[0].upper() + ask[1:]
    return ask + rng.choice(["", "", ".", "!"]), answer


def filler(passages: Sequence[str], rng: random.Random) -> str:
    """A long text such as people paste, or as a test makes by repeating a word."""
    length = int(300 * 16 ** rng.random())
    kind = rng.randrange(5)
    if kind == 0:
        unit = " ".join(word(rng) for _ in range(rng.randint(1, 4))) + rng.choice([" ", "\n", ". "])
        text = unit * (length // len(unit) + 1)
    elif kind == 1:
        text = " ".join(rng.choice(WORDS) for _ in range(length // 5))
    elif kind == 2:
        text = " ".join(str(number) for number in range(length // 4))
    elif kind == 3:
        text = " ".join(word(rng) for _ in range(length // 6))
    else:
        text = " ".join(rng.choice(passages) for _ in range(length // 200 + 1))
    return text[:length].strip()


# Tools as a program would offer them: name, description, requests, and what each argument is.
TOOLS: list[tuple[str, str, list[str], dict[str, str]]] = [
    ("get_weather", "Weather of a city now.",
     ["What is the weather in {city}?", "Weather in {city}?", "Is it cold in {city}?",
      "How is the weather in {city} today?", "what's the weather like in {city}"],
     {"city": "city"}),
    ("get_time", "The time in a city.",
     ["What time is it in {city}?", "Tell me the time in {city}.", "Time in {city}?"],
     {"city": "city"}),
    ("add", "Add two numbers.",
     ["What is {a} + {b}?", "Add {a} and {b}.", "Compute {a} plus {b}.", "{a} + {b}"],
     {"a": "int", "b": "int"}),
    ("search", "Search for a text.",
     ["Search for {query}.", "Find {query}.", "Look up {query}"], {"query": "words"}),
    ("read_file", "Read a file.",
     ["Read the file {path}.", "Show me {path}.", "What is in {path}?", "Open {path}"],
     {"path": "path"}),
    ("load_model", "Load a model into the server.",
     ["Load the model {model}.", "Please load {model}."], {"model": "word"}),
    ("send_message", "Send a message to a person.",
     ["Tell {to} that {text}", "Send {to} the message {text}", "Write to {to}: {text}"],
     {"to": "name", "text": "words"}),
    ("list_models", "List the loaded models.",
     ["Which models are there? Use the tool.", "List the models with the tool."], {}),
]  # fmt: skip


def argument(kind: str, rng: random.Random) -> Any:
    """A value for an argument of a tool."""
    if kind == "int":
        return rng.randrange(100)
    if kind == "city":
        return rng.choice(CITIES) if rng.random() < 0.6 else invent(rng).capitalize()
    if kind == "name":
        return rng.choice(NAMES) if rng.random() < 0.6 else invent(rng).capitalize()
    if kind == "path":
        return invent(rng) + rng.choice([".txt", ".py", ".md", ".json"])
    if kind == "words":
        return " ".join(word(rng) for _ in range(rng.randint(1, 3)))
    return word(rng)


def made_up_tool(rng: random.Random) -> tuple[str, str, list[str], dict[str, str]]:
    """A tool no one has seen, called by its name."""
    name = rng.choice(["get", "set", "find", "make", "run", "do"]) + "_" + invent(rng)
    params = {invent(rng): rng.choice(["int", "word", "words"]) for _ in range(rng.randint(1, 2))}
    settings = " and ".join(f"{key}={{{key}}}" for key in params)
    asks = [f"Call {name} with {settings}", f"Use {name} with {settings}", f"{name}: {settings}"]
    return name, f"The tool {name}.", asks, params


def declaration(tool: tuple[str, str, list[str], dict[str, str]]) -> dict[str, Any]:
    """A tool in the form of the OpenAI API."""
    name, description, _, params = tool
    properties = {key: {"type": "integer" if k == "int" else "string"} for key, k in params.items()}
    schema = {"type": "object", "properties": properties, "required": list(params)}
    function = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": function}


def tool_use(
    plain: tuple[str, str], rng: random.Random
) -> tuple[list[Message], list[dict[str, Any]]]:
    """A conversation with tools: a call and its result, or a question that needs none."""
    count = rng.choices([1, 2, 3], [6, 3, 1])[0]
    tools = [made_up_tool(rng) if rng.random() < 0.4 else rng.choice(TOOLS) for _ in range(count)]
    tools = list({tool[0]: tool for tool in tools}.values())
    offered = [declaration(tool) for tool in tools]
    if rng.random() < 0.25:
        return exchange(*plain), offered
    name, _, asks, params = rng.choice(tools)
    arguments = {key: argument(kind, rng) for key, kind in params.items()}
    function = {"name": name, "arguments": arguments}
    messages = [
        {"role": "user", "content": rng.choice(asks).format(**arguments)},
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
    ]
    if rng.random() < 0.5:
        result = rng.choice([word(rng), f"{rng.randrange(40)} degrees", spaced({word(rng): 12})])
        if rng.random() < 0.3:
            result = spaced({rng.choice(["result", "value", "temp", "text"]): word(rng)})
        messages.append({"role": "tool", "content": result})
        messages.append({"role": "assistant", "content": f"The tool says: {result}"})
    return messages, offered
