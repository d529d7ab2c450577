"""Keys that change something at the server. Each asks first; none is there with --readonly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kolo.errors import Busy, KoloError
from kolo.snapshot import Engine, Request
from kolo.top.actions import Actions
from kolo.top.app.dialogs import Confirm
from kolo.top.app.pages import Pages
from kolo.top.panels.detail import chosen_engine
from kolo.top.request_rows import request_key
from kolo.top.spans import clean


class Acting(Pages):
    def actions(self) -> Actions | None:
        """What can be asked of the server; None while its address is not known."""
        hello = self.session.picture.hello
        told = hello.server.url if hello is not None and self.choices.follow_url else ""
        url = self.choices.url or told
        return Actions(url) if url and self.replay is None else None

    def action_load(self) -> None:
        chosen = self.ui.cursor.get("models", "") if self.ui.page == "models" else ""
        if not chosen and self.ui.page == "dashboard" and (engine := self._asleep()):
            chosen = engine.id

        def load(name: str) -> None:
            if name:
                self._do(f"loading {name}", lambda actions: actions.load(name))

        if self._may_act():
            hint = "a name of the Models page, or a path on the server's machine"
            self.ask("Load which model?", load, hint=hint, value=chosen)

    def _asleep(self) -> Engine | None:
        engine = chosen_engine(self.scene())
        if engine is None or engine.id != self.ui.cursor.get("engines"):
            return None
        return engine if engine.state in ("unloaded", "failed") else None

    def action_unload(self) -> None:
        engine = self._engine()
        if engine is None:
            return
        id, n = engine.id, engine.running + engine.waiting
        if engine.state not in ("loaded", "loading"):
            self.notify(f"{clean(id)} is not loaded", timeout=3)
            return
        lost = f"{n} of its requests are under way and will fail." if n else ""
        self._confirm(
            f"Unload {clean(id)}?",
            lost,
            f"unloading {id}",
            lambda actions: actions.unload(id, force=bool(n)),
        )

    def action_pin(self) -> None:
        engine = self._engine()
        if engine is None:
            return
        id, pinned = engine.id, not engine.pinned
        if engine.state != "loaded":
            self.notify(f"{clean(id)} is not loaded", timeout=3)
            return
        self._confirm(
            f"{'Pin' if pinned else 'Unpin'} {clean(id)}?",
            "It is never unloaded to make room, nor when idle."
            if pinned
            else "It may be unloaded to make room, and when idle.",
            f"{'pinning' if pinned else 'unpinning'} {id}",
            lambda actions: actions.pin(id, pinned),
        )

    def action_cancel(self) -> None:
        request = self._request()
        if request is None:
            if self._may_act():
                self.notify("choose a request first: Tab goes to the list", timeout=4)
            return
        engine, number = request.engine, request.id
        self._confirm(
            f"Cancel request {number} of {clean(engine)}?",
            f"Its client gets what was written so far: {request.output_tokens} tokens.",
            f"cancelling {number} of {engine}",
            lambda actions: actions.cancel(engine, number),
        )

    def action_pull(self) -> None:
        if not self._may_act():
            return
        if self.ui.page == "models" and not self.models_page.can_pull:
            self.notify("this server fetches no models", severity="warning", timeout=4)
            return

        def pull(name: str) -> None:
            if name:
                self._do(f"fetching {name}", lambda actions: actions.pull(name))

        self.ask("Fetch which model?", pull, hint="such as hf:org/name, or a URL of a .gguf")

    # How ---------------------------------------------------------------------------------

    def _may_act(self) -> bool:
        if self.ui.readonly:
            return False
        if self.actions() is None:
            self.notify("the server's HTTP address is not known: --url names it", timeout=5)
            return False
        return True

    def _engine(self) -> Engine | None:
        if self.ui.page != "dashboard" or not self._may_act():
            return None
        return chosen_engine(self.scene())

    def _request(self) -> Request | None:
        snapshot = self.scene().picture.snapshot
        if self.ui.page != "dashboard" or snapshot is None or not self._may_act():
            return None
        wanted = self.ui.cursor.get("requests")
        return next((one for one in snapshot.requests if request_key(one) == wanted), None)

    def _confirm(
        self,
        question: str,
        consequence: str,
        doing: str,
        act: Callable[[Actions], Awaitable[object]],
    ) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._do(doing, act)

        self.push_screen(Confirm(question, consequence), answered)

    def _do(self, doing: str, act: Callable[[Actions], Awaitable[object]]) -> None:
        self.run_worker(self._acted(clean(doing), act), group="act")

    async def _acted(self, doing: str, act: Callable[[Actions], Awaitable[object]]) -> None:
        actions = self.actions()
        if actions is None:
            return
        self.notify(f"{doing}…", timeout=2)
        try:
            await act(actions)
        except Busy as error:
            self.notify(f"{doing}: {error.message}", severity="warning", timeout=8)
        except KoloError as error:
            hint = f"\n{error.hint}" if error.hint else ""
            self.notify(f"{doing}: {error.message}{hint}", severity="error", timeout=10)
        else:
            if self.ui.page == "models":
                self.begin_page()
