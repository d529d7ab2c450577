"""The command line: its entry point and the table of its commands.

Start-up must be light: ``kolo --help`` reads this table and imports no command, so the short
help is written here. A test compares it with what each command says of itself.
"""

from __future__ import annotations

import sys
from typing import NamedTuple


class Entry(NamedTuple):
    """Where a command lives (its module has a ``command``) and how ``kolo --help`` shows it."""

    module: str
    group: str
    help: str


COMMANDS: dict[str, Entry] = {
    "chat": Entry("kolo.cli.chat", "Ask", "Talk with a model."),
    "complete": Entry("kolo.cli.complete", "Ask", "Ask a model once; the answer is the output."),
    "embed": Entry("kolo.cli.embed", "Ask", "Turn texts into vectors."),
    "serve": Entry("kolo.cli.serve", "Serve", "Serve models over HTTP."),
    "ps": Entry("kolo.cli.ps", "Serve", "Show the engines of a running server."),
    "top": Entry("kolo.cli.top", "Serve", "Watch a server: engines, requests, GPUs."),
    "load": Entry("kolo.cli.load", "Serve", "Load a model into a running server."),
    "unload": Entry("kolo.cli.unload", "Serve", "Unload an engine of a running server."),
    "logs": Entry("kolo.cli.logs", "Serve", "Show what a server, or an engine, has said."),
    "reload": Entry("kolo.cli.reload", "Serve", "Have a server read its settings anew."),
    "keys": Entry("kolo.cli.keys", "Serve", "Make and revoke API keys."),
    "audit": Entry("kolo.cli.audit", "Serve", "Show who changed what on a server."),
    "service": Entry("kolo.cli.service", "Serve", "Run the server under systemd."),
    "pull": Entry("kolo.cli.pull", "Models", "Fetch a model, or register a file."),
    "ls": Entry("kolo.cli.ls", "Models", "List the models of this machine."),
    "show": Entry("kolo.cli.show", "Models", "Show what is known of a model."),
    "rm": Entry("kolo.cli.rm", "Models", "Remove models from the store."),
    "alias": Entry("kolo.cli.alias", "Models", "Give a model a further name."),
    "rollback": Entry("kolo.cli.rollback", "Models", "Return a model to its former version."),
    "verify": Entry("kolo.cli.verify", "Models", "Check stored models against their sums."),
    "prune": Entry("kolo.cli.prune", "Models", "Remove what the store no longer needs."),
    "bench": Entry("kolo.cli.bench", "Measure", "Measure how fast a model answers."),
    "doctor": Entry("kolo.cli.doctor", "Kolo itself", "Check that all is as it must be."),
    "config": Entry("kolo.cli.config", "Kolo itself", "Read and change the settings."),
    "completion": Entry(
        "kolo.cli.completion", "Kolo itself", "Have your shell complete commands and names."
    ),
    "path": Entry("kolo.cli.path", "Kolo itself", "Show the folders Kolo reads and writes."),
    "help": Entry("kolo.cli.help", "Kolo itself", "Explain a command or a topic."),
}


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code (``kolo help exit-codes``)."""
    args = sys.argv[1:] if argv is None else argv
    try:
        if args[:1] == ["__complete"]:  # a shell asks, and somebody waits: nothing else is imported
            from kolo.cli.completing import main as complete

            return complete(args[1:])
        from kolo.cli.boundary import run

        return run(args)
    except KeyboardInterrupt:
        return 130
