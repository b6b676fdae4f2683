"""A coordinator that wants a second answer from nonces or presignatures that have answered."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from random import Random

from contracts import sessions
from contracts.identity import Identity
from contracts.requests import ADAPTER, SignRequest
from contracts.signing import sign_request
from workers.coordinator.signature import Signature
from workers.session.sending import instruction
from workers.store.records import Outgoing

from .facts import Sent
from .producer import Producer


def answered(created: sessions.SessionCreated, sent: Sent) -> bool:
    """Whether all signers of a session have used up what they were told to."""
    session_id = created.session_id.hex()
    return created.terms.protocol == "sign" and all(
        nonces
        and all(session_id in sent.uses.get((member.party_id, nonce), ()) for nonce in nonces)
        for member in created.terms.members
        for nonces in [sent.instructed.get((session_id, member.party_id), ())]
    )


def again(
    created: sessions.SessionCreated,
    producers: Mapping[str | None, Producer],
    identity: Identity,
    random: Random,
) -> list[Outgoing]:
    """The same nonces for another message, which the same client truly asked to be signed.

    Arguments:
        identity: The coordinator's.
    """
    old = ADAPTER.validate_json(created.request)
    assert isinstance(old, SignRequest)
    producer = producers[old.client_id]
    now = time.time_ns() // 1_000_000
    message = random.randbytes(32)
    content: dict[str, object] = {"request_id": f"greedy-{random.getrandbits(64):x}"}
    if old.items is None:
        content["message"] = message
    else:
        content["items"] = [item.model_copy(update={"message": message}) for item in old.items]
    new = old.model_copy(update=content | {"issued_at": now, "expires_at": now + 20_000})
    signed = sign_request(new, producer.settings.private_identity)
    terms = created.terms.model_copy(
        update={"request_digest": signed.digest, "salt": os.urandom(32)}
    )
    asked = created.model_copy(
        update={
            "session_id": terms.session_id(),
            "issued_at": now,
            "terms": terms,
            "request": signed.body,
            "request_signature": signed.signature,
            "time_left_ms": 20_000,
        }
    )
    signature = Signature(identity)
    return [
        signature.under(instruction(asked, member.party_id, asked.session_id))
        for member in terms.members
    ]
