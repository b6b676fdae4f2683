"""Where an operator makes, verifies and restores backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from workers.backup import cli as backup_cli

from .commands import (
    MASTER_KEY,
    NOW,
    ONE,
    TWO,
    backup,
    configure,
    keep,
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.system)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'party.db'}"
    database: str = request.getfixturevalue("database")
    return database


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [NOW]
    monkeypatch.setattr(backup_cli, "now_ms", lambda: now[0])
    return now


@pytest.fixture
def config(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WARREN_MASTER_KEY", MASTER_KEY)
    return configure(tmp_path, "party-1", database_url)


@pytest.fixture
async def file(config: Path, tmp_path: Path, clock: list[int]) -> Path:
    """A backup of two keys."""
    await keep(config, ONE, TWO)
    path = tmp_path / "backup"
    ended = await backup("create", config, "--out", str(path))
    assert (ended.code, ended.out) == (0, f"2 key shares are in {path}.\n"), ended.err
    return path
