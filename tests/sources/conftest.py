"""Sources on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from origin import Origin


@pytest.fixture
def origin() -> Iterator[Origin]:
    with Origin().running() as made:
        yield made


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No token, password or cache of whoever runs the tests, and a quick hand at trying again."""
    for name in ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setattr("kolo.models.sources.download.FIRST_PAUSE_S", 0.001)
