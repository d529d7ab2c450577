"""``kolo config``, as a person and as a script use it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from pty_terminal import Terminal
from running import Kolo

from kolo.config.example import SCHEMA_NAME, example_text

EDITOR = """\
#!{python}
import sys
text = open(sys.argv[1]).read()
open({log!r}, "a").write("x")
{change}
open(sys.argv[1], "w").write(text)
"""


@pytest.fixture
def file(env: dict[str, str]) -> Path:
    """The settings file, in its folder."""
    del env["KOLO_SERVER_PORT"]
    found = Path(env["XDG_CONFIG_HOME"]) / "kolo" / "config.toml"
    found.parent.mkdir(parents=True)
    return found


@pytest.fixture
def editor(tmp_path: Path) -> str:
    """A program that edits a file: it appends what stands in the file ``wish``."""
    program = tmp_path / "my editor"
    change = f"text += open({str(tmp_path / 'wish')!r}).read()"
    program.write_text(
        EDITOR.format(python=sys.executable, log=str(tmp_path / "runs"), change=change)
    )
    program.chmod(0o755)
    return f"'{program}'"


# Showing ----------------------------------------------------------------------------------------


def test_show_is_toml_and_says_where_each_value_came_from(kolo: Kolo, file: Path) -> None:
    file.write_text('[engine]\nctx = 512\n[models."q.5"]\npath = "/q.gguf"\n')
    done = kolo("config", "show", "--changed", "--origin", KOLO_ENGINE_BATCH="64")
    assert done.stdout.splitlines() == [
        f"engine.ctx = 512  # {file}:2",
        "engine.batch = 64  # env KOLO_ENGINE_BATCH",
        f'models."q.5".path = "/q.gguf"  # {file}:4',
    ]
    everything = kolo("config", "show").stdout
    assert tomllib.loads(everything)["server"]["port"] == 8080
    assert "\n#engine.parallel =\n" in everything


def test_show_takes_keys_and_sections(kolo: Kolo, file: Path) -> None:
    done = kolo("config", "show", "engine.mirostat", "server.port", "history")
    assert done.returncode == 2
    assert "no such setting: engine.mirostat" in done.stderr
    done = kolo("config", "show", "engine.ctx", "server.port", "history")
    keys = [line.lstrip("#").partition(" =")[0] for line in done.stdout.splitlines()]
    assert keys[:3] == ["engine.ctx", "server.port", "history.enabled"]
    assert all(key.startswith("history.") for key in keys[2:])


def test_show_as_json_tells_file_and_line(kolo: Kolo, file: Path) -> None:
    file.write_text("[profiles.w.engine]\nctx = 512\n")
    done = kolo("config", "show", "--json", "--profile", "w", KOLO_SERVER_PORT="81")
    rows = {row["key"]: row for row in json.loads(done.stdout)}
    assert rows["engine.ctx"] == {
        "key": "engine.ctx", "value": 512, "source": "file", "file": str(file), "line": 2,
        "profile": "w",
    }  # fmt: skip
    assert rows["server.port"]["name"] == "KOLO_SERVER_PORT"
    assert rows["manager.idle_unload"] == {
        "key": "manager.idle_unload", "value": "10m", "source": "default",
    }  # fmt: skip
    assert rows["engine.threads"]["value"] is None


def test_what_is_secret_is_shown_only_when_it_is_asked_for(kolo: Kolo, file: Path) -> None:
    file.write_text('[otel]\nendpoint = "http://me:pass@host/"\n')
    assert "http://me:********@host/" in kolo("config", "show", "otel").stdout
    assert "http://me:pass@host/" in kolo("config", "show", "otel", "--reveal").stdout
    assert kolo("config", "get", "otel.endpoint").stdout == "http://me:pass@host/\n"


def test_get_is_for_scripts(kolo: Kolo, file: Path) -> None:
    file.write_text('[store]\nfolders = ["/a b"]\n[models."q.5"]\npath = "/q"\n')
    assert kolo("config", "get", "server.port", KOLO_SERVER_PORT="81").stdout == "81\n"
    assert kolo("config", "get", "engine.mmap").stdout == "true\n"
    assert kolo("config", "get", "store.folders").stdout == '["/a b"]\n'
    assert kolo("config", "get", "models.q.5.path").stdout == "/q\n"
    assert kolo("config", "get", "engine.ctx").stdout == "\n"
    assert kolo("config", "get", "engine.ctx", "--json").stdout == "null\n"
    done = kolo("config", "get", "models.q.path")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no such model in the settings: 'q'" in done.stderr


def test_path_and_schema(kolo: Kolo, file: Path, tmp_path: Path) -> None:
    assert kolo("config", "path").stdout == f"{file}\n"
    named = kolo("config", "path", "--json", KOLO_CONFIG=str(tmp_path / "x.toml"))
    assert json.loads(named.stdout) == {
        "file": str(tmp_path / "x.toml"), "exists": False, "named": True,
    }  # fmt: skip
    assert json.loads(kolo("config", "schema").stdout)["title"] == "Settings of Kolo"


# Changing ---------------------------------------------------------------------------------------


def test_set_and_unset_leave_the_rest_as_it_was(kolo: Kolo, file: Path) -> None:
    file.write_text(example_text())
    done = kolo("config", "set", "engine.ctx", "8192")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("engine.ctx = 8192: ")
    assert "#ctx = 8192\nctx = 8192\n" in file.read_text()
    changed = kolo("config", "set", "engine.ctx", "4096", "--json")
    assert json.loads(changed.stdout)["former"] == 8192
    assert kolo("config", "unset", "engine.ctx").returncode == 0
    assert file.read_text() == example_text()
    again = kolo("config", "unset", "engine.ctx", "--json")
    assert json.loads(again.stdout)["value"] is None
    assert file.read_text() == example_text()


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("engine.gpu_layers", "-1", -1),
        ("engine.mmap", "false", False),
        ("engine.sampling.top_p", "0.5", 0.5),
        ("manager.idle_unload", "90s", "90s"),
        ("manager.idle_unload", "90", "1m30s"),
        ("manager.memory_budget", "80%", "80%"),
        ("engine.devices", "CUDA0,CUDA1", ["CUDA0", "CUDA1"]),
        ("engine.tensor_split", "[3, 1]", [3.0, 1.0]),
        ("default_model", "true", "true"),
        ("profiles.w.server.port", "1", 1),
    ],
)
def test_a_value_is_written_as_its_key_wants(
    kolo: Kolo, file: Path, key: str, text: str, value: object
) -> None:
    done = kolo("config", "set", key, text)
    assert done.returncode == 0, done.stderr
    found = tomllib.loads(file.read_text())
    for part in key.split("."):
        found = found[part]
    assert found == value


def test_a_relative_path_is_one_from_here(kolo: Kolo, file: Path, tmp_path: Path) -> None:
    kolo("config", "set", "models.m.path", "sub/m.gguf")
    kolo("config", "set", "store.folders", "a,/b")
    table = tomllib.loads(file.read_text())
    assert table["models"]["m"]["path"] == str(tmp_path / "sub" / "m.gguf")
    assert table["store"]["folders"] == [str(tmp_path / "a"), "/b"]


def test_a_value_may_come_from_standard_input(kolo: Kolo, file: Path) -> None:
    text = 'line "one"\n{{ two }}\n'
    assert kolo("config", "set", "engine.chat_template", "-", stdin=text).returncode == 0
    assert tomllib.loads(file.read_text())["engine"]["chat_template"] == text.removesuffix("\n")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (("engine.ctxx", "1"), "no such setting: engine.ctxx\n  try: engine.ctx\n"),
        (
            ("engine.ctx", "many"),
            "engine.ctx: expected a whole number, found 'many'\n  Tokens of context",
        ),
        (("engine.ctx", "many"), "\n  try: kolo config unset engine.ctx, for its default\n"),
        (("engine.ctx", "512", "engine.batch"), "engine.batch has no value\n  try: "),
        (("engine.ctx", "512", "engine.batch", "x"), "engine.batch: expected a whole number"),
        (("engine.ctx", "512", "engine.ctx", "256"), "engine.ctx is given twice"),
        (("engine.ctx", "auto"), "found 'auto'\n  try: kolo config unset engine.ctx\n"),
        (("engine.ctx", "1"), "expected a whole number >= 8"),
        (("profile", "nope"), "no such profile: 'nope'"),
        (("server.tls_cert", "/c.pem"), "server.tls_cert and server.tls_key go together"),
        (("models.guide.path", "/x"), "already that of the builtin model"),
        (("engine", "1"), "no such setting: engine"),
        (("engine.ctx",), "missing argument 'VALUE'"),
    ],
)
def test_what_cannot_be_is_refused_and_not_written(
    kolo: Kolo, file: Path, args: tuple[str, ...], says: str
) -> None:
    done = kolo("config", "set", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert not file.exists()


def test_values_that_go_together_are_set_and_taken_out_at_once(kolo: Kolo, file: Path) -> None:
    pair = ("server.tls_cert", "/c.pem", "server.tls_key", "/k.pem")
    done = kolo("config", "set", *pair, "engine.gpu_layers", "-1", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [(one["key"], one["value"]) for one in told] == [
        ("server.tls_cert", "/c.pem"), ("server.tls_key", "/k.pem"), ("engine.gpu_layers", -1),
    ]  # fmt: skip
    server = {"tls_cert": "/c.pem", "tls_key": "/k.pem"}
    assert tomllib.loads(file.read_text())["server"] == server
    assert kolo("config", "unset", "server.tls_key").returncode == 2
    assert tomllib.loads(file.read_text())["server"] == server
    assert kolo("config", "unset", "server.tls_key", "server.tls_cert").returncode == 0
    assert not tomllib.loads(file.read_text()).get("server")


def test_what_wins_over_the_file_is_said(kolo: Kolo, file: Path) -> None:
    done = kolo("config", "set", "engine.ctx", "512", KOLO_ENGINE_CTX="1024")
    assert "  KOLO_ENGINE_CTX wins over it\n" in done.stderr
    kolo("config", "set", "profiles.w.engine.ctx", "256")
    done = kolo("--profile", "w", "config", "set", "engine.ctx", "1000")
    assert "  profile w wins over it\n" in done.stderr


def test_a_model_or_a_profile_goes_whole_and_a_slip_too(kolo: Kolo, file: Path) -> None:
    file.write_text(
        '[models."q.5"]\npath = "/q"\npin = true\n[profiles.w.engine]\nctx = 9\n'
        "[engine]\nctxx = 1\n"
    )
    for key in ("models.q.5", "profiles.w", "engine.ctxx"):
        assert kolo("config", "unset", key).returncode == 0
    assert tomllib.loads(file.read_text()) == {"engine": {}}
    assert kolo("config", "unset", "engine.ctxy").returncode == 2


def test_a_running_server_is_told_of(kolo: Kolo, file: Path, env: dict[str, str]) -> None:
    beacon = Path(env["XDG_RUNTIME_DIR"]) / "kolo" / "server.json"
    beacon.parent.mkdir()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        pid = os.getpid()
        beacon.write_text(
            json.dumps({"url": f"http://127.0.0.1:{port}", "pid": pid, "started": 1.0})
        )
        live = kolo("config", "set", "engine.ctx", "512").stderr
        fixed = kolo("config", "set", "server.port", "1234").stderr
        other = kolo("config", "set", "chat.model", "guide").stderr
        done = kolo("config", "edit", EDITOR="sed -i -e s/1234/1235/ -e s/512/513/")
        assert f"a server runs (process {pid}): it heeds server.port when it is" in done.stderr
    assert f"a server runs (process {pid}): kolo reload has it heed this" in live
    assert f"a server runs (process {pid}): it heeds this when it is started again" in fixed
    assert "a server runs" not in other


# The whole file ---------------------------------------------------------------------------------


def test_init_writes_the_example_and_its_schema_once(kolo: Kolo, file: Path) -> None:
    assert kolo("config", "init").returncode == 0
    assert file.read_text() == example_text()
    assert json.loads((file.parent / SCHEMA_NAME).read_text())["type"] == "object"
    file.write_text("# mine\n")
    done = kolo("config", "init")
    assert done.returncode == 2
    assert "is there already\n  try: kolo config edit, or --force\n" in done.stderr
    done = kolo("config", "init", "--force", "--json")
    kept = Path(json.loads(done.stdout)["kept"])
    assert kept.read_text() == "# mine\n"
    assert file.read_text() == example_text()


def test_what_init_replaces_is_kept_each_time_and_from_others_as_before(
    kolo: Kolo, file: Path
) -> None:
    assert kolo("config", "init").returncode == 0
    kept = {}
    for text in (b"# \xff\n", b"# second\n"):
        file.write_bytes(text)
        file.chmod(0o600)
        done = kolo("config", "init", "--force", "--json")
        kept[Path(json.loads(done.stdout)["kept"])] = text
    assert len(kept) == 2
    for path, text in kept.items():
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (text, 0o600)


def test_validate_names_every_problem_on_a_line_of_its_own(
    kolo: Kolo, file: Path, tmp_path: Path
) -> None:
    assert kolo("config", "validate").returncode == 0
    bad = tmp_path / "bad.toml"
    bad.write_text(
        "[engine]\nctxx = 1\n[profiles.a]\ndefault_model = 3\n[profiles.b.models.m]\npin = 1\n"
    )
    done = kolo("config", "validate", str(bad), KOLO_ENGINE_CTX="not looked at")
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        f"{bad}:2: no such setting: engine.ctxx (did you mean engine.ctx?)",
        f"{bad}:4: profiles.a.default_model: expected text, found 3",
        f"{bad}:6: profiles.b.models.m.pin: expected true or false, found 1",
        f'{bad}:5: models.m has no path (give the file of the model: path = "/where/it/is.gguf")',
    ]
    assert done.stderr == f"{bad}: 4 problems\n"
    piped = kolo("config", "validate", "-", "--json", stdin=bad.read_text())
    assert [each["line"] for each in json.loads(piped.stdout)] == [2, 4, 6, 5]
    here = kolo("config", "validate", KOLO_SERVER_PORT="many")
    assert "env KOLO_SERVER_PORT: server.port: expected a whole number, found 'many'" in here.stdout
    assert kolo("config", "validate", str(tmp_path / "none.toml")).returncode == 2


def test_edit_writes_what_is_right(kolo: Kolo, file: Path, editor: str, tmp_path: Path) -> None:
    (tmp_path / "wish").write_text("[engine]\nctx = 512\n")
    file.write_text("# mine\n")
    done = kolo("config", "edit", EDITOR="false", VISUAL=editor)
    assert done.returncode == 0, done.stderr
    assert file.read_text() == "# mine\n[engine]\nctx = 512\n"
    assert os.listdir(file.parent) == ["config.toml"]


def test_edit_begins_with_the_example_and_writes_nothing_if_nothing_was_changed(
    kolo: Kolo, file: Path, editor: str, tmp_path: Path
) -> None:
    (tmp_path / "wish").write_text("")
    done = kolo("config", "edit", EDITOR=editor)
    assert (done.returncode, done.stderr) == (0, "nothing was changed\n")
    assert os.listdir(file.parent) == []
    (tmp_path / "wish").write_text("# more\n")
    kolo("config", "edit", EDITOR=editor)
    assert file.read_text() == f"{example_text()}# more\n"


def test_edit_loses_no_text(kolo: Kolo, file: Path, editor: str, tmp_path: Path) -> None:
    (tmp_path / "wish").write_text("[engine]\nctx = 1\n")
    file.write_text("# mine\n")
    done = kolo("config", "edit", EDITOR=editor)
    assert done.returncode == 2
    assert f"{file}:3: engine.ctx: expected a whole number >= 8, found 1" in done.stderr
    kept = Path(done.stderr.rpartition("what you wrote is kept: ")[2].strip())
    assert kept.read_text() == "# mine\n[engine]\nctx = 1\n"
    assert file.read_text() == "# mine\n"
    failed = kolo("config", "edit", EDITOR="sh -c 'echo x >> \"$0\"; exit 3'")
    assert failed.returncode == 1
    kept = Path(failed.stderr.rpartition("what you wrote is kept: ")[2].strip())
    assert kept.read_text() == "# mine\nx\n"
    assert kolo("config", "edit").returncode == 2
    assert kolo("config", "edit", EDITOR="/no/such/editor").returncode == 1


def test_edit_overwrites_nothing_that_somebody_else_wrote_meanwhile(kolo: Kolo, file: Path) -> None:
    file.write_text("# mine\n")
    both = f'sh -c \'echo "# theirs" > {file}; echo "# me" >> "$0"\''
    done = kolo("config", "edit", EDITOR=both)
    assert done.returncode == 2
    assert "was changed by somebody else meanwhile" in done.stderr
    assert file.read_text() == "# theirs\n"


def test_on_a_terminal_one_may_edit_again_save_or_leave(
    env: dict[str, str], file: Path, editor: str, tmp_path: Path
) -> None:
    (tmp_path / "wish").write_text("ctx = 1\n")
    file.write_text("[engine]\n")
    command = [sys.executable, "-m", "kolo", "config", "edit"]
    with Terminal(command, {**env, "EDITOR": editor}) as terminal:
        terminal.expect("leave the settings alone? [E/s/l] ")
        terminal.type("e\n")  # the same line once more: another problem
        terminal.expect("is not TOML")
        terminal.expect("[E/s/l] ")
        terminal.type("s\n")
        terminal.expect("is written")
        assert terminal.wait() == 0
    assert file.read_text() == "[engine]\nctx = 1\nctx = 1\n"
    assert (tmp_path / "runs").read_text() == "xx"
    with Terminal(command, {**env, "EDITOR": editor}) as terminal:
        terminal.expect("[E/s/l] ")
        terminal.type("l\n")
        terminal.expect("what you wrote is kept: ")
        assert terminal.wait() == 2
    assert file.read_text() == "[engine]\nctx = 1\nctx = 1\n"


def test_two_that_change_at_once_lose_nothing(env: dict[str, str], file: Path) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "kolo", "config", "set", key, "9"],
            env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for key in ("engine.ctx", "engine.batch", "engine.ubatch", "engine.threads")
    ]  # fmt: skip
    assert [command.wait(120) for command in commands] == [0, 0, 0, 0]
    assert set(tomllib.loads(file.read_text())["engine"]) == {"ctx", "batch", "ubatch", "threads"}
