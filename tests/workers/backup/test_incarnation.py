"""`warren party incarnation`: the database and its witness, shown side by side."""

from __future__ import annotations

import shutil
from pathlib import Path

import migrations
from workers.settings import PartySettings

from .commands import (
    CONFIGURATION,
    shown,
    warren,
)


async def test_the_incarnation_is_shown_with_its_witness(config: Path, file: Path) -> None:
    found = await shown(config)
    assert found["agree"] is True
    assert found["witness"] == str(config.parent / "party-1.incarnation")
    assert found["witnessed"] <= found["progress"]
    ended = await warren("party", "incarnation", "--config", str(config))
    assert ended.code == 0
    assert found["incarnation"] in ended.out
    assert ended.out.splitlines()[-1].split() == ["agree", "yes"]


async def test_a_database_and_a_witness_that_do_not_agree_are_shown_and_left(
    config: Path, file: Path
) -> None:
    shutil.copy(config.parent / "party-1.incarnation", config.parent / "kept")
    (config.parent / "party-1.incarnation").unlink()
    for _ in range(2):
        found = await shown(config)
        assert found["agree"] is False
        assert "witnessed" not in found
    assert not (config.parent / "party-1.incarnation").exists()
    shutil.copy(config.parent / "kept", config.parent / "party-1.incarnation")
    assert (await shown(config))["agree"] is True


async def test_a_database_without_an_incarnation_is_shown(config: Path) -> None:
    await migrations.upgrade("party", PartySettings.load(config).database_url)
    assert await shown(config) == {
        "witness": str(config.parent / "party-1.incarnation"),
        "agree": False,
    }


async def test_a_witness_that_cannot_be_read_is_named(config: Path, file: Path) -> None:
    witness = config.parent / "party-1.incarnation"
    witness.unlink()
    witness.mkdir()
    ended = await warren("party", "incarnation", "--config", str(config))
    assert ended.code == CONFIGURATION
    assert f"cannot read the witness file {witness}" in ended.err
