"""What every command really writes with ``--json`` is what its documented JSON Schema says.

``RUNS`` has a command line for each shape: a new shape without one fails here, as a new command
without a shape does in ``test_cli_manners``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
from cli_server import Server
from ggufs import tiny_llama
from test_cli_service import SYSTEMCTL

from kolo.cli.boundary import EXIT_CODES
from kolo.cli.schema import DIALECT, fields, schema
from kolo.cli.shapes import SHAPES

pytestmark = pytest.mark.timeout(600)  # a server, and several processes before the first test
PATIENCE_S = 150.0
USER = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 8}},
    "required": ["name"],
    "additionalProperties": False,
}


class Kitchen(NamedTuple):
    """A home with a model in its store, two runs that were kept, and a server."""

    folder: Path
    env: dict[str, str]
    url: str

    def run(
        self, *args: str, stdin: str | None = None, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kolo", *args],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            env={**self.env, "KOLO_URL": self.url, **env},
            cwd=self.folder,
            timeout=PATIENCE_S,
            check=False,
        )


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kitchen]:
    folder = tmp_path_factory.mktemp("kitchen")
    env = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    env |= {"HOME": str(folder), "KOLO_HOME": str(folder), "LANG": "C.UTF-8", "TERM": "dumb"}
    env["KOLO_SERVER_PORT"] = "0"
    systemd = folder / "systemd"
    systemd.mkdir()
    unit = folder / ".config" / "systemd" / "user" / "kolo.service"
    (systemd / "systemctl").write_text(SYSTEMCTL.format(folder=systemd, unit=unit))
    (systemd / "systemctl").chmod(0o755)
    env["PATH"] = f"{systemd}:{env['PATH']}"
    tiny_llama(folder / "one.gguf")
    tiny_llama(folder / "two.gguf", seed=2)
    (folder / "user.json").write_text(json.dumps(USER))
    (folder / "texts.jsonl").write_text('"one"\n{"text": "two"}\n')
    (folder / "asked.jsonl").write_text('{"prompt": "hi", "max_tokens": 1}\n{"prompt": 5}\n')
    with Server(env) as server:
        here = Kitchen(folder, env, server.url)
        for args in (
            ("pull", "./one.gguf", "--name", "one"),
            ("pull", "./two.gguf", "--name", "two", "--copy"),
            ("alias", "uno", "one"),
            ("load", "guide"),
            (*BENCH, "--save", "first"),
        ):
            done = here.run(*args)
            assert done.returncode == 0, done.stderr
        yield here


BENCH = (
    "bench", "-m", "guide", "-n", "2", "--rounds", "1", "--warmup", "0", "--output-tokens", "2",
    "-p", "16", "--seed", "7", "--timeout", "60", "--quiet",
)  # fmt: skip
ONCE = ("hi", "-n", "2", "--seed", "1", "--json")
RUNS: dict[str, tuple[str, ...]] = {
    "chat": ("chat", *ONCE),
    "chat --list": ("chat", "--list", "--json"),
    "complete": ("complete", *ONCE),
    "complete --schema": ("complete", "A user", "--schema", "user.json", "--json"),
    "complete --jsonl": ("complete", "--jsonl", "asked.jsonl"),
    "embed": ("embed", "-m", "guide", "one", "--json"),
    "embed -o jsonl": ("embed", "-m", "guide", "one", "-o", "jsonl"),
    "embed --jsonl": ("embed", "-m", "guide", "--jsonl", "texts.jsonl"),
    "serve": (),  # by itself, below
    "ps": ("ps", "--json"),
    "top": ("top", "--json"),
    "top --jsonl": ("top", "--jsonl", "-n", "2"),
    "load": ("load", "guide", "--json"),
    "load --dry-run": ("load", "guide", "--dry-run", "--json"),
    "unload": ("unload", "guide", "--json"),
    "logs": ("logs", "--json"),
    "logs --jsonl": ("logs", "--jsonl"),
    "reload": ("reload", "--json"),
    "service install": ("service", "install", "--user", "--json"),
    "service status": ("service", "status", "--user", "--json"),
    "service start": ("service", "start", "--user", "--json"),
    "service stop": ("service", "stop", "--user", "--json"),
    "service restart": ("service", "restart", "--user", "--json"),
    "service reload": ("service", "reload", "--user", "--json"),
    "service uninstall": ("service", "uninstall", "--user", "--json"),
    "service install --dry-run": ("service", "install", "--user", "--dry-run", "--json"),
    "pull": ("pull", "./one.gguf", "--name", "again", "--json"),
    "pull --jsonl": ("pull", "./one.gguf", "--name", "copied", "--copy", "--jsonl"),
    "ls": ("ls", "--json"),
    "show": ("show", "two", "--json"),
    "show --template": ("show", "guide", "--template", "--json"),
    "show --metadata": ("show", "guide", "--metadata", "--json"),
    "rm": ("rm", "one", "--dry-run", "--json"),
    "alias": ("alias", "--json"),
    "rollback": ("rollback", "two", "--to", "", "--dry-run", "--json"),
    "verify": ("verify", "--all-versions", "--json"),
    "prune": ("prune", "--partials", "--dry-run", "--json"),
    "bench": (*BENCH, "--json"),
    "bench -o jsonl": (*BENCH, "-o", "jsonl"),
    "bench --shape": (),  # takes long: tests/cli/test_cli_bench_shape.py has one
    "bench compare": ("bench", "compare", "first", "first", "--json"),
    "bench history": ("bench", "history", "--json"),
    "bench show": ("bench", "show", "first", "--json"),
    "doctor": ("doctor", "--no-generate", "--json"),
    "keys create": ("keys", "create", "laptop", "--json"),
    "keys ls": ("keys", "ls", "--json"),
    "keys revoke": ("keys", "revoke", "doomed", "--json"),
    "audit": ("audit", "--json"),
    "audit verify": ("audit", "verify", "--json"),
    "config show": ("config", "show", "--json"),
    "config get": ("config", "get", "store.folders", "--json"),
    "config set": ("config", "set", "server.heartbeat", "9s", "--json"),
    "config unset": ("config", "unset", "server.heartbeat", "--json"),
    "config init": ("config", "init", "--force", "--json"),
    "config validate": ("config", "validate", "--json"),
    "config path": ("config", "path", "--json"),
    "completion install": ("completion", "install", "zsh", "--json"),
    "completion uninstall": ("completion", "uninstall", "zsh", "--json"),
    "path": ("path", "--json"),
    "help": ("help", "bench", "compare", "--json"),
    "kolo --spec": ("--spec",),
}


INSTALLED = ("service", "install", "--user")
BEFORE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (f"service {verb}" for verb in ("start", "stop", "restart", "reload")), INSTALLED
    ),
    "keys revoke": ("keys", "create", "doomed"),
}
"""What must have been done before, whatever other tests of this file have done."""


def checked(shape: str, out: str) -> list[Any]:
    """The documents, each as the schema says."""
    form = SHAPES[shape].form
    documents = (
        [json.loads(line) for line in out.splitlines()] if form == "lines" else [json.loads(out)]
    )
    judge = jsonschema.Draft202012Validator(schema(shape))
    for document in documents:
        judge.validate(document)
    return documents


@pytest.mark.parametrize("shape", SHAPES)
def test_what_it_writes_is_what_its_schema_says(shape: str, kitchen: Kitchen) -> None:
    assert shape in RUNS, "give it a command line here"
    if not RUNS[shape]:
        return
    if shape in BEFORE:
        assert kitchen.run(*BEFORE[shape]).returncode == 0
    done = kitchen.run(*RUNS[shape])
    assert done.returncode in (0, 3, 8), done  # 3: of a service that is stopped
    assert checked(shape, done.stdout), done
    assert "\x1b" not in done.stdout


def test_json_has_no_colour_even_if_it_is_asked_for(kitchen: Kitchen) -> None:
    for shape in ("ls", "ps", "doctor", "path"):
        done = kitchen.run("--color", "always", *RUNS[shape], FORCE_COLOR="1")
        assert "\x1b" not in done.stdout


def test_a_server_says_where_it_is(kitchen: Kitchen, env: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "kolo", "serve", "--port", "0", "--json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
    )
    assert process.stdout is not None
    try:
        (told,) = checked("serve", process.stdout.readline())
        assert told["pid"] == process.pid
        assert "guide" in told["models"]
        done = kitchen.run("ps", "--json", KOLO_URL=told["url"])
        assert done.returncode == 0, done.stderr
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def test_pull_of_what_is_planned(kitchen: Kitchen) -> None:
    done = kitchen.run("pull", "./two.gguf", "--dry-run", "--json")
    (plan,) = checked("pull", done.stdout)
    assert plan["event"] == "plan_file"
    assert kitchen.run("pull", "./two.gguf", "--json", "--jsonl").returncode == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_a_schema_is_one_and_describes_what_it_names(shape: str) -> None:
    found = schema(shape)
    assert found["$schema"] == DIALECT
    jsonschema.Draft202012Validator.check_schema(found)
    for name, definition in found.get("$defs", {}).items():
        if "properties" in definition:
            assert definition["additionalProperties"] is False, name
            assert set(definition.get("required", ())) <= set(definition["properties"]), name


def test_a_schema_refuses_what_is_not_documented() -> None:
    row = {name: None for name in fields("unload")}
    judge = jsonschema.Draft202012Validator(schema("unload"))
    good = {"id": "a", "unloaded": True, "forgotten": False}
    assert row.keys() == good.keys()
    judge.validate(good)
    for bad in ({**good, "more": 1}, {"id": "a", "unloaded": True}, {**good, "id": 1}):
        with pytest.raises(jsonschema.ValidationError):
            judge.validate(bad)


def test_strings_below_fields_describe_them() -> None:
    definition = schema("unload")["$defs"]["Unloaded"]
    assert definition["properties"]["unloaded"]["description"] == "False if it was not loaded."


def test_help_json_lists_all_and_prints_a_schema(kitchen: Kitchen) -> None:
    text = kitchen.run("help", "json").stdout
    assert all(f"\n{shape}:" in text for shape in SHAPES)
    assert json.loads(kitchen.run("help", "json", "bench", "show").stdout) == schema("bench show")
    line = json.loads(kitchen.run("help", "json", "bench -o jsonl").stdout)
    assert line["title"] == "a line of kolo bench -o jsonl"
    done = kitchen.run("help", "json", "bench", "shw")
    assert done.returncode == 2
    assert "try: kolo help json bench show" in done.stderr


def test_the_whole_command_line_as_json(kitchen: Kitchen) -> None:
    (tree,) = checked("kolo --spec", kitchen.run("--spec").stdout)
    assert {int(code) for code in tree["exit_codes"]} == set(EXIT_CODES)
    names = [command["name"] for command in tree["command"]["commands"]]
    assert {"kolo ls", "kolo bench", "kolo doctor"} <= set(names)
    bench = next(each for each in tree["command"]["commands"] if each["name"] == "kolo bench")
    assert bench["json"] == ["bench", "bench -o jsonl", "bench --shape"]
    assert bench["commands"][0]["name"] == "kolo bench compare"
    (rounds,) = [each for each in bench["params"] if each["name"] == "rounds"]
    assert (rounds["flags"], rounds["default"], rounds["min"]) == (["--rounds"], 5, 1)
