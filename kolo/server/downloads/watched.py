"""Downloads as a snapshot of the monitor shows them."""

from __future__ import annotations

from kolo.server.downloads.manager import Downloads
from kolo.snapshot import Download


def under_way(downloads: Downloads) -> list[Download]:
    """Those that run or are paused, oldest first."""
    return [
        Download(
            id=job.id,
            model=job.url,
            state=job.status,
            done_bytes=job.done_bytes,
            total_bytes=job.total_bytes,
            bytes_per_s=job.progress.bytes_per_s if job.progress is not None else None,
        )
        for job in downloads.active()
    ]
