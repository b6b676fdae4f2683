"""The toolkit says what it means to say, signed: an attack must not fail of itself."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.coordinators import Coordinators
from contracts.envelope import CONTENT_TYPE, COORDINATOR, EVERYONE, Envelope
from contracts.errors import UnauthenticatedError
from contracts.identity import Identity
from contracts.primitives import Owner
from contracts.sessions import SessionCancelled, ShareSigned
from contracts.statements import Statement
from workers.session.envelopes import Instructions

from .forms import Forms, envelope, now_ms, statement

SESSION = bytes(32)


def heard_by(recipient: str, signer: Identity) -> Instructions:
    pinned = Coordinators.of(signer.public)
    return Instructions(pinned, recipient, tolerance_ms=0, clock=now_ms)


def test_shares_are_read_by_whoever_holds_the_coordinators_key() -> None:
    party, coordinator = Identity.generate(), Identity.generate()
    insider, stranger = Forms(coordinator, coordinator), Forms(Identity.generate(), None)
    report = Envelope(
        session_id=SESSION,
        epoch=0,
        kind="share_signed",
        round=0,
        sender="party-1",
        recipient=COORDINATOR,
        payload=ShareSigned(sealed=b"", fresh=[]).model_dump_json().encode(),
    )
    made = insider.share_report(report, [b"one", b"another"], party, coordinator.public)
    assert insider.shares(made, party.public) == [b"one", b"another"]
    assert stranger.shares(made, party.public) is None
    elsewhere = dataclasses.replace(made, session_id=bytes([1]) * 32)
    assert insider.shares(elsewhere, party.public) is None


def test_an_instruction_is_heard_where_its_signer_is_believed() -> None:
    signer = Identity.generate()
    said = SessionCancelled(session_id=SESSION, issued_at=now_ms())
    wire = Forms(signer, None).instruction(said, "party-1", to="party-2")
    assert (wire.routing_key, wire.content_type) == ("party-2", CONTENT_TYPE)
    assert envelope(wire).recipient == "party-1"
    assert heard_by("party-1", signer).read(wire.body, wire.kind).instruction == said
    with pytest.raises(UnauthenticatedError):
        heard_by("party-1", Identity.generate()).read(wire.body, wire.kind)
    loud = Forms(signer, None).broadcast(said)
    assert heard_by(EVERYONE, signer).read(loud.body, loud.kind).instruction == said


def test_a_result_is_signed_over_the_bytes_as_sent() -> None:
    signer = Identity.generate()
    content = {"result": "sign", "request_id": "r"}
    wire = Forms(signer, None).result(content, "mpc.result", request=b"{}")
    Coordinators.of(signer.public).check_result(wire.body, wire.headers, now=now_ms())
    assert len(wire.json()["request_digest"]) == 64


def test_a_statement_is_a_partys_own() -> None:
    party, owner = Identity.generate(), Owner(client_id="svcA")
    said = statement(party, "party-1", owner, "r", issued_until=2, issued_from=1)
    Statement.model_validate(said, strict=False).verify(owner, "r", party.public)
