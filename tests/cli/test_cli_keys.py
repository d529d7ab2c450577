"""``kolo keys`` and ``kolo audit``, without a server and beside one."""

from __future__ import annotations

import json
import re
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from cli_server import Server
from running import Kolo

SECRET = re.compile(r"kolo_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
PATIENCE_S = 60.0


def state(env: dict[str, str]) -> Path:
    return Path(env["XDG_STATE_HOME"]) / "kolo"


def test_the_secret_is_the_output_and_nowhere_else(kolo: Kolo, env: dict[str, str]) -> None:
    made = kolo("keys", "create", "laptop")
    assert made.returncode == 0
    secret = made.stdout.strip()
    assert SECRET.fullmatch(secret)
    assert secret not in made.stderr
    assert "will not be shown again" in made.stderr
    for file in state(env).rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes()
    assert stat.S_IMODE((state(env) / "keys.json").stat().st_mode) == 0o600


def test_what_is_listed_is_what_was_made_and_revoked(kolo: Kolo) -> None:
    made = kolo("keys", "create", "ops", "--scope", "manage", "--scope", "read", "--json")
    told = json.loads(made.stdout)
    assert SECRET.fullmatch(told["secret"])
    assert told["scopes"] == ["read", "manage"]
    kolo("keys", "create", "guest", "--expires", "7d", "--tokens-per-minute", "100")
    listed = json.loads(kolo("keys", "ls", "--json").stdout)
    assert [one["name"] for one in listed] == ["ops", "guest"]
    assert listed[1]["tokens_per_minute"] == 100
    assert 6 * 86_400 < listed[1]["expires"] - time.time() <= 7 * 86_400
    assert "secret" not in listed[0]
    table = kolo("keys", "ls").stdout
    assert "ops" in table
    assert "read manage" in table
    revoked = kolo("keys", "revoke", "ops")
    assert revoked.returncode == 0
    assert "no valid key is left" not in revoked.stderr
    listed = json.loads(kolo("keys", "ls", "--json").stdout)
    assert [one["state"] for one in listed] == ["valid", "revoked"]
    assert kolo("keys", "ls", "-q").stdout.split() == [listed[0]["id"]]


def test_who_revokes_the_last_key_is_told_that_the_server_stays_closed(kolo: Kolo) -> None:
    kolo("keys", "create", "only")
    done = kolo("keys", "revoke", "only")
    assert "kolo config set access.require_key never" in done.stderr
    assert "kolo keys create" in done.stderr
    kolo("keys", "create", "second")
    open_to_all = kolo("keys", "revoke", "second", KOLO_ACCESS_REQUIRE_KEY="never")
    assert "no valid key is left" not in open_to_all.stderr


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["create"], "NAME"),
        (["create", "a\nb"], "cannot be the name"),
        (["create", "x", "--scope", "root"], "root"),
        (["create", "x", "--expires", "soon"], "is no time"),
        (["create", "x", "--expires", "5"], "--expires 5 has no unit\n  try: 5d for days"),
        (["create", "x", "--expires", "2001-01-01"], "that is over"),
        (["create", "x", "--expires", "999999999d"], "no date is as late"),
        (["revoke", "nobody"], "no keys are named"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    kolo: Kolo, env: dict[str, str], args: list[str], says: str
) -> None:
    done = kolo("keys", *args)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert not (state(env) / "keys.json").exists()


def test_the_audit_log_tells_of_keys_and_is_whole(kolo: Kolo, env: dict[str, str]) -> None:
    assert kolo("audit", "verify").stdout.strip() == "0" * 64
    kolo("keys", "create", "a")
    kolo("keys", "revoke", "a")
    told: list[Any] = json.loads(kolo("audit", "--json").stdout)
    assert [one["action"] for one in told] == ["keys create", "keys revoke"]
    assert told[0]["who"].startswith("user ")
    assert "keys create" in kolo("audit").stdout
    assert len(json.loads(kolo("audit", "-n", "1", "--json").stdout)) == 1
    head = kolo("audit", "verify").stdout.strip()
    assert head == told[-1]["sum"]
    assert json.loads(kolo("audit", "verify", "--head", head, "--json").stdout)["lines"] == 2

    log = state(env) / "audit.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole.replace(b"keys create", b"keys crEate"))
    broken = kolo("audit", "verify")
    assert broken.returncode == 8
    assert "line 1 is not as it was written" in broken.stderr
    log.write_bytes(whole.splitlines(keepends=True)[0])
    assert kolo("audit", "verify").returncode == 0
    assert kolo("audit", "verify", "--head", head).returncode == 8
    log.write_bytes(whole[:-20])
    torn = kolo("audit", "verify")
    assert torn.returncode == 0
    assert "line 2 was torn" in torn.stderr
    kolo("keys", "create", "b")
    assert kolo("audit", "verify").returncode == 0


