"""One call from a reference to fetched bytes, and what was told meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from kolo.config import DownloadSettings, Settings
from kolo.models.reference import HubRef, OciRef, UrlRef, parse
from kolo.models.sources.plan import Plan, RemoteFile, plan
from kolo.models.sources.transfer import Progress, Transfer


def body_of(n_bytes: int, seed: int = 1) -> bytes:
    """Something that begins like a GGUF file and repeats itself nowhere soon."""
    words = bytearray(b"GGUF")
    state = seed
    while len(words) < n_bytes:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        words += state.to_bytes(8, "little") * 8 + len(words).to_bytes(8, "little")
    return bytes(words[:n_bytes])


async def plan_of(
    text: str, settings: Settings | None = None, *, allow_private: bool = True
) -> Plan:
    reference = parse(text)
    assert isinstance(reference, HubRef | OciRef | UrlRef)
    return await plan(reference, settings or Settings(), allow_private=allow_private)


async def fetch(
    what: str | Plan,
    folder: Path,
    *,
    settings: Settings | None = None,
    told: list[Progress] | None = None,
    have: Callable[[RemoteFile], Path | None] | None = None,
    stall_s: float = 30.0,
) -> list[bytes]:
    """The content of each file. Progress must never fall, whatever happens."""
    settings = settings or Settings(downloads=DownloadSettings(stall_timeout_s=stall_s))  # type: ignore[arg-type]
    planned = await plan_of(what, settings) if isinstance(what, str) else what
    heard: list[Progress] = [] if told is None else told
    try:
        with await Transfer(settings, have=have).fetch(planned, folder, heard.append) as fetched:
            return [file.path.read_bytes() for file in fetched.files]
    finally:
        done = [progress.done_bytes for progress in heard]
        assert done == sorted(done)
