"""Settings files that are changed: comments and order stay, and nothing else becomes another."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kolo.config.editing import with_value, without
from kolo.config.example import example_text
from kolo.config.naming import find_key
from kolo.config.writing import rewrite, write_text
from kolo.errors import BadParameter, ConfigError
from kolo.toml import dotted, shown_key, statements, written

FILE = """\
# Mine.
default_model = "a" # why

# Loading.
[engine]
# Tokens.
ctx = 1000 # not more
#batch = 2048
lora = [
  {path = "x = 1"}, # one
]

# Serving.
[server]
port = 1

# Models.
[models."q.5"]
path = "q"
"""


def added(before: str, after: str) -> list[str]:
    """The lines that are new; all others must be there, in order."""
    lines = iter(after.splitlines())
    new: list[str] = []
    for line in before.splitlines():
        for other in lines:
            if other == line:
                break
            new.append(other)
        else:
            raise AssertionError(f"{line!r} is gone")
    return [*new, *lines]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("other", ["\x85", "\u2028", "\u2029"])
def test_what_is_no_line_break_in_toml_breaks_no_comment(other: str, end: str) -> None:
    before = FILE.replace("# Mine.", f"# Mi{other}ne.").replace("\n", end)
    after = with_value(before, ("engine", "parallel"), 3)
    assert f"# Mi{other}ne.{end}" in after
    assert without(after, ("engine", "parallel")) == before


def test_a_value_that_is_there_is_changed_where_it_stands() -> None:
    after = with_value(FILE, ("engine", "ctx"), 2000)
    assert after == FILE.replace("ctx = 1000 # not more", "ctx = 2000 # not more")
    after = with_value(FILE, ("engine", "lora"), [])
    assert after.splitlines()[8:10] == ["lora = []", ""]


@pytest.mark.parametrize(
    ("path", "value", "above", "lines"),
    [
        (("engine", "batch"), 64, "#batch = 2048", ["batch = 64"]),
        (("engine", "mmap"), False, "]", ["mmap = false"]),
        (("server", "host"), "h", "port = 1", ['host = "h"']),
        (("profile",), "p", 'default_model = "a" # why', ['profile = "p"']),
        (("models", "q.5", "pin"), True, 'path = "q"', ["pin = true"]),
        (
            ("models", "new one", "path"), "x", 'path = "q"',
            ["", '[models."new one"]', 'path = "x"'],
        ),
        (
            ("engine", "sampling", "top_k"), 5, 'path = "q"',
            ["", "[engine.sampling]", "top_k = 5"],
        ),
    ],
)  # fmt: skip
def test_a_new_value_goes_where_a_person_would_put_it(
    path: tuple[str, ...], value: Any, above: str, lines: list[str]
) -> None:
    after = with_value(FILE, path, value)
    assert added(FILE, after) == lines
    at = after.splitlines().index(lines[0] or lines[1])
    assert after.splitlines()[at - (2 if not lines[0] else 1)] == above
    assert without(after, path if len(lines) == 1 else path[:-1]).rstrip("\n") == FILE.rstrip("\n")


def test_a_first_key_goes_between_the_heading_and_the_first_section() -> None:
    text = "# Settings.\n\n# Loading.\n[engine]\nctx = 1\n"
    after = with_value(text, ("default_model",), "m")
    assert after.splitlines()[:3] == ["# Settings.", "", 'default_model = "m"']
    assert with_value("", ("default_model",), "m") == 'default_model = "m"\n'
    assert with_value("", ("engine", "ctx"), 8) == "[engine]\nctx = 8\n"
    assert with_value("[engine]", ("profile",), "x") == 'profile = "x"\n[engine]\n'


@pytest.mark.parametrize(
    "text",
    [
        "engine.ctx = 1\n",
        "engine = {ctx = 1}\n",
        "[engine.sampling]\ntop_k = 1\n",
        "[server]\n[engine]\n[server.x]\n",
        "a = 1",
        "[ engine ] # x\r\nctx = 1\r\n",
    ],
)
def test_every_way_of_writing_can_be_added_to(text: str) -> None:
    after = with_value(text, ("engine", "parallel"), 3)
    wanted = tomllib.loads(text)
    wanted.setdefault("engine", {})["parallel"] = 3
    assert tomllib.loads(after) == wanted
    assert ("\r\n" in text) == ("\r\n" in after)


def test_what_stands_in_the_way_is_said() -> None:
    with pytest.raises(ConfigError, match="engine is something else"):
        with_value("engine = 3", ("engine", "ctx"), 1)
    with pytest.raises(ConfigError, match="sampling is something else"):
        with_value("[engine.sampling]\ntop_k = 1", ("engine", "sampling"), 1)


def test_a_table_goes_with_all_that_is_below_it_and_nothing_else() -> None:
    text = (
        "[models.a]\npath = 1\n# of b\n[models.b]\npath = 2\n[models.a.sampling]\ntop_k = 1\n"
        "\n# end\n"
    )
    after = without(text, ("models", "a"))
    assert after == "# of b\n[models.b]\npath = 2\n\n# end\n"
    assert without(after, ("models", "a")) == after
    inline = without("engine = {ctx = 1, batch = 2}\n", ("engine", "ctx"))
    assert tomllib.loads(inline) == {"engine": {"batch": 2}}


def test_the_example_takes_every_kind_of_value() -> None:
    text = example_text()
    for path, value in [
        (("engine", "ctx"), 4096),
        (("engine", "sampling", "samplers"), ["top_k"]),
        (("engine", "sampling", "logit_bias"), {"a b": 1.5}),
        (("engine", "chat_template"), 'a\n"""\n\\x'),
        (("default_model",), "m"),
    ]:
        after = with_value(text, path, value)
        assert len(added(text, after)) == written(value).count("\n") + 1
        found: Any = tomllib.loads(after)
        for part in path:
            found = found[part]
        assert found == value
        assert without(after, path) == text


