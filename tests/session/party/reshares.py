"""A reshare among p1 to p6, as the coordinator tells of it, and its run without queue and store.

A 2-of-3 key of p1, p2, p3 becomes 3-of-4 of p4, p5, p2, p6, or what a test asks for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.keys import KeyFacts
from contracts.primitives import Curve
from contracts.requests import ReshareRequest
from contracts.sessions import ReshareCreated
from contracts.signing import REQUEST_TAG
from contracts.terms import ReshareMember, ReshareTerms
from tests.contracts.samples import CLIENT
from tests.protocols.simulate import coins, index
from tests.session.builders import COORDINATOR_IDENTITY, TOLERANCE_MS
from tests.session.epoch_bundles import (
    IDENTITIES,
    NEW_PARTIES,
    OLD_PARTIES,
    TO_EPOCH,
    certified,
    old_facts,
    old_shares,
    request,
)
from tests.session.party.sittings import Sitting
from workers.session.party.acceptance import Party
from workers.session.party.engines import ENGINES
from workers.session.peers import Peer
from workers.session.protocols import RESHARE
from workers.store.records import KeyShareRecord

CONFIGURED = ("p4", "p5", "p2", "p6", "p1", "p3")
"""In the order of their configured indices."""
PEERS = {name: Peer(i, IDENTITIES[name].public) for i, name in enumerate(CONFIGURED, start=1)}


def party(name: str) -> Party:
    return Party(
        party_id=name,
        identity=IDENTITIES[name],
        peers=PEERS,
        coordinators=Coordinators.of(COORDINATOR_IDENTITY.public),
        clients=(
            ClientPolicy(
                identity=CLIENT.public, client_id="svcA", operations=frozenset({"reshare"})
            ),
        ),
        clock_tolerance_ms=TOLERANCE_MS,
    )


def members(
    dealers: Sequence[str] = ("p2", "p3"),
    receivers: Sequence[str] = NEW_PARTIES,
    *,
    holders: Sequence[str] = OLD_PARTIES,
) -> list[ReshareMember]:
    """Dealers first, then those who only receive.

    Arguments:
        holders: Of the epoch that is dealt from, in its order.
    """
    names = list(dict.fromkeys((*dealers, *receivers)))
    return [
        ReshareMember(
            party_id=name,
            index=place,
            identity=IDENTITIES[name].public.der,
            deals_as=holders.index(name) + 1 if name in dealers else None,
            receives_as=receivers.index(name) + 1 if name in receivers else None,
        )
        for place, name in enumerate(names, start=1)
    ]


def created(
    asked: ReshareRequest,
    known: KeyFacts,
    *,
    terms: Mapping[str, Any] | None = None,
    **changes: Any,
) -> ReshareCreated:
    """Arguments: terms: Changes to them; the session id is that of the changed ones."""
    body = asked.model_dump_json().encode()
    given: dict[str, Any] = {
        "request_digest": hashlib.sha256(body).digest(),
        "key_session": known.session_id,
        "predecessor": known.digest(),
        "epoch": TO_EPOCH,
        "threshold": asked.threshold,
        "members": members(),
        "salt": coins("salt"),
    }
    made = ReshareTerms(**given | dict(terms or {}))
    fields: dict[str, Any] = {
        "session_id": made.session_id(),
        "issued_at": asked.issued_at,
        "terms": made,
        "predecessor": certified(known),
        "request": body,
        "request_signature": CLIENT.sign(REQUEST_TAG, body),
        "time_left_ms": 60_000,
    }
    return ReshareCreated(**fields | changes)


def share_of(name: str, known: KeyFacts) -> KeyShareRecord | None:
    """Of the epoch that is dealt from."""
    if name not in OLD_PARTIES:
        return None
    share = old_shares(known.curve)[index(OLD_PARTIES.index(name) + 1)]
    return KeyShareRecord(
        key_session=known.session_id,
        epoch=known.epoch,
        owner=known.owner,
        key_id=known.key_id,
        facts=known.model_dump_json(),
        certificates=certified(known).certificates,
        secret=share.to_bytes(),
        active=True,
    )


def told(curve: Curve = Curve.SECP256K1, *, known: KeyFacts | None = None) -> ReshareCreated:
    """An honest one."""
    known = known or old_facts(curve)
    return created(request(known), known)


def sitting(begun: ReshareCreated) -> Sitting:
    known = begun.predecessor.facts
    names = [member.party_id for member in begun.terms.members]
    held = {name: share for name in names if (share := share_of(name, known)) is not None}
    return Sitting(ENGINES[RESHARE.name], begun, {name: party(name) for name in names}, held)
