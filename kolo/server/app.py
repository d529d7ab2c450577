"""The application: routes of every API on one Quart, around one manager."""

from __future__ import annotations

import re
import secrets

from quart import Quart, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from kolo.config import Settings
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server import history, kolosal, llama, openai, openapi
from kolo.server.body import read_to_the_end
from kolo.server.downloads import routes as downloads
from kolo.server.downloads.manager import Downloads
from kolo.server.downloads.watched import under_way
from kolo.server.drain import Drain
from kolo.server.envelope import dialect_of, problem_of, reply
from kolo.server.options import Options
from kolo.server.route import Route, mount
from kolo.server.service import Service
from kolo.server.state import Registry

_REQUEST_ID = re.compile(r"[\x21-\x7e]{1,128}")


class App(Quart):
    """Quart, and what of it a stop must reach."""

    drain: Drain
    service: Service


def create_app(
    manager: Manager,
    settings: Settings,
    *,
    monitor: Monitor,
    registry: Registry | None = None,
    options: Options | None = None,
) -> App:
    """The server's ASGI application. The caller makes the manager, whose sink is the monitor's,
    and closes it. Without a ``registry``, engines added at run time are not kept."""
    options = options or Options.from_settings(settings)
    app = App("kolo", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = options.max_body_bytes
    app.config["BODY_TIMEOUT"] = options.body_timeout_s
    app.config["RESPONSE_TIMEOUT"] = None
    app.url_map.merge_slashes = False
    app.drain = Drain(app.asgi_app)
    app.asgi_app = app.drain  # type: ignore[method-assign]
    fetching = Downloads(settings, monitor.feed)
    monitor.downloads = lambda: under_way(fetching)
    app.service = Service(manager, settings, options, monitor, registry or Registry(), fetching)
    routes = _routes()
    mount(app, app.service, app.drain, [*routes, *openapi.routes(routes)])
    app.register_error_handler(Exception, _error_reply)
    app.after_request(_name_request)
    return app


def _routes() -> list[Route]:
    """Every family of routes; each is a list in a package of its own."""
    return [*openai.ROUTES, *llama.ROUTES, *kolosal.ROUTES, *downloads.ROUTES, *history.ROUTES]


async def _error_reply(error: Exception) -> Response:
    if isinstance(error, NotFound | MethodNotAllowed):  # no route has read it
        await read_to_the_end()
    return reply(problem_of(error), dialect_of(request.path))


async def _name_request(response: Response) -> Response:
    """X-Request-Id as it was sent, or a new one."""
    given = request.headers.get("X-Request-Id", "")
    name = given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(12)}"
    response.headers["X-Request-Id"] = name
    return response
