"""A party's worker opens its store with the witness, and looks again every few seconds."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import migrations
from tests.workers.examples_of_settings import party_file
from workers import app
from workers.health import Health
from workers.settings import Lane, PartySettings
from workers.store.witness import look


class NoPublisher:
    def __init__(self, *_: object, **__: object) -> None:
        """Nothing is published here."""

    async def __aenter__(self) -> NoPublisher:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to close."""


async def test_a_worker_looks_at_its_database_every_few_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WARREN_MASTER_KEY", "1f" * 32)
    settings = PartySettings.load(party_file(tmp_path))
    await migrations.upgrade("party", settings.database_url)
    looked = []

    async def reachable(*_: object, **__: object) -> None:
        """No broker is needed to get to the chores."""

    async def serve(broker: object, url: str, *chores: tuple[Any, float]) -> None:
        first = look(tmp_path / "party-1.incarnation")
        assert first is not None
        with contextlib.closing(sqlite3.connect(tmp_path / "party-1.sqlite")) as file, file:
            file.execute("UPDATE incarnation SET progress = -1")
        (attest,) = [chore for chore in chores if chore[0].__name__ == "attest"]
        await attest[0]()
        assert attest[1] <= 2
        assert "gone back" in str([vars(record).get("reason") for record in caplog.records])
        second = look(tmp_path / "party-1.incarnation")
        assert second is not None
        assert second.incarnation != first.incarnation
        looked.append(second)

    monkeypatch.setattr(app, "_broker_reachable", reachable)
    monkeypatch.setattr(app, "Publisher", NoPublisher)
    monkeypatch.setattr(app, "_serve", serve)
    await app.run_party(settings, list(Lane), Health("party"))
    assert looked