names = st.text(st.characters(codec="utf-8"), max_size=4)
plain = st.one_of(
    names, st.booleans(), st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)  # fmt: skip
values = st.one_of(plain, st.lists(plain, max_size=3), st.dictionaries(names, plain, max_size=2))
tables = st.dictionaries(names, st.one_of(values, st.dictionaries(names, values, max_size=2)))


@settings(max_examples=150, deadline=None)
@given(values)
def test_what_is_written_is_read_again(value: Any) -> None:
    assert tomllib.loads(f"x = {written(value)}") == {"x": value}


@settings(max_examples=150, deadline=None)
@given(st.tuples(names, names, names))
def test_a_key_that_is_shown_is_found_again(path: tuple[str, ...]) -> None:
    assert dotted(shown_key(path)) == path


@settings(max_examples=100, deadline=None)
@given(tables, st.lists(names, min_size=1, max_size=3).map(tuple), plain)
def test_any_file_can_be_changed_and_changed_back(
    table: dict[str, Any], path: tuple[str, ...], value: Any
) -> None:
    text = "".join(f"{shown_key((key,))} = {written(each)}\n" for key, each in table.items())
    try:
        after = with_value(text, path, value)
    except ConfigError:
        return  # something else is in the way
    found: Any = tomllib.loads(after)
    for part in path:
        found = found[part]
    assert found == value
    gone = tomllib.loads(without(after, path))
    for part in path[:-1]:
        gone = gone.get(part, {})
    assert path[-1] not in gone


@settings(max_examples=150, deadline=None)
@given(st.text(st.sampled_from("[]#=\"'\\\n a1.,{}"), max_size=30))
def test_any_text_can_be_looked_through(text: str) -> None:
    for each in statements(text):
        assert 1 <= each.first <= each.last <= len(text.splitlines())


