"""Three parties, a client, and valid sessions of theirs, for a test to change one thing in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from contracts import addresses, sessions
from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators
from contracts.envelope import COORDINATOR, Envelope, UnverifiedEnvelope
from contracts.identity import Identity
from contracts.keys import Holder, KeyFacts, Origin
from contracts.primitives import Curve, Scheme
from contracts.requests import KeygenRequest, Request, SignRequest
from contracts.sessions import NonceCommitment, SessionCreated
from contracts.signing import SignedRequest, sign_request
from contracts.terms import Member, SessionTerms
from tests.protocols.simulate import coins, random_key
from workers.protocols.groups import group_by_name
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import PartyIndex
from workers.session import inbox, sealed_shares
from workers.session.coordinator.conduct import Conduct
from workers.session.nonce_batches import batch_id
from workers.session.party import signing
from workers.session.party.acceptance import Accepted, Party, accept
from workers.session.party.direct import EPHEMERAL_RANDOMNESS_BYTES
from workers.session.party.engine import Randomness
from workers.session.party.engines import ENGINES
from workers.session.party.seat import RoundState
from workers.session.party.step import STEP_ERRORS, Step
from workers.session.peers import Peer
from workers.store.records import KeyShareRecord, NonceRecord, Outgoing, Received

NOW = 1_700_000_000_000
TOLERANCE_MS = 1_000
LIFETIME_MS = 60_000
CLIENT_ID = "svcA"
CLIENT = Identity.generate()
COORDINATOR_IDENTITY = Identity.generate()
IDENTITIES = {f"party-{i}": Identity.generate() for i in (1, 2, 3, 4)}
"""party-4 is configured and takes part in nothing."""

PEERS = {
    party_id: Peer(i, identity.public)
    for i, (party_id, identity) in enumerate(IDENTITIES.items(), start=1)
}
CLIENTS = (ClientPolicy(identity=CLIENT.public, client_id=CLIENT_ID),)
KEY_SESSION = coins("key session")


def party(i: int, **changes: Any) -> Party:
    name = f"party-{i}"
    fields: dict[str, Any] = {
        "party_id": name,
        "identity": IDENTITIES[name],
        "peers": PEERS,
        "coordinators": Coordinators.of(COORDINATOR_IDENTITY.public),
        "clients": CLIENTS,
        "clock_tolerance_ms": TOLERANCE_MS,
    }
    return Party(**(fields | changes))


def member(i: int, *, index: int | None = None, identity: Identity | None = None) -> Member:
    known = identity or IDENTITIES[f"party-{i}"]
    return Member(party_id=f"party-{i}", index=index or i, identity=known.public.der)


###
### Requests
###


def _request(operation: str, fields: dict[str, Any]) -> dict[str, Any]:
    request: dict[str, Any] = {
        "operation": operation,
        "request_id": "request-1",
        "client_id": CLIENT_ID,
        "signer": CLIENT.public.der,
        "issued_at": NOW,
        "expires_at": NOW + LIFETIME_MS,
        "key_id": "key-1",
    } | fields
    reply_to = addresses.result_key(
        operation,
        client_id=request["client_id"],
        request_id=request["request_id"],
        key_id=request["key_id"],
    )
    return {"reply_to": reply_to} | request


def keygen_request(**changes: Any) -> KeygenRequest:
    fields = {"curve": "ed25519", "threshold": 2, "party_count": 3} | changes
    return KeygenRequest.model_validate(_request("keygen", fields), strict=False)


def signing_request(**changes: Any) -> SignRequest:
    fields = {"scheme": "ed25519", "message": b"\0\0 lead with zeros"} | changes
    return SignRequest.model_validate(_request("sign", fields), strict=False)


###
### Sessions, as the coordinator tells of them
###


def terms(
    signed: SignedRequest, members: Sequence[Member], *, threshold: int, **changes: Any
) -> SessionTerms:
    signs = signed.request.operation == "sign"
    fields: dict[str, Any] = {
        "protocol": "sign" if signs else "keygen",
        "request_digest": signed.digest,
        "key_session": KEY_SESSION if signs else None,
        "epoch": 0,
        "threshold": threshold,
        "members": list(members),
        "salt": coins("salt"),
    }
    return SessionTerms(**(fields | changes))


def created(
    signed: SignedRequest,
    session_terms: SessionTerms,
    **changes: Any,
) -> SessionCreated:
    fields: dict[str, Any] = {
        "session_id": session_terms.session_id(),
        "issued_at": NOW,
        "terms": session_terms,
        "commitments": [],
        "request": signed.body,
        "request_signature": signed.signature,
        "time_left_ms": LIFETIME_MS,
    }
    return SessionCreated(**(fields | changes))


def accepted_by(told: SessionCreated, i: int, *, now: int = NOW) -> Accepted:
    """As party i accepts what the coordinator told it."""
    return accept(told, party(i), coordinator=COORDINATOR_IDENTITY.public, now=now)


def sealed(shares: Sequence[bytes], i: int, own_terms: SessionTerms) -> bytes:
    """Party i's shares, for the coordinator."""
    return sealed_shares.seal(
        shares,
        party_id=f"party-{i}",
        identity=IDENTITIES[f"party-{i}"],
        coordinator=COORDINATOR_IDENTITY.public,
        session_id=own_terms.session_id(),
    )


