"""What commands share that talk to a running server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kolo.cli.options import Text
from kolo.config import Settings
from kolo.errors import ServerUnreachable

F = TypeVar("F", bound=Callable[..., Any])


def url_option(command: F) -> F:
    """``--url URL``; None looks for a server."""
    return click.option(
        "--url",
        type=Text(),
        metavar="URL",
        help="Address of the server; else KOLO_URL, else the one that runs on this machine.",
    )(command)


def server_or_local(command: F) -> F:
    """``--local`` and ``--url URL``: where an answer is to come from."""
    command = url_option(command)
    return click.option(
        "--local",
        is_flag=True,
        help="Use no server although one runs, but an engine of this command's own.",
    )(command)


def json_option(help: str) -> Callable[[F], F]:
    return click.option("--json", "as_json", is_flag=True, help=help)


def quiet_option(help: str) -> Callable[[F], F]:
    """``-q``: of a list, what its members are called and nothing else, one a line."""
    return click.option("-q", "--quiet", is_flag=True, help=help)


def server_address(settings: Settings, url: str | None) -> str:
    """Where the server is. ServerUnreachable when none runs."""
    from kolo.beacon import find_server

    found = find_server(settings, url=url)
    if found is None:
        raise ServerUnreachable(
            "no server runs on this machine", hint="kolo serve, or --url with the address of one"
        )
    return found
