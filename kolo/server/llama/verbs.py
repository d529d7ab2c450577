"""Bodies and replies of llama-server's router verbs.

A load takes every field of ``LoadParams`` beside ``model``; one that was sent is honoured, one
that was left out is as the model's own settings have it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from kolo.errors import LoadFailed, OutOfMemory, UsageError
from kolo.manager.outlook import Outlook
from kolo.types import LoadParams

Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        description="A model of GET /models, or an absolute path on the server's machine.",
    ),
]
Id = Annotated[str, Meta(min_length=1, max_length=256)]


class LoadVerb(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /models/load."""

    model: Reference
    id: Annotated[Id | UnsetType, Meta(description="Load it as another engine, of this name.")] = (
        UNSET
    )
    pin: Annotated[
        bool | UnsetType, Meta(description="Never unload it to make room, nor when idle.")
    ] = UNSET
    ttl_s: Annotated[
        Annotated[float, Meta(ge=0, le=1e9)] | UnsetType,
        Meta(description="Seconds that it stays loaded unused; 0 for ever."),
    ] = UNSET
    wait: Annotated[
        bool | UnsetType, Meta(description="Answer when it is loaded, or could not be.")
    ] = UNSET
    dry_run: Annotated[
        bool, Meta(description="Load nothing; say what it would take and whether it would fit.")
    ] = False

    def params(self) -> dict[str, Any]:
        """The fields of LoadParams that were sent."""
        names = LoadParams.__struct_fields__
        return {name: value for name in names if (value := getattr(self, name)) is not UNSET}

    def says_how(self) -> bool:
        """Whether more was sent than the model's name."""
        more = (self.id, self.pin, self.ttl_s, self.wait)
        return bool(self.params()) or any(value is not UNSET for value in more)


LoadBody: Any = msgspec.defstruct(
    "LoadBody",
    [
        (field.name, Union[field.type, UnsetType], UNSET)  # noqa: UP007
        for field in msgspec.structs.fields(LoadParams)
    ],
    bases=(LoadVerb,),
    namespace={"__doc__": "A model to load, and how: every field of LoadParams may be set."},
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
)


class UnloadBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """POST /models/unload."""

    model: Reference
    force: Annotated[bool, Meta(description="Also when requests are running, which then fail.")] = (
        False
    )


class ForceQuery(Struct, frozen=True, kw_only=True):
    force: Annotated[bool, Meta(description="Also when requests are running, which then fail.")] = (
        False
    )


class LoadReply(Struct, kw_only=True):
    success: Literal[True] = True
    id: str
    state: str
    outlook: Annotated[
        Outlook | UnsetType, Meta(description="Of a dry run: what the load would come to.")
    ] = UNSET


class UnloadReply(Struct, kw_only=True):
    success: Literal[True] = True
    msg: Literal["ok"] = "ok"
    unloaded: list[str]
    busy: Annotated[list[str], Meta(description="In use, and left alone.")] = []


class ChangeReply(Struct, kw_only=True):
    """An event of GET /models/sse."""

    model: str
    event: Literal[
        "model_status",
        "model_remove",
        "models_reload",
        "download_progress",
        "download_finished",
        "download_failed",
    ]
    data: dict[str, Any]


class LoadImpossible(LoadFailed):
    """The load that was asked for came to nothing. 422: it is about the file and the parameters
    that were named, where the same end of a load for an answer is the server's affair."""

    http_status = 422
    type = "invalid_request_error"


class LoadTooLarge(OutOfMemory):
    """The parameters that were sent ask for more memory than there is."""

    http_status = 422
    type = "invalid_request_error"


class AlreadyRunning(UsageError):
    code = "model_already_running"


class NotRunning(UsageError):
    code = "model_not_running"
