"""The processor shared out among the engines that are busy.

Two engines that each use every core are far slower together than one after the other: the
threads of a step wait for each other, and the other engine runs in between. So each busy engine
has cores to itself, as far as there are any, and all of them while it is the only one.
"""

from __future__ import annotations

from collections.abc import Callable


class Cores:
    """Lives on one event loop. Engines are told through the function they join with."""

    def __init__(self) -> None:
        self._busy: dict[object, tuple[int, Callable[[int], None]]] = {}
        self._told: dict[object, int] = {}

    def join(self, engine: object, n_cores: int, tell: Callable[[int], None]) -> None:
        """``engine``, which could use ``n_cores``, has work to do."""
        self._busy[engine] = (n_cores, tell)
        self._share_out()

    def leave(self, engine: object) -> None:
        """``engine`` has no more work; one that never joined is left alone."""
        if self._busy.pop(engine, None) is not None:
            self._share_out()

    def forget(self, engine: object) -> None:
        """``engine`` is no more."""
        self.leave(engine)
        self._told.pop(engine, None)

    def _share_out(self) -> None:
        """Even shares; what is left over goes to those that have been busy longest."""
        count = len(self._busy)
        for at, (engine, (n_cores, tell)) in enumerate(self._busy.items()):
            share = min(n_cores, max(1, n_cores // count + (at < n_cores % count)))
            if self._told.get(engine, n_cores) != share:
                self._told[engine] = share
                tell(share)
