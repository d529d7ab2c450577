"""Options of ``kolo serve``: one for every setting, with the words of config.toml.example."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click
import pytest

from kolo.cli.named import plan
from kolo.cli.serve import command
from kolo.cli.serve_options import ELSEWHERE, ServeCommand, flag_of
from kolo.config import load_settings
from kolo.config.keys import LEAVES
from kolo.config.rows import value_of

GUIDE = files("kolo.models") / "data" / "guide.gguf"
KEYS = [key for key in LEAVES if key.partition(".")[0] not in ELSEWHERE]


def overrides(*typed: str) -> dict[str, tuple[str, object]]:
    assert isinstance(command, ServeCommand)
    context = command.make_context("serve", [*typed])
    return command.overrides(context.params)


def test_every_setting_has_an_option_with_a_help_text() -> None:
    options = {
        name: param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
    }
    for key in KEYS:
        assert options[flag_of(key)].help, key
    assert len({flag_of(key) for key in KEYS}) == len(KEYS)


def test_help_is_in_groups() -> None:
    text = command.get_help(command.context_class(command, info_name="kolo serve"))
    for heading in ("HTTP [server]:", "Log [log]:", "Loading and unloading [manager]:"):
        assert heading in text
    places = [text.rindex(f"{flag} ") for flag in ("--host", "--ctx", "--sampling-top-k")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("typed", "key", "value"),
    [
        (("--stop-timeout", "90s"), "server.stop_timeout", 90.0),
        (("--no-mmap",), "engine.mmap", False),
        (("--log-access",), "log.access", True),
        (("--manager-max-queue", "7"), "manager.max_queue", 7),
        (("--sampling-top-k", "3"), "engine.sampling.top_k", 3),
        (("--store-folders", "/a,/b"), "store.folders", ["/a", "/b"]),
    ],
)
def test_what_is_typed_is_heeded(
    typed: tuple[str, ...], key: str, value: object, tmp_path: Path
) -> None:
    settings = load_settings({"HOME": str(tmp_path)}, overrides=overrides(*typed))
    assert value_of(settings, key) == value
    assert settings.origin(key) == f"flag {flag_of(key)}"


def test_a_model_of_the_settings_that_is_named_takes_the_options(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f'[models.a]\npath = "{GUIDE}"\nctx = 64\nsampling.top_k = 9\n')
    settings = load_settings({"HOME": str(tmp_path)}, file)
    flags = {"ctx": 128, "sampling.top_k": 3}
    params = plan(settings, ["a"], flags, None).settings.models["a"].params
    assert (params.ctx, params.sampling.top_k) == (128, 3)
