"""What each command writes with ``--json`` and ``--jsonl``: one table, from which ``kolo help
json`` and the JSON Schemas are made, and against which a test holds every command.

A name is the command line without its arguments; what it writes otherwise with an option has
that option in its name.
"""

from __future__ import annotations

import importlib
import types
from typing import Any, Literal, NamedTuple

Form = Literal["object", "array", "map", "lines"]


class Shape(NamedTuple):
    """``of`` is ``module:Type``, several of them with ``|`` between, or the name of a plain type;
    a ``map`` goes from names to it, ``lines`` are one JSON document each."""

    form: Form
    of: str
    what: str

    def types(self) -> list[Any]:
        """What the document, or a line, may be. Imports what it is made of."""
        found = [_PLAIN[name] if name in _PLAIN else _load(name) for name in self.of.split(" | ")]
        if self.form == "array":
            return [types.GenericAlias(list, (one,)) for one in found]
        if self.form == "map":
            return [types.GenericAlias(dict, (str, one)) for one in found]
        return found


_PLAIN: dict[str, Any] = {"str": str, "any": Any}
_REPLIES = "kolo.cli.replies"
_PULL = [f"{_REPLIES}:{name}" for name in ("Planned", "PlannedLocal", "Fetching", "Note", "Pulled")]
_RECORD = "kolo.batch.record"

_SERVICE = "kolo.service.manager:Status"

SHAPES: dict[str, Shape] = {
    "chat": Shape("object", f"{_RECORD}:Completion", "with PROMPT: the answer"),
    "chat --list": Shape("array", "kolo.chat.session:Saved", "the conversations that are kept"),
    "complete": Shape("object", f"{_RECORD}:Completion", "the answer"),
    "complete --schema": Shape(
        "object",
        "any",
        "the answer itself, one document that fits the schema; of an answer that was cut nothing "
        "is written, and the exit code is 8",
    ),
    "complete --jsonl": Shape(
        "lines",
        f"{_RECORD}:CompletionLine | {_RECORD}:FailedLine",
        "the answer to each request, or why it has none",
    ),
    "embed": Shape("object", "kolo.batch.vectors:Embeddings", "the vectors of all texts"),
    "embed -o jsonl": Shape("lines", "kolo.batch.vectors:EmbeddingLine", "the vector of each text"),
    "embed --jsonl": Shape(
        "lines",
        f"kolo.batch.vectors:EmbeddingLine | {_RECORD}:FailedLine",
        "the vector of each text, or why it has none",
    ),
    "serve": Shape("object", f"{_REPLIES}:Serving", "once, when it listens"),
    "ps": Shape("array", "kolo.client.engines:EngineView", "the engines of the server"),
    "top": Shape("object", "kolo.snapshot:Snapshot", "one moment of the server"),
    "top --jsonl": Shape("lines", "kolo.snapshot:Message", "each message, as it comes"),
    "load": Shape("object", "kolo.client.engines:EngineView", "the engine that was loaded"),
    "load --dry-run": Shape("object", "kolo.manager.outlook:Outlook", "what it would come to"),
    "unload": Shape("object", f"{_REPLIES}:Unloaded", "what became of the engine"),
    "logs": Shape("array", "kolo.logfile:LogLine", "the lines, oldest first"),
    "logs --jsonl": Shape("lines", "kolo.logfile:LogLine", "each line, with -f as it comes"),
    "reload": Shape("object", f"{_REPLIES}:Reloaded", "what has changed"),
    "service install": Shape("object", _SERVICE, "how the service is then"),
    "service install --dry-run": Shape("object", f"{_REPLIES}:UnitFile", "what would be written"),
    "service uninstall": Shape("object", _SERVICE, "how the service is then"),
    "service status": Shape("object", _SERVICE, "how the service is"),
    "service start": Shape("object", _SERVICE, "how the service is then"),
    "service stop": Shape("object", _SERVICE, "how the service is then"),
    "service restart": Shape("object", _SERVICE, "how the service is then"),
    "service reload": Shape("object", _SERVICE, "how the service is then"),
    "pull": Shape(
        "object",
        " | ".join((_PULL[0], _PULL[1], _PULL[4])),
        "the model; with --dry-run the plan",
    ),
    "pull --jsonl": Shape("lines", " | ".join(_PULL), "the plan, how far it is, and the model"),
    "ls": Shape("array", "kolo.cli.catalog:Row", "the models"),
    "show": Shape("object", "kolo.cli.facts:Facts", "what is known of the model"),
    "show --template": Shape("map", "str", "each chat template, by name"),
    "show --metadata": Shape("map", "any", "everything the header says, by key"),
    "rm": Shape("object", f"{_REPLIES}:Removal", "what was removed"),
    "alias": Shape("map", "str", "the name of the model, for each alias"),
    "rollback": Shape("object", f"{_REPLIES}:Rollback", "which version is in use"),
    "verify": Shape("array", "kolo.models.upkeep:Finding", "each file that was read"),
    "prune": Shape("object", "kolo.cli.prune:Pruned", "what was removed"),
    "bench": Shape(
        "object", "kolo.bench.result:Run", "the whole run, from which every other form can be made"
    ),
    "bench -o jsonl": Shape("lines", "kolo.bench.report_text:SampleLine", "each request"),
    "bench --shape": Shape("object", "kolo.bench.outlook:Outlook", "what was measured"),
    "bench compare": Shape("object", "kolo.bench.compare:Comparison", "what changed"),
    "bench history": Shape("array", "kolo.cli.bench_history:Entry", "each row of each run"),
    "bench show": Shape("object", "kolo.bench.result:Run", "the run"),
    "doctor": Shape("object", "kolo.doctor:Report", "what was found"),
    "keys create": Shape("object", f"{_REPLIES}:KeyMade", "the key, and its secret"),
    "keys ls": Shape("array", f"{_REPLIES}:KeyShown", "each key"),
    "keys revoke": Shape("array", f"{_REPLIES}:KeyShown", "those that were revoked"),
    "audit": Shape("array", "kolo.audit:Entry", "each entry"),
    "audit verify": Shape("object", "kolo.audit:Verdict", "how far the log is whole"),
    "config show": Shape("array", f"{_REPLIES}:Setting", "each setting"),
    "config get": Shape("object", "any", "the value alone"),
    "config set": Shape("object", f"{_REPLIES}:Changed", "what was changed"),
    "config unset": Shape("object", f"{_REPLIES}:Changed", "what was changed"),
    "config init": Shape("object", f"{_REPLIES}:Initial", "what was written"),
    "config validate": Shape("array", f"{_REPLIES}:SettingsProblem", "what is wrong"),
    "config path": Shape("object", f"{_REPLIES}:SettingsFile", "the settings file"),
    "completion install": Shape("object", f"{_REPLIES}:Completing", "what was done"),
    "completion uninstall": Shape("object", f"{_REPLIES}:Completing", "what was done"),
    "path": Shape("map", "str", "the path of each folder"),
    "help": Shape("object", f"{_REPLIES}:Topic", "the topic, or the command"),
    "kolo --spec": Shape("object", f"{_REPLIES}:Tree", "the whole command line"),
}


def shapes_of(command: str) -> list[str]:
    """The names of what ``command``, such as ``bench compare``, writes as JSON."""
    return [name for name in SHAPES if name.split(" -")[0] == command]


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)
