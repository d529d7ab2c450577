"""``kolo chat``: talk with a model, at a terminal or once."""

from __future__ import annotations

from typing import Any

import click

from kolo.cli.options import Text, length_option, model_option, sampling_options
from kolo.cli.remote import json_option, quiet_option, server_or_local
from kolo.cli.root import Command


@click.command(
    "chat",
    cls=Command,
    short_help="Talk with a model.",
    examples=[
        ("kolo chat", "a conversation with the model that comes with Kolo"),
        ('kolo chat -m ./model.gguf --system "Be brief."', "with another model, told how to be"),
        ('kolo chat "What is a slot?"', "one answer, and out"),
        ("kolo chat --last", "go on where you left off"),
        ("kolo chat --resume rivers", "go on with the conversation that has this in its name"),
    ],
)
@click.argument("prompt", required=False, type=Text())
@model_option
@click.option("--system", type=Text(), metavar="S", help="The system message.")
@click.option(
    "--resume",
    type=Text(),
    is_flag=False,
    flag_value="",
    default=None,
    metavar="[NAME]",
    help="Go on with a conversation: its name, a part of it, or a file. Without NAME, choose one.",
)
@click.option("--last", is_flag=True, help="Go on with the last conversation.")
@click.option("--list", "lists", is_flag=True, help="List the conversations that are kept.")
@click.option(
    "--no-history", is_flag=True, help="Keep nothing: neither what is typed nor the conversation."
)
@click.option(
    "--plain",
    is_flag=True,
    help="Show answers as they come, without Markdown; nothing is drawn over. For screen readers.",
)
@quiet_option("With --list, the names alone.")
@json_option("With PROMPT an object as of kolo complete, with --list an array of conversations.")
@length_option
@sampling_options
@server_or_local
def command(**given: Any) -> int:
    """Talk with a model.

    With PROMPT, or with input piped in, one answer and out. Else a conversation: Ctrl-C stops
    an answer and keeps what came, Ctrl-D leaves, /help says more. Conversations are kept, each
    as a JSON file that is a request in OpenAI's words.
    """
    from kolo.cli.chatting import chat  # what takes time to import

    return chat(**given)
