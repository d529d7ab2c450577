"""The application: routes of every API on one Quart, around one manager."""

from __future__ import annotations

from pathlib import Path

from quart import Quart, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from kolo.config import Settings
from kolo.manager.manager import Manager
from kolo.monitor.monitor import Monitor
from kolo.server import history, kolosal, llama, logs, openai, openapi
from kolo.server.access import routes as access_routes
from kolo.server.access.gate import Access
from kolo.server.access.visits import Visits
from kolo.server.accesslog import AccessLog
from kolo.server.body import read_to_the_end
from kolo.server.downloads import routes as downloads
from kolo.server.downloads.job import Creation
from kolo.server.downloads.manager import Downloads
from kolo.server.downloads.watched import under_way
from kolo.server.drain import Drain
from kolo.server.envelope import dialect_of, problem_of, reply
from kolo.server.kolosal.fetching import create_engine
from kolo.server.naming import HEADER, request_id
from kolo.server.options import Options
from kolo.server.route import Route, mount
from kolo.server.service import Service
from kolo.server.state import Registry


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
    downloads_file: Path | None = None,
    access: Access | None = None,
) -> App:
    """The server's ASGI application. The caller makes the manager, whose sink is the monitor's,
    and closes it. Without a ``registry``, engines added at run time are not kept; without
    ``downloads_file``, the list of downloads is not; without ``access`` there are no keys."""
    options = options or Options.from_settings(settings)
    app = App("kolo", static_folder=None)
    app.config["RESPONSE_TIMEOUT"] = None
    app.url_map.merge_slashes = False
    access = access or Access(settings)
    visits = Visits(app.asgi_app, lambda: app.service.options.send_timeout_s)
    access.attach(manager, visits)
    logged = AccessLog(visits, lambda: app.service.settings.log.access)
    app.drain = Drain(logged)
    app.asgi_app = app.drain  # type: ignore[method-assign]

    async def create(creation: Creation, name: str) -> None:
        await create_engine(app.service, creation, name)

    fetching = Downloads(settings, monitor.feed, create, file=downloads_file)
    monitor.downloads = lambda: under_way(fetching)
    app.service = Service(
        manager, settings, options, monitor, registry or Registry(), fetching, access
    )
    app.service.followers.append(lambda _: _bound_bodies(app))
    _bound_bodies(app)
    routes = _routes()
    mount(app, app.service, app.drain, [*routes, *openapi.routes(routes)])
    app.register_error_handler(Exception, _error_reply)
    app.before_request(access.before)
    app.after_request(_name_request)
    app.after_request(access.after)
    return app


def _bound_bodies(app: App) -> None:
    app.config["MAX_CONTENT_LENGTH"] = app.service.options.max_body_bytes
    app.config["BODY_TIMEOUT"] = app.service.options.body_timeout_s


def _routes() -> list[Route]:
    """Every family of routes; each is a list in a package of its own."""
    families = (openai, llama, kolosal, downloads, history, logs, access_routes)
    return [route for family in families for route in family.ROUTES]


async def _error_reply(error: Exception) -> Response:
    if isinstance(error, NotFound | MethodNotAllowed):  # no route has read it
        await read_to_the_end()
    return reply(problem_of(error), dialect_of(request.path))


async def _name_request(response: Response) -> Response:
    response.headers[HEADER] = request_id.get()
    return response
