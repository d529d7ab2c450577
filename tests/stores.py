"""A store with small real models in it, for tests of whatever reads or changes one."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ggufs import tiny_llama

from kolo.config import Settings, StoreSettings
from kolo.models.store import Added, Incoming, Store


def settings_for(folder: Path, **more: object) -> Settings:
    """Settings whose store is ``folder``, and that know nothing else of this machine."""
    return Settings(store=StoreSettings(dir=str(folder), **more))  # type: ignore[arg-type]


def incoming(store: Store, content: Path | bytes, name: str = "x.gguf", **more: str) -> Incoming:
    """A whole download of ``content`` among the partial files of ``store``."""
    data = content if isinstance(content, bytes) else content.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    store.partial.mkdir(parents=True, exist_ok=True)
    path = store.partial / f"{digest}-{name}.part"
    path.write_bytes(data)
    return Incoming(path=path, name=name, digest=f"sha256:{digest}", size_bytes=len(data), **more)


def model(folder: Path, seed: int = 0, name: str = "m") -> Path:
    """A small model that loads; another for each seed."""
    path = folder / f"{name}-{seed}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        tiny_llama(path, layers=1, seed=seed)
    return path


def put(store: Store, name: str, path: Path, *, source: str = "hf:o/r:F32") -> Added:
    return store.add(name, [incoming(store, path)], source=source)


def split(path: Path, folder: Path) -> list[Path]:
    """``path`` as a model of two parts in ``folder``, the second without tensors."""
    import gguf

    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / f"s-{i:05}-of-00002.gguf" for i in (1, 2)]
    reader = gguf.GGUFReader(path)
    for no, part in enumerate(parts):
        writer = gguf.GGUFWriter(part, "llama")
        writer.add_uint16("split.no", no)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        if no == 0:
            writer.add_block_count(1)
        for tensor in reader.tensors[no::2]:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return parts
