"""Values over time, for graphs.

Time here is the server's uptime, which no change of a clock disturbs; a server that starts anew
goes on where the one before ended.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

LIVE_S = 900.0
"""How far back values are kept at full resolution."""
_MOST = 4096


class Track:
    """One value over time, oldest first."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, float | None]] = deque(maxlen=_MOST)

    def add(self, at_s: float, value: float | None) -> None:
        points = self._points
        while points and points[0][0] < at_s - LIVE_S:
            points.popleft()
        points.append((at_s, value))

    def copy(self) -> Track:
        """As it is now: what is added later does not show."""
        track = Track()
        track._points.extend(self._points)
        return track

    @property
    def last(self) -> float | None:
        return self._points[-1][1] if self._points else None

    def buckets(
        self,
        span_s: float,
        n: int,
        *,
        hold_s: float = 2.5,
        before: Sequence[tuple[float, float | None]] = (),
    ) -> list[float | None]:
        """The last ``span_s`` seconds as ``n`` values: the mean of each bucket.

        Buckets begin at multiples of their length, so that a graph moves by whole columns and
        what is past never changes. A bucket between two points that are at most ``hold_s`` apart
        takes the earlier one's value; longer silences are None. ``before`` are older points,
        such as a minute's mean each, which hold for their distance; those of a time that was
        seen here are not used.
        """
        if n <= 0 or not (self._points or before):
            return [None] * max(n, 0)
        width_s = span_s / n
        now_s = self._points[-1][0] if self._points else before[-1][0]
        last = int(now_s / width_s)
        first = last - n + 1
        sums: list[float] = [0.0] * n
        counts = [0] * n
        if self._points:
            before = [point for point in before if point[0] < self._points[0][0]]
        if before:
            apart_s = before[-1][0] - before[-2][0] if len(before) > 1 else 60.0
            self._fill(before, first, width_s, sums, counts, hold_s=max(hold_s, 1.5 * apart_s))
        self._fill(self._points, first, width_s, sums, counts, hold_s=max(hold_s, width_s))
        return [sums[at] / counts[at] if counts[at] else None for at in range(n)]

    @staticmethod
    def _fill(
        points: Sequence[tuple[float, float | None]] | deque[tuple[float, float | None]],
        first: int,
        width_s: float,
        sums: list[float],
        counts: list[int],
        *,
        hold_s: float,
    ) -> None:
        n = len(sums)
        begin_s = first * width_s - hold_s
        earlier: tuple[int, float, float] | None = None
        for at_s, value in reversed(points):  # the newest first, so that old ones cost nothing
            if at_s < begin_s:
                break
            bucket = int(at_s / width_s) - first
            if value is None:
                earlier = None
                continue
            if 0 <= bucket < n:
                sums[bucket] += value
                counts[bucket] += 1
            if earlier is not None and earlier[1] - at_s <= hold_s:
                for between in range(max(bucket + 1, 0), min(earlier[0], n)):
                    if not counts[between]:
                        sums[between], counts[between] = value, 1
            earlier = (bucket, at_s, value)
