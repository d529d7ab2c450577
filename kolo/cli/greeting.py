"""What ``kolo serve`` says when it listens: to a person, to a log, to a program."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Iterable, Iterator

import msgspec

import kolo
from kolo.address import is_loopback
from kolo.beacon import UNIX
from kolo.cli.named import Plan
from kolo.cli.output import talk
from kolo.cli.replies import Serving
from kolo.cli.table import print_json_line
from kolo.config import BUILTIN_MODEL
from kolo.models.known import in_store, known, look_around
from kolo.server.app import App
from kolo.server.served import Served, listed

SHOWN_MODELS = 10

log = logging.getLogger(__name__)


def greet(app: App, url: str, what: Plan, further: list[str]) -> None:
    """For a person at a terminal. ``further`` are remarks of whoever starts it."""
    settings = app.service.settings
    around, odd = look_around(settings)
    models = listed(app.service, {**around, **in_store(settings)})
    talk(f"Kolo {kolo.__version__} serves at {url}\n")
    width = max(len(model.id) for model in models)
    first = [model for model in models if model.id in what.load]
    ordered = [*first, *(model for model in models if model not in first)]
    for model in ordered[:SHOWN_MODELS]:
        now = " · loading" if model.id in what.load else ""
        talk(f"  {model.id:{width}}  {_origin(model)}{now}")
    if len(models) > SHOWN_MODELS:
        talk(f"  and {len(models) - SHOWN_MODELS} more: kolo ps")
    name = ordered[0].id if first else BUILTIN_MODEL
    body = {"model": name, "messages": [{"role": "user", "content": "What is Kolo?"}]}
    example = shlex.quote(msgspec.json.encode(body).decode())
    curl, base = _curl(app, url)
    talk(f"\ntry: {curl} {base}/v1/chat/completions -d {example}")
    talk(f"     {base}/docs describes every route\n")
    for remark in (*_remarks(app, what, odd), *further):
        talk(remark)


def _curl(app: App, url: str) -> tuple[str, str]:
    """How curl is called here, and the address it is given."""
    words = ["curl"]
    if url.startswith(UNIX):
        words += ["--unix-socket", shlex.quote(url.removeprefix(UNIX))]
        url = "http://localhost"
    elif app.service.access.needs_key:
        words += ["-H", '"Authorization: Bearer $KOLO_API_KEY"']
    return " ".join(words), url


def announce(app: App, url: str, what: Plan, further: list[str]) -> None:
    """For who reads the log later: a line, and one for each remark."""
    fields = {"event": "listening", "url": url, "pid": os.getpid()}
    log.info("%s", f"Kolo {kolo.__version__} serves at {url}", extra={"fields": fields})
    _, odd = look_around(app.service.settings)
    for remark in (*_remarks(app, what, odd), *further):
        log.warning("%s", remark)


def tell(app: App, url: str, what: Plan, monitor: str | None) -> None:
    """For the program that started it."""
    names = [model.id for model in listed(app.service, known(app.service.settings))]
    print_json_line(
        Serving(url=url, pid=os.getpid(), models=names, loading=what.load, monitor=monitor)
    )


def _origin(model: Served) -> str:
    if model.source == "builtin":
        return "built in"
    home = os.environ.get("HOME", "")
    path = model.path
    return f"~{path[len(home) :]}" if home and path.startswith(f"{home}/") else path


def _remarks(app: App, what: Plan, odd: Iterable[str]) -> Iterator[str]:
    options, registry = app.service.options, app.service.registry
    if options.socket:
        yield f"listens on {options.socket} too, for who may open it"
    if app.service.access.needs_key:
        yield "requests need an API key; kolo's own commands on this machine do not"
    elif not is_loopback(options.host):
        yield "whoever can reach this machine can use it: no API key is needed"
    yield from what.remarks
    yield from odd
    if registry.problem:
        yield registry.problem
    for id in registry.hidden():
        yield f"{id}, added at run time, gives way to the model of that name in the settings"
    for spec in registry.specs():
        if not spec.path.exists():
            yield f"{spec.id}, added at run time: its file {spec.path} is not there now"
