"""What proves that a party lied, told and written for people who were not there."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.errors import ContractError

from .session.inbox import slot_of
from .session.peers import Peer, by_any
from .store.records import EvidenceRecord


def told(evidence: EvidenceRecord, peers: Mapping[str, Peer]) -> dict[str, Any]:
    """All about it but the messages."""
    return {
        "party": evidence.sender,
        "at": datetime.fromtimestamp(evidence.at / 1000, UTC).isoformat(timespec="seconds"),
        "session": evidence.session_id.hex(),
        "message": evidence.slot,
        "proven": proven(evidence, peers),
    }


def proven(evidence: EvidenceRecord, peers: Mapping[str, Peer]) -> bool:
    """Whether the accused signed two different messages for one place, by the public key that
    `peers` has of it. Nobody's word is needed for that, ours included."""
    peer = peers.get(evidence.sender)
    if peer is None:
        return False
    try:
        first, second = (
            by_any(peer.ever, UnverifiedEnvelope.from_bytes(body).verify)
            for body in (evidence.first, evidence.second)
        )
    except ContractError:
        return False
    place = (evidence.sender, evidence.session_id, evidence.slot)
    return _place(first) == _place(second) == place and first.digest() != second.digest()


def write(path: Path, kept: Iterable[EvidenceRecord], peers: Mapping[str, Peer]) -> None:
    """A line of JSON for each, the messages in base64, into a new file that is ours alone.

    Raises OSError.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as file:
        for each in kept:
            messages = [base64.b64encode(body).decode() for body in (each.first, each.second)]
            file.write(json.dumps({**told(each, peers), "messages": messages}) + "\n")


def _place(envelope: Envelope) -> tuple[str, bytes, str]:
    return envelope.sender, envelope.session_id, slot_of(envelope)
