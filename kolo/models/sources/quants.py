"""Which files of a repository are one model, how it is quantized, and which to take.

A name tells the quant by the habits of those who publish GGUF files; the header, read once the
file is there, has the last word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from kolo.errors import BadParameter, ModelNotFound

MAX_SHOWN = 12

_QUANT = re.compile(
    r"(?<![A-Z0-9])(?:UD-)?"
    r"(?:I?Q[1-8](?:_[A-Z0-9]+)*|TQ[12]_0|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4)"
    r"(?![A-Z0-9])",
    re.IGNORECASE,
)
_SHARD = re.compile(r"(?P<stem>.+)-(?P<no>\d{5})-of-(?P<count>\d{5})$")
_SAME = {"FP16": "F16", "FP32": "F32"}

# Bits per weight of an 8B model (llama.cpp, tools/quantize/README.md), to tell what is near.
_BITS = {
    "IQ1_S": 2.0, "IQ1_M": 2.1, "TQ1_0": 1.7, "TQ2_0": 2.1, "IQ2_XXS": 2.4, "IQ2_XS": 2.6,
    "IQ2_S": 2.7, "IQ2_M": 2.9, "Q2_K_S": 3.0, "Q2_K": 3.2, "IQ3_XXS": 3.3, "IQ3_XS": 3.5,
    "Q3_K_S": 3.6, "IQ3_S": 3.7, "IQ3_M": 3.8, "Q3_K": 4.0, "Q3_K_M": 4.0, "Q3_K_L": 4.3,
    "IQ4_XS": 4.5, "MXFP4": 4.3, "MXFP4_MOE": 4.3, "NVFP4": 4.5, "Q4_0": 4.7, "IQ4_NL": 4.7,
    "Q4_K_S": 4.7, "Q4_K": 4.9, "Q4_K_M": 4.9, "Q4_1": 5.1, "Q5_0": 5.6, "Q5_K_S": 5.6,
    "Q5_K": 5.7, "Q5_K_M": 5.7, "Q5_1": 6.0, "Q6_K": 6.6, "Q8_0": 8.5, "F16": 16.0,
    "BF16": 16.0, "F32": 32.0,
}  # fmt: skip
_PROJECTORS = ("F16", "BF16", "Q8_0", "F32")
"""In the order in which they are taken: llama.cpp's own default first."""


class Listed(Struct, frozen=True):
    """A file in a repository."""

    path: str
    size_bytes: int | None = None


class Group(Struct, frozen=True, kw_only=True):
    """The files of one model, in order."""

    quant: str
    """Upper case; empty if the name does not tell."""
    stem: str
    """The path without ``.gguf`` and the number of a part."""
    files: tuple[Listed, ...]
    missing: int = 0
    """Parts that are not there."""

    @property
    def label(self) -> str:
        return self.quant or PurePosixPath(self.stem).name

    @property
    def size_bytes(self) -> int | None:
        sizes = [file.size_bytes for file in self.files if file.size_bytes is not None]
        return sum(sizes) if len(sizes) == len(self.files) else None


def quant_of(name: str) -> str:
    """The quant that a file name tells, upper case; empty if none."""
    found = _QUANT.findall(PurePosixPath(name).name)
    quant = found[-1].upper() if found else ""
    return _SAME.get(quant, quant)


def groups(files: Iterable[Listed]) -> list[Group]:
    """The models among the files, smallest first: no projectors, no importance matrices."""
    by_stem: dict[tuple[str, int], list[tuple[int, Listed]]] = {}
    for file in files:
        name = PurePosixPath(file.path)
        if name.suffix.lower() != ".gguf" or is_projector(file.path) or "imatrix" in name.stem:
            continue
        stem = file.path[: -len(".gguf")]
        match = _SHARD.fullmatch(stem)
        key = (match["stem"], int(match["count"])) if match else (stem, 1)
        by_stem.setdefault(key, []).append((int(match["no"]) if match else 1, file))
    found = [_group(stem, count, parts) for (stem, count), parts in by_stem.items()]
    return sorted(found, key=lambda group: (group.size_bytes or 0, group.stem))


def is_projector(path: str) -> bool:
    """Whether a file is the part of a model that sees or hears, by its name."""
    return "mmproj" in PurePosixPath(path).name.lower()


