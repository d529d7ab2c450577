"""What a made model's file consists of, before and apart from its bytes."""

from __future__ import annotations

from pathlib import Path

from kolo.bench.dimensions import Dimensions
from kolo.bench.quants import FILE_TYPE_NUMBERS, tensor_type
from kolo.models.header import Header, TensorInfo
from kolo.models.writer import Value, data_bytes, lay_out


def plan(model: Dimensions, recipe: str) -> list[TensorInfo]:
    """The tensors of the file, each in the type that llama.cpp's ``recipe`` gives it."""
    return lay_out(
        (tensor.name, tensor.shape, tensor_type(model, recipe, tensor))
        for tensor in model.tensors()
    )


def header(model: Dimensions, recipe: str, path: Path) -> Header:
    """What ``read_header`` would say of the file, before there is one.

    Its size counts the tensors alone.
    """
    tensors = plan(model, recipe)
    return Header(
        path=path,
        version=3,
        metadata=dict(metadata(model, recipe, "", {})),
        tensors=tensors,
        data_offset=0,
        file_bytes=data_bytes(tensors),
        alignment=32,
    )


def metadata(
    model: Dimensions, recipe: str, name: str, words: dict[str, Value]
) -> dict[str, Value]:
    return {
        "general.architecture": model.arch,
        "general.type": "model",
        "general.name": name or f"random {model.arch}",
        "general.file_type": FILE_TYPE_NUMBERS[recipe],
        "general.quantization_version": 2,
        **model.metadata(),
        **words,
    }
