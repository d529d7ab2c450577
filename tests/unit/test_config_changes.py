"""What a reload finds changed, and which of it is heeded at once."""

from __future__ import annotations

from pathlib import Path

from kolo.config import Settings, load_settings
from kolo.config.changes import changed_keys
from kolo.config.keys import LEAVES
from kolo.server.reload import ELSEWHERE, LIVE, ONLY_AT_START, is_live


def settings(folder: Path, text: str) -> Settings:
    file = folder / "config.toml"
    file.write_text(text)
    return load_settings({"HOME": str(folder)}, file)


def test_keys_and_models_that_are_other_are_named(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").touch()
    before = settings(
        tmp_path,
        '[server]\nport = 1\n[models.a]\npath = "m.gguf"\n[models.b]\npath = "m.gguf"\n'
        '[models.c]\npath = "m.gguf"\n',
    )
    after = settings(
        tmp_path,
        '[server]\nport = 2\n[engine.sampling]\ntop_k = 3\n[models.a]\npath = "m.gguf"\n'
        '[models.b]\npath = "m.gguf"\nctx = 64\n[models.d]\npath = "m.gguf"\n',
    )
    assert changed_keys(before, before) == []
    found = changed_keys(before, after)
    assert found[:2] == ["engine.sampling.top_k", "server.port"]
    # What all models inherit is another value of each.
    assert set(found[2:]) == {"models.a", "models.b", "models.c", "models.d"}


def test_every_place_in_the_lists_is_one_of_the_schema() -> None:
    sections = {key.rpartition(".")[0].split(".")[0] for key in LEAVES} | {"models"}
    for place in (*LIVE, *ONLY_AT_START, *ELSEWHERE):
        assert place in LEAVES or place in sections, place


def test_an_address_is_not_changed_while_it_is_listened_on() -> None:
    assert not is_live("server.port")
    assert not is_live("manager.memory_budget")
    assert is_live("manager.max_queue")
    assert is_live("models.qwen")
    assert is_live("log.level")
