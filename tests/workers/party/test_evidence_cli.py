"""`warren party evidence`: who lied, proven by what they signed themselves."""

from __future__ import annotations

import base64
import json
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import migrations
from contracts.envelope import EVERYONE, Envelope, UnverifiedEnvelope
from contracts.identity import Identity
from tests.workers.examples_of_settings import party_file
from workers import cli
from workers.evidence import proven
from workers.session.peers import Peer
from workers.store.opening import open_party_store
from workers.store.records import EvidenceRecord
from workers.store.sealing import MasterKeys, Sealer

MASTER_KEY = "1f" * 32
SESSION = b"\x2a" * 32
LIAR = Identity.generate()
PEERS = {"party-9": Peer(9, LIAR.public)}


def message(payload: bytes = b"one", **changes: Any) -> bytes:
    fields: dict[str, Any] = {
        "session_id": SESSION,
        "epoch": 0,
        "kind": "keygen",
        "round": 2,
        "sender": "party-9",
        "recipient": EVERYONE,
        "payload": payload,
    }
    return Envelope(**(fields | changes)).seal(LIAR)


EVIDENCE = EvidenceRecord(
    session_id=SESSION,
    slot="keygen/2",
    sender="party-9",
    first=message(),
    second=message(b"another"),
    at=86_400_000,
)


@dataclass
class Office:
    folder: Path
    config: Path

    def asked(self, *options: str) -> Result:
        arguments = ["evidence", "--config", str(self.config), *options]
        environment = {"WARREN_MASTER_KEY": MASTER_KEY, "COLUMNS": "200"}
        return CliRunner().invoke(cli.party, arguments, env=environment)

    def told(self, *options: str) -> Any:
        ended = self.asked("--json", *options)
        assert ended.exit_code == 0, ended.output
        return json.loads(ended.stdout)


@pytest.fixture
async def store_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'party-1.sqlite'}"
    await migrations.upgrade("party", url)
    sealer = Sealer(MasterKeys.from_hex(MASTER_KEY))
    async with open_party_store(url, party_id="party-1", sealer=sealer) as store:
        await store.keep_evidence(EVIDENCE, max_count=9)
        forged = replace(EVIDENCE, session_id=b"\x2b" * 32, at=0)
        await store.keep_evidence(forged, max_count=9)
    return url


@pytest.fixture
def office(store_url: str, tmp_path: Path) -> Office:
    assert store_url
    config = party_file(tmp_path)
    text = config.read_text().splitlines()
    key = json.dumps(LIAR.public.to_base64())
    lines = [f"public_key = {key}" if "public_key =" in line else line for line in text]
    config.write_text("\n".join(lines))
    return Office(tmp_path, config)


PROVEN = {
    "party": "party-9",
    "at": "1970-01-02T00:00:00+00:00",
    "session": "2a" * 32,
    "message": "keygen/2",
    "proven": True,
}
UNPROVEN = {
    **PROVEN,
    "at": "1970-01-01T00:00:00+00:00",
    "session": "2b" * 32,
    "proven": False,
}


def test_evidence_is_listed_with_whether_it_proves_anything(office: Office) -> None:
    assert office.told() == [PROVEN, UNPROVEN]
    first, *rows = office.asked().stdout.splitlines()
    assert first.split() == ["PARTY", "AT", "IN", "SESSION", "TWO", "MESSAGES", "PROVEN"]
    assert rows[0].split()[-1] == "yes"
    assert rows[1].rstrip().endswith("no, by the public keys that we know")


def test_both_messages_are_written_as_they_came_for_their_owner_only(office: Office) -> None:
    out = office.folder / "evidence.jsonl"
    office.told("--out", str(out))
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    first, second = map(json.loads, out.read_text().splitlines())
    assert first == {**PROVEN, "messages": first["messages"]}
    bodies = [base64.b64decode(each) for each in first["messages"]]
    assert bodies == [EVIDENCE.first, EVIDENCE.second]
    assert second["session"] == "2b" * 32
    again = office.asked("--out", str(out))
    assert again.exit_code == cli.EXIT_CONFIGURATION
    assert "File exists; nothing was written" in again.stderr


def test_evidence_of_one_session_is_discarded_and_no_other(office: Office) -> None:
    assert office.told("--discard", "2b" * 32) == [PROVEN]
    again = office.asked("--discard", "2b" * 32)
    assert again.exit_code == cli.EXIT_CONFIGURATION
    assert "there is no evidence of session 2b" in again.stderr
    wrong = office.asked("--discard", "2x")
    assert wrong.exit_code == cli.EXIT_CONFIGURATION
    assert "2x is no session" in wrong.stderr
    office.told("--discard", "2a" * 32)
    assert office.asked().stdout.strip() == "No evidence against anybody."


###
### Proof
###


def test_two_messages_of_one_sender_for_one_place_are_a_proof() -> None:
    assert proven(EVIDENCE, PEERS)


@pytest.mark.parametrize(
    "changes",
    [
        {"second": EVIDENCE.first},
        {"second": message()},  # the same once more, with another signature
        {"second": message(b"another", round=3)},
        {"second": message(b"another", sender="party-8")},
        {"second": message(b"another", session_id=bytes(32))},
        {"second": EVIDENCE.second[:-1] + bytes([EVIDENCE.second[-1] ^ 1])},
        {"second": b"junk"},
        {"sender": "party-8"},
        {"slot": "keygen/1"},
        {"session_id": bytes(32)},
    ],
)
def test_anything_else_is_none(changes: dict[str, Any]) -> None:
    assert not proven(replace(EVIDENCE, **changes), PEERS)


def test_what_another_signed_is_none() -> None:
    claimed = UnverifiedEnvelope.from_bytes(EVIDENCE.second).claimed
    stranger = claimed.seal(Identity.generate())
    assert not proven(replace(EVIDENCE, second=stranger), PEERS)
