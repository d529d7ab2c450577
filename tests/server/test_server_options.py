"""Every setting of ``[server]`` reaches the server."""

from __future__ import annotations

from pathlib import Path

from kolo.config import load_settings
from kolo.server.options import NEVER_S, Options


def options(tmp_path: Path, **settings: str) -> Options:
    file = tmp_path / "config.toml"
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    file.write_text("\n".join(["[server]", *lines]))
    return Options.from_settings(load_settings({}, file))


def test_settings_become_options(tmp_path: Path) -> None:
    assert options(tmp_path) == Options()
    assert options(
        tmp_path,
        host="::1",
        max_body="1MiB",
        request_timeout="5s",
        body_timeout="2s",
        heartbeat="1500ms",
        stop_timeout="1m",
    ) == Options(
        host="::1",
        max_body_bytes=1 << 20,
        request_timeout_ms=5000,
        body_timeout_s=2.0,
        heartbeat_s=1.5,
        stop_timeout_s=60.0,
    )


def test_no_time_at_all_is_for_ever_but_for_a_stop(tmp_path: Path) -> None:
    never = options(
        tmp_path, request_timeout="0", body_timeout="0", heartbeat="0", stop_timeout="0"
    )
    assert never.request_timeout_ms is None
    assert never.body_timeout_s is None
    assert never.heartbeat_s == NEVER_S
    assert never.stop_timeout_s == 0