def unsealed(report: sessions.ShareSigned, i: int, own_terms: SessionTerms) -> list[bytes]:
    """Party i's shares, as the coordinator reads them."""
    return sealed_shares.unseal(
        report.sealed,
        party_id=f"party-{i}",
        party=IDENTITIES[f"party-{i}"].public,
        identities=[COORDINATOR_IDENTITY],
        session_id=own_terms.session_id(),
    )


def keygen_created(
    asked: Request | None = None,
    *,
    members: Sequence[Member] | None = None,
    terms_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> SessionCreated:
    signed = sign_request(asked or keygen_request(), CLIENT)
    own_terms = terms(
        signed,
        [member(1), member(2), member(3)] if members is None else members,
        **({"threshold": 2} | (terms_changes or {})),
    )
    return created(signed, own_terms, **changes)


###
### A key without a key generation, and nonces for it
###


@functools.cache
def key(curve: str = "ed25519", seed: str = "key") -> dict[PartyIndex, KeyShare]:
    """2 of 3."""
    return random_key(group_by_name(curve), 2, 3, seed)


def facts(curve: str = "ed25519", **changes: Any) -> KeyFacts:
    shares = key(curve)
    view = shares[PartyIndex(1)]
    fields: dict[str, Any] = {
        "version": 2,
        "client_id": CLIENT_ID,
        "key_id": "key-1",
        "session_id": KEY_SESSION,
        "epoch": 0,
        "curve": Curve(curve),
        "threshold": 2,
        "public_key": view.public_key.to_bytes(),
        "chain_code": view.chain_code,
        "holders": [
            Holder(
                party_id=f"party-{i}",
                identity=IDENTITIES[f"party-{i}"].public.der,
                public_share=view.public_shares[PartyIndex(i)].to_bytes(),
            )
            for i in (1, 2, 3)
        ],
        "transcript_digest": coins("transcript"),
        "request_digest": coins("request"),
        "origin": Origin.GENERATED,
    }
    return KeyFacts(**(fields | changes))


def old_facts(curve: str = "ed25519", **changes: Any) -> KeyFacts:
    """Of version 1."""
    return facts(curve, **({"version": 1, "request_digest": None, "origin": None} | changes))


def key_record(i: int, curve: str = "ed25519", **changes: Any) -> KeyShareRecord:
    fields: dict[str, Any] = {
        "key_session": KEY_SESSION,
        "epoch": 0,
        "owner": CLIENT_ID,
        "key_id": "key-1",
        "facts": facts(curve).model_dump_json(),
        "certificates": {},
        "secret": key(curve)[PartyIndex(i)].to_bytes(),
        "active": True,
    }
    return KeyShareRecord(**(fields | changes))


def nonces_wanted(i: int, scheme: Scheme = Scheme.ED25519, **changes: Any) -> sessions.NoncesWanted:
    session_id = coins("a waiting session")
    fields: dict[str, Any] = {
        "batch_id": batch_id(session_id, f"party-{i}"),
        "session_id": session_id,
        "issued_at": NOW,
        "key_session": KEY_SESSION,
        "epoch": 0,
        "scheme": scheme,
        "count": 1,
    }
    return sessions.NoncesWanted(**(fields | changes))


def nonces_made(
    fresh: list[NonceCommitment], scheme: Scheme = Scheme.ED25519, **changes: Any
) -> sessions.NoncesMade:
    fields = {"key_session": KEY_SESSION, "scheme": scheme, "fresh": fresh}
    return sessions.NoncesMade(**fields | changes)


@functools.cache
def nonce(i: int, scheme: Scheme, label: str = "") -> tuple[NonceRecord, NonceCommitment]:
    step = signing.make_nonces(
        nonces_wanted(i, scheme),
        party(i),
        key_record(i, scheme.curve.value),
        randomness=coins("d", i, scheme, label) + coins("e", i, scheme, label),
    )
    made = report_in(step.outgoing[0])
    assert isinstance(made, sessions.NoncesMade)
    return step.nonces[0], made.fresh[0]


@dataclass(frozen=True)
class Signing:
    """A signing session by parties 1 and 3, as everybody in it sees it."""

    request: SignRequest
    signed: SignedRequest
    terms: SessionTerms
    nonces: dict[int, NonceRecord]
    commitments: dict[int, NonceCommitment]

    @property
    def curve(self) -> str:
        return self.request.scheme.curve.value

    def conduct(self) -> Conduct:
        return Conduct(
            request=self.request,
            terms=self.terms,
            join_secret=coins("join secret"),
            deadline=NOW + LIFETIME_MS,
            facts=facts(self.curve),
            commitments={f"party-{i}": each for i, each in self.commitments.items()},
        )

    def created(self, **changes: Any) -> SessionCreated:
        fields: dict[str, Any] = {"commitments": list(self.commitments.values())}
        return created(self.signed, self.terms, **(fields | changes))

    def accepted(self, i: int, **changes: Any) -> Accepted:
        return accepted_by(self.created(**changes), i)

    def answer(self, i: int, **changes: Any) -> Step:
        """Party i's answer, with other arguments than the right ones where asked for."""
        given: dict[str, Any] = {
            "accepted": self.accepted(i),
            "key_share": key_record(i, self.curve),
            "nonce": self.nonces[i],
        } | changes
        return signing.answer(
            given["accepted"],
            party(i),
            given["key_share"],
            given["nonce"],
            randomness=coins("next d", i) + coins("next e", i),
        )

    def share(self, i: int) -> sessions.ShareSigned:
        """Party i's honest report."""
        signed = report_in(self.answer(i).outgoing[0])
        assert isinstance(signed, sessions.ShareSigned)
        return signed

    def own_shares(self, i: int) -> list[bytes]:
        """What is in it, as the coordinator reads it."""
        return unsealed(self.share(i), i, self.terms)


def signing_session(
    *, members: Sequence[Member] | None = None, terms_changes: Any = None, **fields: Any
) -> Signing:
    request = signing_request(**fields)
    signed = sign_request(request, CLIENT)
    made = {i: nonce(i, request.scheme) for i in (1, 3)}
    return Signing(
        request=request,
        signed=signed,
        terms=terms(
            signed,
            [member(1), member(3)] if members is None else members,
            **({"threshold": 2} | (terms_changes or {})),
        ),
        nonces={i: record for i, (record, _) in made.items()},
        commitments={i: commitment for i, (_, commitment) in made.items()},
    )


def contradicting_facts() -> KeyFacts:
    """Public shares of one key and the public key of another."""
    other = key(seed="another key")[PartyIndex(1)]
    return facts(public_key=other.public_key.to_bytes())


def contradicting_share(session: Signing, i: int) -> sessions.ShareSigned:
    """As party i signs if everybody has agreed on such a key."""
    other = key(seed="another key")[PartyIndex(1)]
    secret = replace(key()[PartyIndex(i)], public_key=other.public_key).to_bytes()
    step = session.answer(
        i,
        key_share=key_record(i, facts=contradicting_facts().model_dump_json(), secret=secret),
    )
    signed = report_in(step.outgoing[0])
    assert isinstance(signed, sessions.ShareSigned)
    return signed


###
### Messages
###


def report_in(message: Outgoing) -> sessions.Report:
    payload = UnverifiedEnvelope.from_bytes(message.body).claimed.payload
    return sessions.REPORT.validate_json(payload)


def report_envelope(
    sender: str, report: sessions.Report, *, session_id: bytes = bytes(32), epoch: int = 0
) -> Envelope:
    return Envelope(
        session_id=session_id,
        epoch=epoch,
        kind=report.report,
        round=0,
        sender=sender,
        recipient=COORDINATOR,
        payload=report.model_dump_json().encode(),
    )


def received_report(i: int, report: sessions.Report) -> Received:
    return received(report_envelope(f"party-{i}", report), slot=report.report)


def received(content: Envelope, *, slot: str | None = None) -> Received:
    return Received(
        slot=slot or inbox.slot_of(content),
        sender=content.sender,
        digest=content.digest(),
        body=content.seal(IDENTITIES[content.sender]),
    )


###
### Key generation by three parties
###

Tamper = Callable[[Envelope, str], Envelope]
"""A message and the party it goes to -> the message that arrives."""


@dataclass(frozen=True)
class KeygenRun:
    """How a key generation ended at each party: the last step, or the error that ended it."""

    ends: dict[str, Step | Exception]
    sent: list[Outgoing]
    steps: dict[str, list[Step]]

    def errors(self) -> dict[str, Exception]:
        return {name: end for name, end in self.ends.items() if isinstance(end, Exception)}


def no_coins(size: int) -> bytes:
    raise AssertionError(f"a play that draws nothing asks for {size} bytes")


def begin_keygen(i: int, **fields: Any) -> Step:
    clients = (*CLIENTS, ClientPolicy(identity=CLIENT.public, client_id=None))
    us = party(i, clients=clients)
    accepted = accept(
        keygen_created(keygen_request(**fields)),
        us,
        coordinator=COORDINATOR_IDENTITY.public,
        now=NOW,
    )
    return ENGINES["keygen"].begin(
        accepted.created, us, randomness=drawn(coins("keygen", i), coins("ephemeral", i))
    )


def drawn(coins_of_plays: bytes, ephemeral: bytes = b"") -> Randomness:
    """The coins of each play, and those of the ephemeral key, which are lengthened."""
    return lambda size: (
        coins_of_plays
        if size != EPHEMERAL_RANDOMNESS_BYTES
        else ephemeral.ljust(EPHEMERAL_RANDOMNESS_BYTES, b"\0")
    )


def run_keygen(*, tamper: Tamper = lambda content, _: content, **fields: Any) -> KeygenRun:
    """All messages, in the order in which they were sent, until nobody says anything more.
    `fields` are the request's."""
    ends: dict[str, Step | Exception] = {}
    rows: dict[str, list[Received]] = {}
    waiting: list[Outgoing] = []
    steps: dict[str, list[Step]] = {}
    for i in (1, 2, 3):
        step = begin_keygen(i, **fields)
        ends[f"party-{i}"], steps[f"party-{i}"] = step, [step]
        rows[f"party-{i}"] = []
        waiting += step.outgoing
    sent = list(waiting)
    while waiting:
        message = waiting.pop(0)
        recipient = message.routing_key
        before = ends.get(recipient)
        if message.exchange != addresses.KEYGEN or not isinstance(before, Step):
            continue
        if before.status.final:
            continue
        claimed = tamper(UnverifiedEnvelope.from_bytes(message.body).claimed, recipient)
        rows[recipient].append(received(claimed))
        us = party(int(recipient[-1]))
        state = RoundState.from_bytes(before.state)
        try:
            step_taken = ENGINES["keygen"].advance(state, us, rows[recipient], randomness=no_coins)
        except STEP_ERRORS as error:
            ends[recipient] = error
            continue
        if step_taken is not None:
            ends[recipient] = step_taken
            steps[recipient].append(step_taken)
            waiting += step_taken.outgoing
            sent += step_taken.outgoing
    return KeygenRun(ends=ends, sent=sent, steps=steps)
