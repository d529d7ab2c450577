"""The commands over the store, but for what ``kolo pull`` fetches from elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ggufs import tiny_bert
from pty_terminal import Terminal
from running import Kolo
from stores import model, put, split

from kolo.models.store import Store


@pytest.fixture
def store(env: dict[str, str]) -> Store:
    return Store(Path(env["XDG_DATA_HOME"]) / "kolo" / "models")


def ok(kolo: Kolo, *args: str) -> str:
    done = kolo(*args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(kolo: Kolo, *args: str) -> Any:
    return json.loads(ok(kolo, *args, "--json"))


def lines(kolo: Kolo, *args: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ok(kolo, *args, "--jsonl").splitlines()]


def row(kolo: Kolo, name: str) -> dict[str, Any]:
    (found,) = [each for each in told(kolo, "ls") if each["name"] == name]
    assert isinstance(found, dict)
    return found


# Pull of a file ------------------------------------------------------------------------------


def test_a_file_is_registered_where_it_is(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    path = model(tmp_path, name="tiny")
    plan = lines(kolo, "pull", str(path), "--dry-run")
    assert plan == [
        {
            "event": "plan_file",
            "name": "tiny-0",
            "path": str(path),
            "size_bytes": path.stat().st_size,
            "copy": False,
        }
    ]
    assert not store.folder.exists()
    (done,) = lines(kolo, "pull", "tiny-0.gguf")
    assert (done["event"], done["name"], done["new"], done["in_place"]) == (
        "done",
        "tiny-0",
        True,
        True,
    )
    assert "was in the store already" in kolo("pull", str(path)).stderr
    assert row(kolo, "tiny-0")["path"] == str(path)


def test_a_file_is_copied_whole_and_hashed(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    parts = split(model(tmp_path), tmp_path / "s")
    events = lines(kolo, "pull", str(parts[0]), "--copy", "--name", "mine")
    size = sum(part.stat().st_size for part in parts)
    seen = [event["done_bytes"] for event in events if event["event"] == "progress"]
    assert seen == sorted(seen)
    assert seen[-1] == size
    again = lines(kolo, "pull", "mine")
    assert (again[-1]["new"], again[-1]["in_place"]) == (False, False)
    for part in parts:
        part.unlink()
    assert [finding["state"] for finding in told(kolo, "verify", "mine")] == ["ok", "ok"]
    assert not list(store.partial.iterdir())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "it is empty"),
        (b"<html>", "looks like an HTML page"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "tensors need more than the file's"),
        (b"GGUF\x03\0\0\0" + b"\0" * 16, "is not a model that Kolo can run"),
    ],
)
def test_a_file_that_is_no_model_is_refused(
    kolo: Kolo, store: Store, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "bad.gguf").write_bytes(content)
    for more in ([], ["--copy"], ["--dry-run"]):
        done = kolo("pull", "bad.gguf", *more)
        assert (done.returncode, done.stdout) == (1, "")
        assert says in done.stderr
    assert store.models() == {}


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["nothing"], 4, "is no name in the store, no file and no reference"),
        (["./none.gguf"], 4, "no such file"),
        (["hf:bad"], 2, "is not a reference"),
        (["https://me:hush@h/x.gguf"], 2, "carries a user or password"),
        (["tiny-0.gguf", "--name", "hf:o/r"], 2, "cannot be the name of a model"),
        (["tiny-0.gguf", "--name", "guide"], 2, "cannot be the name of a model"),
        (["hf:o/r", "--copy"], 2, "--copy is for a file"),
    ],
)
def test_what_cannot_be_pulled_says_why(
    kolo: Kolo, tmp_path: Path, args: list[str], code: int, says: str
) -> None:
    model(tmp_path, name="tiny")
    done = kolo("pull", *args)
    assert (done.returncode, done.stdout) == (code, "")
    assert says in done.stderr
    assert "hush" not in done.stderr


# List and show -------------------------------------------------------------------------------


def test_everything_of_this_machine_is_listed(
    kolo: Kolo, env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "gguf"
    path = model(folder, name="lying")
    snapshot = tmp_path / "cache" / "huggingface" / "hub" / "models--o--R-GGUF" / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (snapshot / "R-Q8_0.gguf").write_bytes(path.read_bytes())
    put(store, "pulled", path)
    config = Path(env["XDG_CONFIG_HOME"]) / "kolo" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(
        '[store]\nfolders = ["~/gguf"]\n'
        f'[models.mine]\npath = "{path}"\naliases = ["m"]\n'
        '[models.gone]\npath = "gone.gguf"\n'
    )
    ok(kolo, "alias", "p", "pulled")
    found = {each["name"]: each for each in told(kolo, "ls")}
    assert {name: each["place"] for name, each in found.items()} == {
        "guide": "builtin",
        "mine": "config",
        "gone": "config",
        "pulled": "store",
        "lying-0": "folder",
        "o/R-GGUF:Q8_0": "hub",
    }
    assert (found["mine"]["aliases"], found["pulled"]["aliases"]) == (["m"], ["p"])
    assert (found["gone"]["size_bytes"], "No such file" in found["gone"]["problem"]) == (None, True)
    assert found["pulled"]["size_bytes"] == path.stat().st_size
    assert found["pulled"]["state"] is None
    assert ok(kolo, "ls", "-q").split() == sorted(found, key=str.lower)
    table = kolo("ls")
    assert table.stdout.splitlines()[0].split()[:3] == ["NAME", "SIZE", "QUANT"]
    assert "gone: " in table.stderr


def test_the_list_fits_into_a_terminal_of_80_columns(
    env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    put(store, "bartowski/A-Very-Long-Name-Of-A-Model-That-Goes-On-GGUF:Q4_K_M", model(tmp_path))
    with Terminal([sys.executable, "-m", "kolo", "ls"], env) as terminal:
        shown = terminal.expect("guide")
    assert max(map(len, shown.splitlines())) <= 80
    assert "bartowski/A-Very-Long-Name" in shown
    assert "never" in shown


def test_an_index_that_is_gone_is_made_again(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    (store.folder / "index.json").unlink()
    (store.home("b") / "v").mkdir(parents=True)
    done = kolo("ls", "--rebuild", "-q")
    assert done.stdout.split() == ["a", "guide"]
    assert "manifest.json" in done.stderr
    assert (store.folder / "index.json").exists()


def test_show_tells_what_the_header_says(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path), source="hf:o/r:F32")
    shown = told(kolo, "show", "a")
    assert (shown["architecture"], shown["purpose"], shown["source"]) == (
        "llama",
        "generates text",
        "hf:o/r:F32",
    )
    assert sum(shown["tensor_types"].values()) > 5
    assert shown["tokenizer"]["specials"]["eos"]
    totals = [each["total_bytes"] for each in shown["memory"]]
    assert totals == sorted(totals)
    assert all(total > shown["size_bytes"] for total in totals)
    assert [version["in_use"] for version in shown["versions"]] == [True]
    text = ok(kolo, "show", "a")
    assert "memory for" in text
    assert "hf:o/r:F32" in text
    assert (
        ok(kolo, "show", "a", "--template")
        == told(kolo, "show", "a", "--template")["default"] + "\n"
    )
    metadata = told(kolo, "show", "a", "--metadata")
    assert metadata["general.architecture"] == "llama"
    assert "general.architecture = llama" in ok(kolo, "show", "a", "--metadata")


def test_show_takes_any_reference_and_any_kind(kolo: Kolo, tmp_path: Path) -> None:
    tiny_bert(tmp_path / "bert.gguf")
    assert told(kolo, "show", "./bert.gguf")["purpose"] == "embeds text"
    done = kolo("show", "bert.gguf", "--template")
    assert (done.returncode, done.stdout) == (4, "")
    assert kolo("show", "guid").returncode == 4


def test_only_one_part_of_a_model_is_shown_alone(kolo: Kolo) -> None:
    done = kolo("show", "guide", "--template", "--metadata")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--template and --metadata exclude each other" in done.stderr


# Remove, verify, alias -----------------------------------------------------------------------


def test_rm_asks_first_and_needs_a_flag_where_nobody_answers(
    kolo: Kolo, env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    put(store, "a", model(tmp_path))
    done = kolo("rm", "a")
    assert (done.returncode, done.stdout) == (2, "")
    assert "try: --yes" in done.stderr
    for answer, code in (("n", 1), ("", 1), ("y", 0)):
        assert "a" in store.models()
        with Terminal([sys.executable, "-m", "kolo", "rm", "a"], env) as terminal:
            terminal.expect("[y/N]")
            terminal.type(f"{answer}\n")
            assert terminal.process.wait(20) == code
    assert store.models() == {}


def test_rm_names_what_it_asks_about_where_nothing_has_said_so(
    env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    put(store, "a", model(tmp_path))
    with Terminal([sys.executable, "-m", "kolo", "rm", "a", "--json"], env) as terminal:
        terminal.expect("remove a? [y/N]")
        terminal.type("n\n")
        assert terminal.process.wait(30) == 1


def test_rm_says_what_it_frees_and_leaves_files_in_place(
    kolo: Kolo, store: Store, tmp_path: Path
) -> None:
    path = model(tmp_path)
    size = path.stat().st_size
    for name in ("a", "b"):
        put(store, name, path)
    store.register("c", path)
    ok(kolo, "alias", "x", "a")
    dry = told(kolo, "rm", "a", "c", "--dry-run")
    assert (dry["dry_run"], [each["freed_bytes"] for each in dry["removed"]]) == (True, [0, 0])
    both = told(kolo, "rm", "a", "b", "--dry-run")
    assert sum(each["freed_bytes"] for each in both["removed"]) == size
    assert sorted(store.models()) == ["a", "b", "c"]
    done = told(kolo, "rm", "a", "c", "--yes")
    assert done["removed"][0]["aliases"] == ["x"]
    assert (list(store.models()), path.exists()) == (["b"], True)


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("guide", 2, "is part of Kolo"),
        ("./m-0.gguf", 2, "is a file, and not in the store"),
        ("x", 2, "is an alias of 'a'"),
        ("zzz", 4, "no model named 'zzz'"),
    ],
)
def test_rm_removes_nothing_but_models_of_the_store(
    kolo: Kolo, store: Store, tmp_path: Path, name: str, code: int, says: str
) -> None:
    put(store, "a", model(tmp_path))
    store.set_alias("x", "a")
    done = kolo("rm", name, "--yes")
    assert done.returncode == code
    assert says in done.stderr
    assert (list(store.models()), model(tmp_path).exists()) == (["a"], True)


def test_verify_says_that_there_is_nothing_to_check(kolo: Kolo) -> None:
    done = kolo("verify")
    assert (done.returncode, done.stdout) == (0, "")
    assert "the store is empty" in done.stderr


def test_verify_names_what_is_bad_and_exits_8(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    put(store, "good", model(tmp_path, 1))
    added = put(store, "bad", model(tmp_path, 2))
    assert kolo("verify").returncode == 0
    path = store.path("bad", added.stored.version)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = kolo("verify")
    assert done.returncode == 8
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["damaged", "bad"],
        ["ok", "good"],
    ]
    assert "try: kolo rm bad && kolo pull hf:o/r:F32" in done.stderr
    done = kolo("verify", "good", "--json")
    assert (done.returncode, [f["state"] for f in json.loads(done.stdout)]) == (0, ["ok"])


def test_an_alias_is_given_moved_and_taken_away(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    put(store, "long-name", model(tmp_path))
    assert told(kolo, "alias", "x", "long") == {"x": "long-name"}
    assert told(kolo, "show", "x")["name"] == "long-name"
    assert told(kolo, "alias", "x", "guide") == {"x": "guide"}
    assert "x      guide" in ok(kolo, "alias")
    assert told(kolo, "alias", "--remove", "x") == {}
    for args, code in (
        (["--remove", "x"], 4),
        (["long-name", "guide"], 2),
        (["guide", "long-name"], 2),
        (["x"], 2),
        (["x", "none"], 4),
        (["x", "./m-0.gguf"], 2),
        (["hf:o/r", "guide"], 2),
    ):
        assert kolo("alias", *args).returncode == code, args
    assert store.aliases() == {}


# Versions ------------------------------------------------------------------------------------


def test_a_rollback_and_a_prune(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    first = put(store, "a", model(tmp_path, 1)).stored.current
    assert kolo("rollback", "a").returncode == 4
    second = put(store, "a", model(tmp_path, 2)).stored.current
    assert told(kolo, "rollback", "a", "--dry-run")["version"] == first
    assert store.get("a").current == second
    assert told(kolo, "rollback", "a")["former"] == second
    assert (store.get("a").current, kolo("rollback", "a").returncode) == (first, 4)
    assert told(kolo, "rollback", "a", "--to", second[:4])["version"] == second
    assert kolo("rollback", "a", "--to", "zzz").returncode == 4

    size = model(tmp_path).stat().st_size
    dry = told(kolo, "prune", "--dry-run")
    assert (dry["freed_bytes"], [each["version"] for each in dry["removed"]]) == (size, [first])
    assert kolo("prune").returncode == 2
    assert told(kolo, "prune", "--yes")["freed_bytes"] == size
    assert [version.id for version in store.get("a").versions] == [second]
    assert "nothing to remove" in kolo("prune").stderr


def test_a_store_that_may_not_be_written_says_so(
    kolo: Kolo, env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    Path(env["XDG_DATA_HOME"]).touch()
    done = kolo("pull", str(model(tmp_path)))
    assert done.returncode == 2
    assert "store.dir" in done.stderr or "cannot write" in done.stderr


def test_output_through_a_pipe_has_no_escapes(kolo: Kolo, store: Store, tmp_path: Path) -> None:
    put(store, "a", model(tmp_path))
    for args in (["ls"], ["show", "a"], ["verify"], ["alias"], ["prune"]):
        done = kolo(*args)
        assert "\x1b" not in done.stdout + done.stderr
        assert os.linesep.join(done.stdout.splitlines()) == done.stdout.rstrip("\n")


def test_a_copy_that_does_not_fit_leaves_nothing(
    env: dict[str, str], store: Store, tmp_path: Path
) -> None:
    path = model(tmp_path)
    limited = f"ulimit -f 100; exec {sys.executable} -m kolo pull {path} --copy"
    done = subprocess.run(["bash", "-c", limited], env=env, capture_output=True, check=False)
    assert done.returncode == 1
    assert b"error: cannot copy" in done.stderr
    assert store.models() == {}
    assert list(store.partial.iterdir()) == []
