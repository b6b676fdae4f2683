"""How messages look on the wire, in whoever's name: made by the product's own means, so that an
attack is wrong in the one thing that it means to be wrong in, and stays so when a form changes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contracts import addresses, sessions
from contracts.coordinators import result_headers
from contracts.envelope import CONTENT_TYPE, EVERYONE, Envelope, UnverifiedEnvelope
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.keys import EpochName
from contracts.primitives import Owner
from contracts.signing import SignedRequest
from contracts.statements import Statement
from workers.session import sealed_shares, sending
from workers.session.envelopes import sealed

JSON = "application/json"
REASON = "warren-reason"
"""The header of a dead letter that says why it is one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """A message as it is published."""

    exchange: str
    routing_key: str
    kind: str
    content_type: str = JSON
    message_id: str = ""
    headers: Mapping[str, Any] = field(default_factory=dict)
    body: bytes = field(repr=False)

    def json(self) -> dict[str, Any]:
        """What it says, whatever it is wrapped in."""
        said: dict[str, Any] = json.loads(self.content())
        return said

    def content(self) -> bytes:
        """Its JSON, without its envelope."""
        return envelope(self).payload if self.content_type == CONTENT_TYPE else self.body


def envelope(wire: Wire) -> Envelope:
    """Unverified: an attacker hears what is sent."""
    return UnverifiedEnvelope.from_bytes(wire.body).claimed


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Forms:
    """
    Attributes:
        signer: Whose name the coordinator's words are forged in.
        coordinator: The true one's, of those who hold it, to open what is sealed to it.
    """

    signer: Identity
    coordinator: Identity | None

    @classmethod
    def of(cls, directory: Path, *, holds_key: bool) -> Forms:
        """Whoever does not hold the coordinator's key signs with one of their own."""
        if not holds_key:
            return cls(Identity.generate(), None)
        true = Identity.from_base64((directory / "coordinator.key").read_text().strip())
        return cls(true, true)

    def instruction(
        self,
        content: sessions.Instruction,
        party_id: str,
        *,
        to: str | None = None,
        kind: str | None = None,
        about: bytes | None = None,
    ) -> Wire:
        """
        Arguments:
            to: Whose inbox it goes to, if not that of the party that it names.
            kind, about: What its envelope says, if not what it says itself.
        """
        plain = sending.instruction(content, to or party_id, content.session_id)
        body = sealed(
            plain.body,
            self.signer,
            kind=kind or content.instruction,
            session_id=about or content.session_id,
            recipient=party_id,
        )
        return Wire(
            exchange=plain.exchange,
            routing_key=plain.routing_key,
            kind=kind or plain.kind,
            content_type=CONTENT_TYPE,
            message_id=plain.message_id,
            headers=plain.headers,
            body=body,
        )

    def broadcast(self, content: sessions.SessionCancelled) -> Wire:
        wire = self.instruction(content, EVERYONE)
        return replace(wire, exchange=addresses.CANCEL, routing_key="")

    def result(self, content: Mapping[str, Any], reply_to: str, *, request: bytes | None) -> Wire:
        """
        Arguments:
            request: The body that it claims to answer; None: what the content says.
        """
        said = dict(content)
        if request is not None:
            said["request_digest"] = hashlib.sha256(request).hexdigest()
        return self.signed_result(
            Wire(
                exchange=addresses.RESULTS,
                routing_key=reply_to,
                kind=said["result"],
                message_id=said["request_id"],
                headers={"request_id": said["request_id"]},
                body=json.dumps(said).encode(),
            )
        )

    def signed_result(self, wire: Wire) -> Wire:
        headers = {**wire.headers, **result_headers(wire.body, self.signer)}
        return replace(wire, headers=headers)

    def shares(self, report: Envelope, sender: PublicIdentity) -> list[bytes] | None:
        """Of `share_signed`; None to whoever cannot read them."""
        if self.coordinator is None:
            return None
        said = sessions.ShareSigned.model_validate_json(report.payload)
        try:
            return sealed_shares.unseal(
                said.sealed,
                party_id=report.sender,
                party=sender,
                identities=[self.coordinator],
                session_id=report.session_id,
            )
        except ContractError:
            return None

    @staticmethod
    def share_report(
        report: Envelope, shares: Sequence[bytes], sender: Identity, coordinator: PublicIdentity
    ) -> Envelope:
        """The same report with other shares, as its sender could say it."""
        said = sessions.ShareSigned.model_validate_json(report.payload)
        resealed = sealed_shares.seal(
            shares,
            party_id=report.sender,
            identity=sender,
            coordinator=coordinator,
            session_id=report.session_id,
        )
        changed = said.model_copy(update={"sealed": resealed})
        return replace(report, payload=changed.model_dump_json().encode())


def cancel_instruction(
    cancel: SignedRequest, *, signature: bytes | None = None, session_id: bytes | None = None
) -> sessions.RequestCancelled:
    """As the coordinator says it, but for what is given."""
    return sessions.RequestCancelled(
        session_id=session_id or sessions.cancel_session_id(cancel.digest),
        issued_at=now_ms(),
        request=cancel.body,
        request_signature=signature or cancel.signature,
    )


def statement(
    identity: Identity,
    party_id: str,
    owner: Owner,
    request_id: str,
    *,
    issued_until: int,
    issued_from: int = 0,
    key_session: bytes | None = None,
    epochs: Sequence[EpochName] = (),
) -> dict[str, Any]:
    """ "I committed nothing for this request, and never will", as a party says it."""
    made = Statement.signed(
        identity,
        party_id,
        owner,
        request_id,
        issued_from=issued_from,
        issued_until=issued_until,
        key_session=key_session,
        epochs=None if key_session is None else epochs,
    )
    return made.model_dump(mode="json")
