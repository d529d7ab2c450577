"""Names of the store, of folders and of the hub's cache, through the one resolver."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from stores import incoming, model, put, settings_for

from kolo.config import ModelSettings, Settings
from kolo.errors import BadParameter, KoloError, ModelInvalid, ModelNotFound
from kolo.models.resolve import overridden, refreshed, resolve
from kolo.models.sources.plan import Extras
from kolo.models.store import Store, need_store
from kolo.models.usage import forget_use, last_used, mark_used
from kolo.server.state import Registry
from kolo.types import LoadParams, Sampling


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    gguf = tmp_path / "gguf"
    model(gguf, 7, "lying")
    snapshot = tmp_path / "hub" / "models--o--Cached-GGUF" / "snapshots" / "c"
    snapshot.mkdir(parents=True)
    (snapshot / "Cached-Q8_0.gguf").write_bytes(model(tmp_path).read_bytes())
    return settings_for(tmp_path / "store", folders=[str(gguf)], hub_cache=str(tmp_path / "hub"))


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Store:
    store = need_store(settings)
    put(store, "o/Qwen2.5-0.5B-GGUF:Q4_K_M", model(tmp_path, 1), source="hf:o/Qwen2.5-0.5B-GGUF")
    put(store, "qwen2.5:0.5b", model(tmp_path, 2), source="ollama:qwen2.5:0.5b")
    put(store, "qwen2.5:latest", model(tmp_path, 3), source="ollama:qwen2.5:latest")
    put(store, "file", model(tmp_path, 4), source="https://h/file.gguf")
    return store


def test_a_name_is_the_version_in_use(settings: Settings, store: Store) -> None:
    spec = resolve("file", settings, allow_paths=False)
    assert (spec.id, spec.source, spec.stored) == ("file", "store", "file")
    assert spec.path == store.path("file", store.get("file").version)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("qwen2.5:0", "qwen2.5:0.5b"),
        ("QWEN2.5:0.5B", "qwen2.5:0.5b"),
        ("qwen2.5", "qwen2.5:latest"),
        ("o/Qwen2.5-0", "o/Qwen2.5-0.5B-GGUF:Q4_K_M"),
        ("Qwen2.5-0", "o/Qwen2.5-0.5B-GGUF:Q4_K_M"),
        ("o/Qwen2.5-0.5B-GGUF", "o/Qwen2.5-0.5B-GGUF:Q4_K_M"),
        ("hf:o/qwen2.5-0.5b-gguf", "o/Qwen2.5-0.5B-GGUF:Q4_K_M"),
        ("hf:o/Qwen2.5-0.5B-GGUF:f32", "o/Qwen2.5-0.5B-GGUF:Q4_K_M"),
        ("ollama:qwen2.5", "qwen2.5:latest"),
        ("ollama:qwen2.5:0.5b", "qwen2.5:0.5b"),
        ("https://h/file.gguf?token=x", "file"),
        ("lying", "lying-7"),
        ("cached", "o/Cached-GGUF:Q8_0"),
        ("hf:o/Cached-GGUF:q8_0", "o/Cached-GGUF:Q8_0"),
        ("hf:o/Cached-GGUF/Cached-Q8_0.gguf", "o/Cached-GGUF:Q8_0"),
    ],
)
def test_a_model_is_found_by_the_beginning_of_its_name_and_by_where_it_came_from(
    settings: Settings, store: Store, reference: str, name: str
) -> None:
    assert resolve(reference, settings, allow_paths=False).id == name


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        (
            "hf:o/Qwen2.5-0.5B-GGUF:Q8_0",
            "kolo pull hf:o/Qwen2.5-0.5B-GGUF:Q8_0, or one that is here: "
            "o/Qwen2.5-0.5B-GGUF:Q4_K_M",
        ),
        ("o/Qwen2.5-0.5-GGUF", "kolo pull o/Qwen2.5-0.5-GGUF, or one that is here: o/Qwen2"),
        ("hf:o/Qwen2.5-0.5B-GGUF@v2", "kolo pull hf:o/Qwen2.5-0.5B-GGUF@v2"),
        ("ollama:qwen2.5:7b", "kolo pull ollama:qwen2.5:7b"),
        ("oci:ghcr.io/qwen2.5", "kolo pull oci:ghcr.io/qwen2.5"),
        ("https://h/other.gguf", "kolo pull https://h/other.gguf"),
        ("x/y", "kolo pull x/y"),
        ("fiel", "Did you mean file? "),
        ("qwn2.5", "Did you mean qwen2.5:0.5b or qwen2.5:latest"),
    ],
)
def test_what_is_not_there_says_what_to_do(
    settings: Settings, store: Store, reference: str, hint: str
) -> None:
    with pytest.raises(ModelNotFound) as caught:
        resolve(reference, settings)
    assert caught.value.hint.startswith(hint)


def test_a_name_of_one_registry_is_not_that_of_another(settings: Settings, tmp_path: Path) -> None:
    put(need_store(settings), "mine", model(tmp_path, 5), source="oci:mine.example/x:1")
    assert resolve("oci:mine.example/x:1", settings).id == "mine"
    with pytest.raises(ModelNotFound):
        resolve("oci:other.example/x:1", settings)


def test_the_beginning_of_several_names_lists_them(settings: Settings, store: Store) -> None:
    store.remove("qwen2.5:latest")
    with pytest.raises(BadParameter) as caught:
        resolve("qwen", settings)
    assert caught.value.message.splitlines()[1:] == ["o/Qwen2.5-0.5B-GGUF:Q4_K_M", "qwen2.5:0.5b"]


def test_a_file_whose_name_is_not_utf8_is_not_told_of(settings: Settings, tmp_path: Path) -> None:
    folder = model(tmp_path / "odd", 1).parent
    (folder / os.fsdecode(b"m\xe9.gguf")).touch()
    assert resolve(str(folder), settings).path.name == "m-1.gguf"
    with pytest.raises(ModelNotFound) as caught:
        resolve(str(folder / "mé.gguf"), settings)
    caught.value.hint.encode()


def test_the_settings_go_first_and_a_path_last(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    own = ModelSettings(path=model(tmp_path, 9))
    settings = replace(settings, models={"file": own})
    assert resolve("file", settings).source == "config"
    (tmp_path / "qwen2.5:0.5b").touch()
    assert resolve("qwen2.5:0.5b", settings).source == "store"
    (tmp_path / "qwen").touch()
    assert resolve("qwen", settings).source == "path"
    with pytest.raises(BadParameter):
        resolve("qwen", settings, allow_paths=False)


def test_an_alias_stands_for_its_model_wherever_that_is(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    settings = replace(settings, models={"mine": ModelSettings(path=model(tmp_path, 9))})
    for alias, target in (("a", "file"), ("b", "mine"), ("c", "lying-7"), ("d", "guide")):
        store.set_alias(alias, target)
        assert resolve(alias, settings).id == target
    store.set_alias("e", "gone")
    with pytest.raises(ModelNotFound, match="alias of 'gone'"):
        resolve("e", settings)
    store.set_alias("e", "e")
    with pytest.raises(ModelNotFound):
        resolve("e", settings)


def test_what_was_published_with_a_model_fills_what_the_settings_leave_open(
    settings: Settings, tmp_path: Path
) -> None:
    store = need_store(settings)
    store.add(
        "x",
        [incoming(store, model(tmp_path))],
        source="ollama:x:latest",
        extras=Extras(
            sampling=Sampling(temperature=0.1, top_k=5), ctx=512, stop=("###",), system="Be brief."
        ),
    )
    settings = replace(settings, engine=LoadParams(sampling=Sampling(temperature=0.9)))
    params = resolve("x", settings).params
    assert (params.ctx, params.sampling.temperature, params.sampling.top_k) == (512, 0.9, 5)
    assert (params.stop, params.system) == (["###"], "Be brief.")
    settings = replace(settings, engine=LoadParams(ctx=64, stop=[], system=""))
    params = resolve("x", settings).params
    assert (params.ctx, params.stop, params.system) == (64, [], "")


def test_another_version_brings_what_it_was_published_with_and_leaves_what_was_asked(
    settings: Settings, tmp_path: Path
) -> None:
    store = need_store(settings)

    def publish(**extras: Any) -> None:
        file = incoming(store, model(tmp_path))
        store.add("x", [file], source="ollama:x:latest", extras=Extras(**extras))

    publish(ctx=512, stop=("###",), sampling=Sampling(temperature=0.1, top_k=5))
    settings = replace(settings, engine=LoadParams(sampling=Sampling(temperature=0.9)))
    spec = overridden(resolve("x", settings), {"parallel": 3, "ctx": 512}, settings)
    assert (spec.params.ctx, spec.params.parallel, spec.params.stop) == (512, 3, ["###"])
    file = tmp_path / "engines.json"
    Registry(file, settings).remember(replace(spec, id="mine"))
    publish(ctx=2048, system="Be brief.", sampling=Sampling(top_k=7))  # the same weights
    (kept,) = Registry(file, settings).specs()
    for now in (refreshed(spec, settings), kept):
        params = now.params
        assert now.path != spec.path
        assert (params.ctx, params.parallel) == (512, 3)
        assert (params.stop, params.system) == (None, "Be brief.")
        assert (params.sampling.temperature, params.sampling.top_k) == (0.9, 7)
    back = overridden(refreshed(spec, settings), {"ctx": None}, settings)
    assert back.params.ctx == 2048


def test_a_spec_follows_the_version_in_use(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    spec = replace(resolve("file", settings), id="other", pin=True)
    former = store.get("file").current
    assert refreshed(spec, settings) is spec
    put(store, "file", model(tmp_path, 5), source="https://h/file.gguf")
    now = refreshed(spec, settings)
    assert (now.id, now.pin, now.path) == ("other", True, resolve("file", settings).path)
    assert now.path != spec.path
    store.use("file", former)
    assert refreshed(now, settings) == spec
    store.remove("file")
    with pytest.raises(ModelNotFound, match="'file' has left the store"):
        refreshed(spec, settings)


def test_a_model_whose_file_left_the_store_is_refused(settings: Settings, store: Store) -> None:
    path = resolve("file", settings).path
    path.unlink()
    with pytest.raises(ModelNotFound, match="not there any more"):
        resolve("file", settings)
    path.symlink_to("/etc/hostname")
    with pytest.raises(ModelInvalid, match="out of the store"):
        resolve("file", settings)


def test_an_odd_name_over_the_network_is_not_found_and_harms_nothing(
    settings: Settings, store: Store
) -> None:
    for reference in ("..", "../..", "a/../../etc/passwd", "/etc/passwd", "%00", "x" * 4096):
        with pytest.raises(KoloError) as caught:
            resolve(reference, settings, allow_paths=False)
        assert caught.value.http_status in (400, 404)


def test_the_last_use_is_remembered_by_name(settings: Settings, store: Store) -> None:
    assert last_used(settings, "file") is None
    for name in ("file", "a/../b", "..", "x" * 5000):
        mark_used(settings, name)
    assert last_used(settings, "file") is not None
    assert sorted(path.parent.name for path in store.folder.rglob("*.used")) == ["used"] * 3
    forget_use(settings, "file")
    assert last_used(settings, "file") is None
    mark_used(Settings(), "file")


def test_an_engine_kept_over_a_restart_has_the_version_in_use(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    kept = replace(resolve("file", settings), id="mine")
    Registry(tmp_path / "engines.json", settings).remember(kept)
    put(store, "file", model(tmp_path, 5), source="https://h/file.gguf")
    (spec,) = Registry(tmp_path / "engines.json", settings).specs()
    assert (spec.id, spec.path) == ("mine", resolve("file", settings).path)
    spec.path.unlink()
    (spec,) = Registry(tmp_path / "engines.json", settings).specs()
    assert spec == kept
