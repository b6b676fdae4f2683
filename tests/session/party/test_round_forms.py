"""What a party stores between rounds and what it sends is what it always was, byte for byte.

A database in the middle of a session goes on under newer code, and parties of two versions play
together. All coins, identities and signatures are fixed here. To write the file anew, after a
change of form that is meant: ``python -m tests.session.party.test_round_forms``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from contracts import addresses, identity
from contracts.coordinators import Coordinators
from contracts.encoding import pack
from contracts.envelope import UnverifiedEnvelope
from contracts.identity import Identity, PublicIdentity
from contracts.keys import CertifiedKey, Holder, KeyFacts
from contracts.primitives import Curve
from contracts.requests import KeygenRequest, ReshareRequest
from contracts.sessions import PresignBatch, ReshareCreated, SessionCreated
from contracts.terms import Member, PresignTerms, ReshareMember, ReshareTerms, SessionTerms
from tests.protocols.simulate import coins, random_key
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import PartyIndex
from workers.session import inbox
from workers.session.party.acceptance import Party
from workers.session.party.direct import EPHEMERAL_RANDOMNESS_BYTES
from workers.session.party.engine import Randomness
from workers.session.party.engines import ENGINES
from workers.session.party.seat import RoundState
from workers.session.party.step import Step
from workers.session.protocols import Begun
from workers.store.records import KeyShareRecord, Received

SNAPSHOT = Path(__file__).parent / "round_forms.json"
KEY_SESSION = coins("pinned key session")
ISSUED_AT = 1_700_000_000_000
DEALERS = (1, 3)


def fixed_identity(i: int) -> Identity:
    key = ec.derive_private_key(int.from_bytes(coins("pinned identity", i)), ec.SECP256R1())
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Identity(key, PublicIdentity(der))


IDENTITIES = {i: fixed_identity(i) for i in (1, 2, 3)}
MEMBERS = [
    Member(party_id=f"party-{i}", index=i, identity=each.public.der)
    for i, each in IDENTITIES.items()
]


def party(i: int) -> Party:
    return Party(
        party_id=f"party-{i}",
        identity=IDENTITIES[i],
        peers={},
        coordinators=Coordinators.of(),
        clients=(),
        clock_tolerance_ms=0,
    )


###
### Sessions
###


def created() -> SessionCreated:
    request = KeygenRequest(
        request_id="request-1",
        client_id="svcA",
        signer=IDENTITIES[1].public.der,
        issued_at=ISSUED_AT,
        expires_at=ISSUED_AT + 60_000,
        key_id="key-1",
        curve=Curve.SECP256K1,
        threshold=2,
        party_count=3,
        reply_to="mpc.mpc_keygen_result.svcA.key-1",
    )
    terms = SessionTerms(
        protocol="keygen",
        request_digest=coins("pinned request"),
        key_session=None,
        epoch=0,
        threshold=2,
        members=MEMBERS,
        salt=coins("pinned salt"),
    )
    return SessionCreated(
        session_id=terms.session_id(),
        issued_at=ISSUED_AT,
        terms=terms,
        commitments=[],
        request=request.model_dump_json().encode(),
        request_signature=b"not looked at here",
        time_left_ms=60_000,
    )


def batch() -> PresignBatch:
    terms = PresignTerms(
        key_session=KEY_SESSION,
        epoch=0,
        members=[MEMBERS[0], MEMBERS[2]],
        count=1,
        issued_at=ISSUED_AT,
        salt=coins("pinned salt"),
    )
    return PresignBatch(
        session_id=terms.session_id(), issued_at=terms.issued_at, terms=terms, time_left_ms=60_000
    )


def reshared() -> ReshareCreated:
    """Two of three deal, and all receive."""
    facts = KeyFacts.model_validate_json(key_record(1).facts)
    request = ReshareRequest(
        request_id="request-2",
        client_id="svcA",
        signer=IDENTITIES[1].public.der,
        issued_at=ISSUED_AT,
        expires_at=ISSUED_AT + 60_000,
        key_id="key-1",
        public_key=facts.public_key,
        from_epoch=0,
        first_epoch=1,
        threshold=2,
        parties=["party-1", "party-2", "party-3"],
        reply_to="mpc.mpc_reshare_result.svcA.request-2",
    )
    terms = ReshareTerms(
        request_digest=coins("pinned request"),
        key_session=KEY_SESSION,
        predecessor=facts.digest(),
        epoch=1,
        threshold=2,
        members=[
            ReshareMember(
                party_id=each.party_id,
                index=each.index,
                identity=each.identity,
                deals_as=each.index if each.index in DEALERS else None,
                receives_as=each.index,
            )
            for each in MEMBERS
        ],
        salt=coins("pinned salt"),
    )
    return ReshareCreated(
        session_id=terms.session_id(),
        issued_at=ISSUED_AT,
        terms=terms,
        predecessor=CertifiedKey(facts=facts, certificates={}),
        request=request.model_dump_json().encode(),
        request_signature=b"not looked at here",
        time_left_ms=60_000,
    )


def key_record(i: int) -> KeyShareRecord:
    shares = random_key(SECP256K1, 2, 3, "pinned key")
    view = shares[PartyIndex(1)]
    facts = KeyFacts(
        client_id="svcA",
        key_id="key-1",
        session_id=KEY_SESSION,
        epoch=0,
        curve=Curve.SECP256K1,
        threshold=2,
        public_key=view.public_key.to_bytes(),
        chain_code=view.chain_code,
        holders=[
            Holder(
                party_id=member.party_id,
                identity=member.identity,
                public_share=view.public_shares[PartyIndex(member.index)].to_bytes(),
            )
            for member in MEMBERS
        ],
        transcript_digest=coins("pinned transcript"),
    )
    return KeyShareRecord(
        key_session=KEY_SESSION,
        epoch=0,
        owner="svcA",
        key_id="key-1",
        facts=facts.model_dump_json(),
        certificates={},
        secret=shares[PartyIndex(i)].to_bytes(),
        active=True,
    )


###
### What is pinned
###


def randomness(i: int, label: str) -> Randomness:
    drawn = {32: coins(label, i), EPHEMERAL_RANDOMNESS_BYTES: coins("pinned ephemeral", i)}
    return lambda size: drawn[size] + bytes(size - 32)


BEGUN: Mapping[str, Callable[[], Begun]] = {
    "keygen": created,
    "presign": batch,
    "reshare": reshared,
}


def begin(protocol: str, i: int) -> Step:
    begun: Begun = BEGUN[protocol]()
    share = None if protocol == "keygen" else key_record(i)
    coins_of = randomness(i, "pinned")
    return ENGINES[protocol].begin(begun, party(i), key_share=share, randomness=coins_of)


def advance(protocol: str, i: int, state: bytes, rows: list[Received]) -> Step | None:
    return ENGINES[protocol].advance(
        RoundState.from_bytes(state),
        party(i),
        rows,
        key_share=None if protocol == "keygen" else key_record(i),
        randomness=randomness(i, "pinned later"),
    )


MEMBERS_OF = {"keygen": (1, 2, 3), "presign": (1, 3), "reshare": (1, 2, 3)}


def form_of(step: Step) -> dict[str, Any]:
    kept = [json.dumps([each.position, each.secret.hex()]) for each in step.presignatures]
    if (share := step.key_share) is not None:
        certificates = {name: each.hex() for name, each in share.certificates.items()}
        kept = [json.dumps([share.facts, certificates, share.secret.hex(), share.active])]
    return {
        "status": step.status.value,
        "state": hashlib.sha256(step.state).hexdigest(),
        "forget_sent": step.forget_sent,
        "kept": [hashlib.sha256(each.encode()).hexdigest() for each in kept],
        "sent": [
            [
                each.kind,
                each.routing_key,
                each.exchange,
                each.message_id,
                hashlib.sha256(pack((each.content_type.encode(), each.body))).hexdigest(),
                each.headers["session_id"],
            ]
            for each in step.outgoing
        ],
    }


def forms_of(protocol: str) -> dict[str, list[dict[str, Any]]]:
    """Every step of every party, in a session whose messages arrive in the order of sending."""
    members = MEMBERS_OF[protocol]
    steps = {i: [begin(protocol, i)] for i in members}
    rows: dict[int, list[Received]] = {i: [] for i in members}
    waiting = [message for i in members for message in steps[i][0].outgoing]
    while waiting:
        message = waiting.pop(0)
        if message.exchange == addresses.REPORTS:
            continue
        envelope = UnverifiedEnvelope.from_bytes(message.body).claimed
        i = int(message.routing_key.removeprefix("party-"))
        rows[i].append(
            Received(
                slot=inbox.slot_of(envelope),
                sender=envelope.sender,
                digest=envelope.digest(),
                body=message.body,
            )
        )
        step = advance(protocol, i, steps[i][-1].state, rows[i])
        if step is not None:
            steps[i].append(step)
            waiting += step.outgoing
    return {f"party-{i}": [form_of(step) for step in taken] for i, taken in steps.items()}


DETERMINISTIC = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)


@pytest.fixture(autouse=True)
def _signatures_without_coins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(identity, "_ECDSA", DETERMINISTIC)
        yield


@pytest.mark.parametrize("protocol", list(ENGINES))
def test_states_and_messages_of_every_round_are_those_of_the_snapshot(protocol: str) -> None:
    pinned = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    assert forms_of(protocol) == pinned[protocol]


if __name__ == "__main__":
    vars(identity)["_ECDSA"] = DETERMINISTIC
    made = {protocol: forms_of(protocol) for protocol in ENGINES}
    SNAPSHOT.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
