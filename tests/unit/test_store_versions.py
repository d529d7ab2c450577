"""Versions of a model in the store: kept, gone back to, forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest
from stores import incoming, model, put

from kolo.errors import ModelNotFound
from kolo.models.reference import OciRef
from kolo.models.sources.plan import Extras, Plan, RemoteFile
from kolo.models.store import Added, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def names(store: Store) -> dict[str, str]:
    return {name: stored.current for name, stored in store.models().items()}


def test_a_name_that_is_pulled_again_keeps_its_former_file(store: Store, tmp_path: Path) -> None:
    first = put(store, "a", model(tmp_path, 1))
    second = put(store, "a", model(tmp_path, 2))
    assert (second.new, second.replaced) == (True, first.stored.current)
    assert second.stored.former == first.stored.version
    for added, seed in ((first, 1), (second, 2)):
        path = store.path("a", added.stored.version)
        assert path.read_bytes() == model(tmp_path, seed).read_bytes()


def test_a_rollback_returns_to_it_and_a_pull_goes_forward_again(
    store: Store, tmp_path: Path
) -> None:
    first = put(store, "a", model(tmp_path, 1)).stored
    second = put(store, "a", model(tmp_path, 2)).stored
    store.use("a", first.current)
    assert Store(store.folder).get("a").version == first.version
    again = put(store, "a", model(tmp_path, 2))
    assert (again.new, again.replaced) == (False, first.current)
    assert [v.id for v in again.stored.versions] == [v.id for v in second.versions]
    store.rebuild()
    assert names(store) == {"a": second.current}


def test_the_same_weights_published_with_something_else_are_another_version(
    store: Store, tmp_path: Path
) -> None:
    def publish(extras: Extras) -> Added:
        file = incoming(store, model(tmp_path, 1))
        return store.add("a", [file], source="ollama:a:latest", extras=extras)

    first, brief = publish(Extras()), Extras(system="Be brief.")
    second = publish(brief)
    assert (second.new, second.replaced) == (True, first.stored.current)
    assert len(list((store.folder / "blobs").iterdir())) == 1
    (file,) = second.stored.version.files
    remote = RemoteFile(
        name=file.name,
        role="model",
        size_bytes=file.size_bytes,
        sha256=file.hex,
        validator=None,
        url="",
    )
    for extras, version in (
        (Extras(), first.stored.current),
        (brief, second.stored.current),
        (Extras(system="Sing."), ""),
    ):
        plan = Plan(
            reference=OciRef("h", "a"),
            name="a",
            source="oci",
            revision="",
            quant="",
            files=(remote,),
            extras=extras,
        )
        assert store.version_of(plan, "a") == version


def test_what_left_the_store_meanwhile_cannot_be_used_again(store: Store, tmp_path: Path) -> None:
    first = put(store, "a", model(tmp_path, 1)).stored
    put(store, "a", model(tmp_path, 2))
    store.forget_versions({"a": [first.current]})
    for name, version in (("a", first.current), ("b", first.current)):
        with pytest.raises(ModelNotFound, match="any more"):
            store.use(name, version)


def test_the_version_in_use_is_never_forgotten(store: Store, tmp_path: Path) -> None:
    first = put(store, "a", model(tmp_path, 1)).stored
    second = put(store, "a", model(tmp_path, 2)).stored
    store.forget_versions({"a": [first.current, second.current], "none": ["x"]})
    assert [v.id for v in store.get("a").versions] == [second.current]
    assert len(list((store.folder / "blobs").iterdir())) == 1