# Names ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "name"),
    [
        ("default_model", ("default_model",), "default_model"),
        ("engine.sampling.top_k", ("engine", "sampling", "top_k"), "engine.sampling.top_k"),
        ("models.q.ctx", ("models", "q", "ctx"), "models.q.ctx"),
        ("models.q.5.ctx", ("models", "q.5", "ctx"), "models.q.5.ctx"),
        ('models."q.5".ctx', ("models", "q.5", "ctx"), "models.q.5.ctx"),
        ("models.a.sampling.top_k", ("models", "a", "sampling", "top_k"), None),
        ("models.org/x:q4.path", ("models", "org/x:q4", "path"), None),
        ("profiles.w.engine.ctx", ("profiles", "w", "engine", "ctx"), "engine.ctx"),
        ('profiles."a b".models.q.5.pin', ("profiles", "a b", "models", "q.5", "pin"), None),
    ],
)
def test_a_key_is_found_by_its_name(text: str, path: tuple[str, ...], name: str | None) -> None:
    found = find_key(text)
    assert found.path == path
    assert found.name == (name or found.name)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("engine.ctxx", "Did you mean engine.ctx?"),
        ("ctx", "Did you mean engine.ctx?"),
        ("engine", "kolo config show engine"),
        ("models.q.cttx", "Did you mean models.NAME.ctx?"),
        ("models.q", "kolo config show lists all."),
        ("profiles.w", "profiles.NAME.engine.ctx"),
        ("profiles.w.engine.ctxx", "Did you mean engine.ctx?"),
        ("xyzzy", "kolo config show lists all."),
        ("", "kolo config show lists all."),
    ],
)
def test_a_key_that_is_none_names_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(BadParameter, match="no such setting") as caught:
        find_key(text)
    assert caught.value.hint == hint


# Writing ----------------------------------------------------------------------------------------


def env(tmp_path: Path) -> dict[str, str]:
    return {"KOLO_CONFIG": str(tmp_path / "c.toml"), "HOME": str(tmp_path)}


def test_a_change_keeps_mode_and_link(tmp_path: Path) -> None:
    real = tmp_path / "dotfiles" / "kolo.toml"
    real.parent.mkdir()
    real.write_text("[engine]\nctx = 8\n")
    real.chmod(0o640)
    (tmp_path / "c.toml").symlink_to(real)
    done = rewrite(env(tmp_path), lambda text: with_value(text, ("engine", "ctx"), 9))
    assert done.changed
    assert (done.before.settings.engine.ctx, done.after.settings.engine.ctx) == (8, 9)
    assert (tmp_path / "c.toml").is_symlink()
    assert real.read_text() == "[engine]\nctx = 9\n"
    assert real.stat().st_mode & 0o777 == 0o640
    assert os.listdir(real.parent) == ["kolo.toml"]


def test_a_new_file_is_made_with_its_folder_and_may_be_private(tmp_path: Path) -> None:
    file = tmp_path / "a" / "b" / "c.toml"
    there = {"KOLO_CONFIG": str(file), "HOME": str(tmp_path)}
    rewrite(there, lambda text: with_value(text, ("engine", "ctx"), 9), private=True)
    assert file.read_text() == "[engine]\nctx = 9\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_would_make_it_worse_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[engine]\nctxx = 1\n")
    with pytest.raises(ConfigError, match="expected a whole number >= 8, found 1"):
        rewrite(env(tmp_path), lambda text: with_value(text, ("engine", "ctx"), 1))
    assert file.read_text() == "[engine]\nctxx = 1\n"
    # What was wrong before does not keep anybody from setting something else, or mending it.
    rewrite(env(tmp_path), lambda text: with_value(text, ("server", "port"), 1))
    rewrite(env(tmp_path), lambda text: without(text, ("engine", "ctxx")))
    assert tomllib.loads(file.read_text()) == {"engine": {}, "server": {"port": 1}}


def test_a_file_that_is_no_toml_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("engine = \n")
    with pytest.raises(ConfigError, match=r"c\.toml:1: is not TOML"):
        rewrite(env(tmp_path), lambda text: text + "x")
    assert file.read_text() == "engine = \n"


def test_what_cannot_be_written_is_said_with_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.toml").mkdir()
    with pytest.raises(ConfigError, match=r"c\.toml: cannot be written"):
        write_text(tmp_path / "c.toml", "x")
