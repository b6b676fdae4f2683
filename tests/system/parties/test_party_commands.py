"""`warren party`, as it is typed."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contracts.identity import Identity
from contracts.party_card import read_card
from ops.cli import party as commands
from ops.cli.current import REGISTRAR
from ops.stack.deployment import Deployment
from ops.stack.files import write_secret

from .conftest import file_of_new_party


@pytest.fixture
def warren(stack: Deployment) -> Any:
    environment = {
        "WARREN_MANAGEMENT_URL": stack.services.management_url,
        "WARREN_REGISTRAR_CONFIG": str(stack.directory / REGISTRAR),
    }

    async def run(*arguments: str) -> tuple[int, str]:
        result = await asyncio.to_thread(
            CliRunner().invoke, commands.app, list(arguments), env=environment
        )
        return result.exit_code, result.output

    return run


async def test_a_card_a_party_and_its_end(stack: Deployment, warren: Any, tmp_path: Path) -> None:
    path = file_of_new_party(stack, "party-7", 7)
    card, out = str(tmp_path / "party-7.card"), tmp_path / "party-7"
    own = ("--config", str(path), "--out", card)
    code, said = await warren("card", *own, "--label", "zone=b", "--role", "recovery")
    assert code == 0, said
    made = read_card(await asyncio.to_thread(Path(card).read_bytes))
    assert (made.party_id, made.index, made.labels) == ("party-7", 7, {"zone": "b"})

    code, said = await warren("add", "--card", card, "--out", str(out), "--json")
    assert code == 0, said
    told = json.loads(said)
    assert told["address"] == str(out / "party-7.broker")
    assert stat.S_IMODE((out / "party-7.broker").stat().st_mode) == 0o600

    worker = stack.health_urls["party-1.1"]
    code, said = await warren("list", "--json", "--worker", worker)
    assert code == 0, said
    (row,) = [each for each in json.loads(said)["parties"] if each["party"] == "party-7"]
    assert (row["role"], row["state"], row["labels"]) == ("recovery", "active", {"zone": "b"})
    code, said = await warren("list")
    assert "7  party-7  recovery  active  zone=b" in said

    write_secret(tmp_path / "next.key", Identity.generate().to_base64())
    code, said = await warren("card", *own, "--key", str(tmp_path / "next.key"))
    assert code == 0, said
    code, said = await warren("rotate", "--card", card, "--until", "2036-01-02")
    assert code == 0, said
    code, said = await warren("rotate", "--finish", "party-7")
    assert (code, "has not begun" in said) == (1, True)

    code, said = await warren("retire", "party-7")
    assert (code, "still gets new work" in said) == (1, True)
    code, said = await warren("drain", "party-7", "--worker", worker, "--wait")
    assert (code, "Nothing is under way there." in said) == (0, True), said
    write_secret(tmp_path / "third.key", Identity.generate().to_base64())
    code, said = await warren("card", *own, "--key", str(tmp_path / "third.key"))
    assert code == 0, said
    code, said = await warren("rotate", "--card", card)
    assert code == 0, said
    code, said = await warren("list")
    assert "party-7  recovery  drained" in said
    code, said = await warren("lost", "party-7", "--public-key", row["keys"][0]["public_key"])
    assert code == 0, said
    code, said = await warren("retire", "party-7", "--json")
    assert code == 0, said
    code, said = await warren("publish")
    assert code == 0, said
    code, said = await warren("list")
    assert "party-7  recovery  retired" in said


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("rotate",), 2, "say --card, or --finish PARTY"),
        (("drain", "party-1", "--wait"), 2, "--worker"),
        (("drain", "party-0"), 1, "no party party-0 is known here"),
        (("add", "--card", "/nowhere"), 1, "/nowhere"),
    ],
)
async def test_what_cannot_be_done_is_said(
    warren: Any, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    left, said = await warren(*arguments)
    assert (left, complaint in said) == (code, True), said