def projector(files: Iterable[Listed], model: Group) -> Listed | None:
    """The projector that goes with a model: in its folder, or else at the top."""
    folder = PurePosixPath(model.stem).parent
    for place in (folder, PurePosixPath(".")):
        here = [
            file
            for file in files
            if is_projector(file.path)
            and file.path.lower().endswith(".gguf")
            and PurePosixPath(file.path).parent == place
        ]
        if here:
            return min(here, key=lambda file: (_projector_rank(file), file.path))
    return None


def choose(found: Sequence[Group], wanted: str, default: str, where: str) -> tuple[Group, str]:
    """The model that ``wanted`` names, or by default; and why, if that was left open.

    ModelNotFound or BadParameter list what there is. ``where`` is the name of the repository.
    """
    if not found:
        raise ModelNotFound(f"{where} has no GGUF file", param="model")
    if wanted:
        matching = _matching(found, wanted)
        if not matching:
            raise ModelNotFound(
                f"{where} has no {wanted}", hint=f"It has {shown(found)}.", param="model"
            )
        return _complete(_only(matching, where), where), ""
    complete = [group for group in found if not group.missing] or list(found)
    if len({group.label for group in complete}) == 1:
        return _complete(_only(complete, where), where), ""
    exact = _matching(complete, default)
    if exact:
        return _only(exact, where), f"{default} is taken by default; {where} has {shown(found)}"
    nearest = min((_distance(group.quant, default), _bits(group.quant)) for group in complete)
    near = [g for g in complete if (_distance(g.quant, default), _bits(g.quant)) == nearest]
    group = _only(near[:1] if near[0].quant else near, where)
    return (
        _complete(group, where),
        f"there is no {default}, so {group.label} is taken, the nearest to it; "
        f"{where} has {shown(found)}",
    )


def shown(found: Sequence[Group]) -> str:
    """Labels for a sentence."""
    labels = list(dict.fromkeys(group.label for group in found))
    more = f" and {len(labels) - MAX_SHOWN} more" if len(labels) > MAX_SHOWN else ""
    return ", ".join(labels[:MAX_SHOWN]) + more


def _group(stem: str, count: int, parts: list[tuple[int, Listed]]) -> Group:
    parts.sort(key=lambda part: part[0])
    return Group(
        quant=quant_of(stem) or quant_of(PurePosixPath(stem).parent.name),
        stem=stem,
        files=tuple(file for _, file in parts),
        missing=count - len(parts),
    )


def _matching(found: Sequence[Group], wanted: str) -> list[Group]:
    """By quant, by quant without the maker's mark, by the name of the file, by a beginning."""
    wanted = _SAME.get(wanted.upper(), wanted.upper())
    for matches in (
        [group for group in found if group.quant == wanted],
        [group for group in found if group.quant.removeprefix("UD-") == wanted],
        [g for g in found if wanted in (g.stem.upper(), PurePosixPath(g.stem).name.upper())],
        [group for group in found if group.quant.startswith(f"{wanted}_")],
    ):
        if matches:
            return matches
    return []


def _only(matching: Sequence[Group], where: str) -> Group:
    """The one that is meant; of several, the one that alone is at the top."""
    depth = min(group.stem.count("/") for group in matching)
    top = [group for group in matching if group.stem.count("/") == depth]
    if len(top) == 1:
        return top[0]
    names = [group.files[0].path for group in top]
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    raise BadParameter(
        f"{where} has {len(names)} models that could be meant: "
        f"{', '.join(names[:MAX_SHOWN])}{more}",
        hint=f"Name the file: {where}/{names[0]}",
        param="model",
    )


def _complete(group: Group, where: str) -> Group:
    if group.missing:
        raise ModelNotFound(
            f"{where} lacks {group.missing} of the {group.missing + len(group.files)} parts of "
            f"{group.stem}",
            hint="Whoever published it has to add them; choose another meanwhile.",
            param="model",
        )
    return group


def _bits(quant: str) -> float:
    plain = quant.removeprefix("UD-")
    while plain and plain not in _BITS:
        plain = plain.rpartition("_")[0]
    return _BITS.get(plain, 0.0)


def _distance(quant: str, default: str) -> float:
    bits = _bits(quant)
    return abs(bits - _bits(default.upper())) if bits else 1000.0


def _projector_rank(file: Listed) -> int:
    quant = quant_of(file.path)
    return _PROJECTORS.index(quant) if quant in _PROJECTORS else len(_PROJECTORS)
