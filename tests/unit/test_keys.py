"""API keys: what is kept, who is let in, and what a server notices while it runs."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from kolo.errors import BadParameter, ConfigError, UsageError
from kolo.keys import LOOK_EVERY_S, Key, Keyring, add_key, matching, new_key, read_keys, revoke_key


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def make(file: Path, name: str = "ci", **more: float) -> tuple[Key, str]:
    key, secret = new_key(name, ["infer"], **more)
    add_key(file, key)
    return key, secret


def test_a_secret_is_kept_nowhere(file: Path) -> None:
    key, secret = make(file)
    kept = file.read_text()
    random = secret.split("_", 2)[2]
    assert secret not in kept
    assert random not in kept
    assert key.sha256 in kept
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(random) == 43  # 256 bits


def test_a_secret_finds_its_key_and_no_other_does(file: Path) -> None:
    key, secret = make(file)
    other, _ = make(file, "other")
    keys = read_keys(file)
    assert matching(keys, secret) == key
    wrong = [
        "",
        "kolo_",
        secret[:-1],
        secret + "A",
        f" {secret}",
        secret.replace(key.id, other.id),
        secret.replace(key.id, "00000000"),
        secret[:-1] + ("A" if secret[-1] != "A" else "B"),
        "é" * 60,
        "\udc80",
    ]
    for each in wrong:
        assert matching(keys, each) is None


def test_secrets_and_ids_differ(file: Path) -> None:
    made = [new_key(f"k{at}", ["infer"]) for at in range(50)]
    assert len({key.id for key, _ in made}) == len({secret for _, secret in made}) == 50


def test_scopes_are_kept_in_their_order(file: Path) -> None:
    key, _ = new_key("ops", ["manage", "infer"])
    assert key.scopes == ("infer", "manage")


@pytest.mark.parametrize("name", ["", " ", " a", "a ", "a\nb", "x" * 65, "/a", "\x1b[31m"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadParameter):
        new_key(name, ["infer"])


def test_a_name_is_of_one_valid_key_at_a_time(file: Path) -> None:
    first, _ = make(file)
    with pytest.raises(UsageError, match="already"):
        make(file)
    revoke_key(file, "ci")
    second, _ = make(file)
    assert {key.state(second.created) for key in read_keys(file).values()} == {"revoked", "valid"}
    assert revoke_key(file, "ci").id == second.id
    assert first.id != second.id


def test_an_unknown_key_cannot_be_revoked_nor_one_twice(file: Path) -> None:
    key, _ = make(file)
    with pytest.raises(UsageError, match="no keys"):
        revoke_key(file, "nobody")
    revoke_key(file, key.id)
    with pytest.raises(UsageError, match="no keys"):
        revoke_key(file, key.id)


def test_many_may_change_the_file_at_once(file: Path) -> None:
    threads = [threading.Thread(target=make, args=(file, f"k{at}")) for at in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_keys(file)) == 12


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version":2,"keys":[]}', '{"version":1,"keys":[{"id":"../../etc"}]}']
)
def test_a_broken_file_is_an_error_and_never_no_keys(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(ConfigError):
        read_keys(file)
    with pytest.raises(ConfigError):
        Keyring(file)


# A server's view ---------------------------------------------------------------------------


def test_a_server_notices_a_new_key_and_a_revoked_one(file: Path) -> None:
    clock = Clock()
    ring = Keyring(file, clock=clock)
    key, secret = make(file)
    assert ring.find(secret) is None  # it looked a moment ago
    clock.now += LOOK_EVERY_S
    assert ring.find(secret) == key
    revoke_key(file, key.id)
    assert ring.valid(key.id)
    clock.now += LOOK_EVERY_S
    assert not ring.valid(key.id)
    assert ring.find(secret) is None
    assert len(ring) == 1  # the last key that is revoked does not open the server


def test_a_key_ends_when_it_expires_with_nobody_touching_the_file(file: Path) -> None:
    wall = Clock()
    key, secret = make(file, expires=1010.0, now=1000.0)
    ring = Keyring(file, wall=wall)
    assert ring.find(secret) == key
    wall.now = 1010.0
    assert ring.find(secret) is None
    assert not ring.any_valid()


@pytest.mark.parametrize("damage", ["garbage", "gone"])
def test_a_file_that_breaks_while_a_server_runs_changes_nothing_until_it_is_whole(
    file: Path, damage: str
) -> None:
    clock = Clock()
    key, secret = make(file)
    whole = file.read_bytes()
    ring = Keyring(file, clock=clock)
    if damage == "gone":
        file.unlink()
    else:
        file.write_text("{")
    clock.now += LOOK_EVERY_S
    assert ring.find(secret) == key
    assert str(file) in ring.problem
    file.write_bytes(whole)
    revoke_key(file, key.id)
    clock.now += LOOK_EVERY_S
    assert ring.find(secret) is None
    assert not ring.problem


def test_the_file_says_what_it_is(file: Path) -> None:
    make(file, requests_per_minute=5)
    told = json.loads(file.read_text())
    assert told["version"] == 1
    (only,) = told["keys"]
    assert set(only) == {"id", "name", "sha256", "scopes", "created", "requests_per_minute"}