def test_a_server_heeds_keys_made_and_revoked_while_it_runs(
    kolo: Kolo, env: dict[str, str]
) -> None:
    away = {"XDG_RUNTIME_DIR": env["HOME"]}  # as from another machine: no token to be found
    with Server(env) as server:
        at = ["--url", server.url]
        assert kolo("ps", *at, **away).returncode == 0
        secret = kolo("keys", "create", "reader", "--scope", "read").stdout.strip()
        refused = until(lambda: kolo("ps", *at, **away), 6)
        assert "an API key is needed" in refused.stderr
        assert kolo("ps", *at, KOLO_API_KEY=secret, **away).returncode == 0
        assert kolo("unload", "guide", *at, KOLO_API_KEY=secret, **away).returncode == 6
        # On the machine of the server its own user needs none.
        assert kolo("ps").returncode == 0
        assert kolo("ps", *at).returncode == 0
        assert kolo("load", "guide").returncode == 0
        kolo("keys", "revoke", "reader")
        refused = until(lambda: kolo("ps", *at, KOLO_API_KEY=secret, **away), 6)
        assert "not valid" in refused.stderr
    log = json.loads(kolo("audit", "--json").stdout)
    by_request = [one for one in log if " /" in one["action"]]
    assert [(one["who"], one["subject"], one["outcome"]) for one in by_request] == [
        (f"key {secret.split('_')[1]} (reader) from 127.0.0.1", "", "403 FORBIDDEN"),
        ("local from 127.0.0.1", "guide", "ok"),
    ]
    for file in state(env).rglob("*"):
        if file.is_file():
            assert secret.encode() not in file.read_bytes()


def until(ask: Any, code: int) -> Any:
    """What ``ask`` comes to once its exit code is ``code``: a server looks once a second."""
    deadline_s = time.monotonic() + PATIENCE_S
    while (done := ask()).returncode != code:
        assert time.monotonic() < deadline_s, done
    return done


def test_beyond_this_machine_a_key_is_enough(kolo: Kolo, env: dict[str, str]) -> None:
    refused = kolo("serve", "--host", "0.0.0.0")
    assert refused.returncode == 2
    assert "there is no API key" in refused.stderr
    assert "kolo keys create" in refused.stderr
    kolo("keys", "create", "a")
    with Server(env, "--host", "0.0.0.0") as server:
        server.until("requests need an API key")
        assert kolo("ps").returncode == 0


def test_keys_that_cannot_be_read_stop_a_start(kolo: Kolo, env: dict[str, str]) -> None:
    kolo("keys", "create", "a")
    (state(env) / "keys.json").write_text("{")
    done = kolo("serve")
    assert done.returncode == 2
    assert "keys.json cannot be read" in done.stderr


def test_a_server_on_a_socket_alone_is_found_and_asked(
    kolo: Kolo, env: dict[str, str], tmp_path: Path
) -> None:
    kolo("keys", "create", "a")
    path = tmp_path / "s"
    with Server(env, "--host", "none", "--socket", str(path)):
        assert kolo("ps", "-q").stdout.split() == ["guide"]
        assert kolo("ps", "-q", "--url", f"unix:{path}").stdout.split() == ["guide"]
    assert not path.exists()


def test_no_secret_is_in_the_history(kolo: Kolo, env: dict[str, str]) -> None:
    secret = kolo("keys", "create", "a", "--scope", "infer").stdout.strip()
    away = {"XDG_RUNTIME_DIR": env["HOME"]}
    with Server(env) as server:
        done = kolo("complete", "x", "-n", "2", "--url", server.url, KOLO_API_KEY=secret, **away)
        assert done.returncode in (0, 8), done.stderr
    with sqlite3.connect(state(env) / "history.db") as history:
        assert secret not in "\n".join(history.iterdump())
    history.close()
