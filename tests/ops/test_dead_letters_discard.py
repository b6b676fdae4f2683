"""Dead letters that are thrown away."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.ops.letter_office import DEAD, INBOX, Office
from tests.ops.letter_samples import envelope

pytestmark = pytest.mark.system


async def test_a_discarded_letter_can_be_saved_before(office: Office, tmp_path: Path) -> None:
    body = envelope()
    await office.rejected(body, b"\xff\x00")
    file = tmp_path / "saved.jsonl"
    newest, oldest = await office.listed()
    for letter in (newest, oldest):
        told = await office.told("discard", letter["id"], "--save", str(file), "--yes")
        assert told == {"discarded": [letter], "stayed": [], "missing": 0}
    saved = [json.loads(line) for line in file.read_text().splitlines()]
    assert [base64.b64decode(each["body"]) for each in saved] == [b"\xff\x00", body]
    assert saved[1]["headers"]["x-death"][0]["queue"] == INBOX
    assert file.stat().st_mode & 0o777 == 0o600
    assert await office.depth(DEAD) == 0


async def test_what_cannot_be_saved_is_not_discarded(office: Office, tmp_path: Path) -> None:
    await office.rejected(b"0")
    (letter,) = await office.listed()
    for file in (tmp_path / "missing" / "file", Path("/dev/full")):
        told = await office.told("discard", letter["id"], "--save", str(file), "--yes", code=1)
        assert told["error"]["kind"] == "file"
        assert told["error"]["discarded"] == []
    assert await office.listed() == [letter]


async def test_a_discard_asks_and_shows_what_it_is_about(office: Office) -> None:
    await office.rejected(b"0", b"1")
    first, second = await office.listed()
    result = await office.run("discard", first["id"], answer="y\n")
    assert "Discard 1 letter for good?" in result.stderr
    assert first["id"] in result.stdout
    assert "1 of 1 discarded." in result.stdout
    assert await office.listed() == [second]


async def test_unclaimed_results_are_discarded_apart_from_dead_letters(office: Office) -> None:
    await office.rejected(b"0")
    await office.publish("warren.results", "mpc.mpc_keygen_result.svcB.k1", b"{}", type="keygen")
    await office.filled("warren.unclaimed", 1)
    told = await office.told("discard", "--all", "--yes", "--queue", "unclaimed")
    assert [letter["kind"] for letter in told["discarded"]] == ["keygen"]
    assert await office.depth("warren.unclaimed") == 0
    assert await office.depth(DEAD) == 1
