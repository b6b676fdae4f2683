from __future__ import annotations

from pathlib import Path

import pytest

from .samples import Office


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PRIVATE_KEY", "AMQP_URL", "DATABASE_URL", "MASTER_KEY", "MANAGEMENT_URL"):
        monkeypatch.delenv(f"WARREN_{name}", raising=False)


@pytest.fixture
def files(tmp_path: Path) -> Office:
    made = Office(tmp_path)
    made.write()
    return made
