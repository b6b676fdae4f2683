"""A reshare without queue and store: what comes of it convinces, and each lie names its teller."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.encoding import pack, unpack
from contracts.envelope import Envelope, UnverifiedEnvelope
from contracts.keys import EpochBundle, Holder, KeyFacts
from contracts.primitives import Curve, Scheme
from contracts.results import Status
from contracts.sessions import EpochCertified, ReshareCreated
from tests.contracts.samples import STRANGER
from tests.protocols.simulate import reconstruct
from tests.session.epoch_bundles import (
    FROM_EPOCH,
    NEW_PARTIES,
    OWNERS,
    PINNED,
    TO_EPOCH,
    old_facts,
    request,
)
from tests.session.party.reshares import created, members, sitting, told
from tests.session.party.sittings import Sitting, Tamper
from workers.protocols.groups import group_by_name
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import (
    DisputeError,
    EchoMismatchError,
    MisuseError,
    PartyFaultError,
)
from workers.session.epochs import check_bundle
from workers.session.failures import failure_of
from workers.session.party.direct import EPHEMERAL_BYTES
from workers.session.party.engines import ENGINES
from workers.session.protocols import RESHARE
from workers.store.records import EpochStatus, KeyShareRecord

LEAVER, STAYS, NEWCOMER = "p3", "p2", "p4"
CURVES = pytest.mark.parametrize("curve", list(Curve))


def share(run: Sitting, name: str) -> KeyShareRecord | None:
    """The new one, as it was stored last."""
    kept = [step.key_share for step in run.steps[name] if step.key_share is not None]
    return kept[-1] if kept else None


def reports(run: Sitting) -> list[EpochCertified]:
    """Of all members, which have come to an end."""
    ends = [each for each in run.sent if each.kind == "epoch_certified"]
    return [
        EpochCertified.model_validate_json(UnverifiedEnvelope.from_bytes(each.body).claimed.payload)
        for each in ends
    ]


def bundle(begun: ReshareCreated, certified: EpochCertified) -> EpochBundle:
    """As the coordinator puts it together."""
    return EpochBundle(
        request=begun.request,
        request_signature=begun.request_signature,
        predecessor=begun.predecessor,
        key=certified.key,
        possessions=certified.possessions,
        dealt=certified.dealt,
    )


###
### Honest members
###


@CURVES
def test_what_every_member_reports_convinces(curve: Curve) -> None:
    begun = told(curve)
    run = sitting(begun).play()
    assert run.errors == {}
    assert {steps[-1].status for steps in run.steps.values()} == {Status.COMPLETED}
    said = reports(run)
    assert len(said) == len(begun.terms.members)
    for each in said:
        check_bundle(bundle(begun, each), old_facts(curve), pinned=PINNED, owners=OWNERS)
    (facts,) = {each.key.facts.statement() for each in said}
    assert said[0].key.facts.epoch == TO_EPOCH
    assert said[0].key.facts.statement() == facts


@CURVES
def test_any_of_the_new_shares_are_the_old_key(curve: Curve) -> None:
    run = sitting(told(curve)).play()
    records = {name: share(run, name) for name in run.parties}
    assert records[LEAVER] is None
    group = group_by_name(curve.value)
    shares = [KeyShare.from_bytes(each.secret) for each in records.values() if each is not None]
    assert len(shares) == len(NEW_PARTIES)
    secret = reconstruct({each.index: each for each in shares[1:]})
    assert (secret * group.generator).to_bytes() == old_facts(curve).public_key


def test_a_share_is_stored_before_anybody_hears_that_there_is_one_and_is_not_usable() -> None:
    run = sitting(told()).play()
    for name in NEW_PARTIES:
        (step,) = (
            each for each in run.steps[name] if "reshare/5" in {o.kind for o in each.outgoing}
        )
        assert step.key_share is not None
        assert step.key_share.certificates.keys() == {name}
        assert (step.key_share.epoch, step.key_share.active) == (TO_EPOCH, False)
        # Once: whatever comes later, no other share takes its place.
        assert [each for each in run.steps[name] if each.key_share is not None] == [step]


def test_an_epoch_begins_with_its_session_and_is_pending_with_the_share() -> None:
    begun = told()
    run = sitting(begun).play()
    for name, steps in run.steps.items():
        moved = [each.epoch for each in steps if each.epoch is not None]
        assert steps[0].epoch == moved[0]
        assert {(each.key_session, each.epoch) for each in moved} == {
            (begun.terms.key_session, TO_EPOCH)
        }
        statuses = [each.status for each in moved]
        # A leaver has dealt for it, and gives its word like the others.
        assert statuses == [EpochStatus.BEGUN, EpochStatus.PENDING]
        stored = [each.epoch for each in steps if each.key_share is not None]
        assert stored == ([] if name == LEAVER else [moved[1]])


def test_the_epoch_says_where_it_comes_from_and_keeps_what_the_key_may_serve() -> None:
    known = old_facts(Curve.SECP256K1, schemes=[Scheme.ECDSA])
    (facts, *_) = [each.key.facts for each in reports(sitting(told(known=known)).play())]
    assert facts.reshared is not None
    assert (facts.reshared.dealers, facts.reshared.predecessor) == (["p2", "p3"], known.digest())
    lasting = ("owner", "key_id", "session_id", "schemes", "chain_code", "public_key", "origin")
    assert all(getattr(facts, name) == getattr(known, name) for name in lasting)


def test_a_key_of_before_tenants_were_certified_gets_the_one_that_its_client_says() -> None:
    given = {name: getattr(old_facts(Curve.ED25519), name) for name in KeyFacts.model_fields}
    without = ("tenant", "request_digest", "schemes", "origin", "reshared")
    known = KeyFacts(**given | dict.fromkeys(without) | {"version": 1})
    begun = told(known=known)
    run = sitting(begun).play()
    assert run.errors == {}
    for each in reports(run):
        assert (each.key.facts.version, each.key.facts.tenant) == (3, "alice")
        check_bundle(bundle(begun, each), known, pinned=PINNED, owners=OWNERS)


@pytest.mark.parametrize(
    ("dealers", "receivers", "threshold"),
    [
        pytest.param(("p1", "p3"), ("p2", "p1", "p3"), 2, id="refresh"),
        pytest.param(("p1", "p2"), ("p4", "p5"), 2, id="nobody stays"),
        pytest.param(("p2", "p3"), ("p2", "p1", "p3"), 3, id="repair, and a higher threshold"),
    ],
)
def test_other_committees(
    dealers: tuple[str, ...], receivers: tuple[str, ...], threshold: int
) -> None:
    known = old_facts(Curve.ED25519)
    asked = request(known, parties=sorted(receivers), threshold=threshold)
    begun = created(asked, known, terms={"members": members(dealers, receivers)})
    run = sitting(begun).play()
    assert run.errors == {}
    for each in reports(run):
        check_bundle(bundle(begun, each), known, pinned=PINNED, owners=OWNERS)


def test_a_dealer_that_has_lost_its_share_blames_nobody() -> None:
    run = sitting(told())
    with pytest.raises(MisuseError, match="brings its share"):
        replace(run, shares={}).play()


###
### Liars
###


def changed(
    sender: str, round_: int, change: Callable[[bytes], bytes], *, to: str | None = None
) -> Tamper:
    def tamper(content: Envelope, recipient: str) -> Envelope:
        if (content.sender, content.round) == (sender, round_) and to in (None, recipient):
            return replace(content, payload=change(content.payload))
        return content

    return tamper


def flipped(at: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        place = at % len(data)
        return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]

    return change


def cut(data: bytes) -> bytes:
    return data[:-1]


def part(number: int, value: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Of what is said in round 5: certificate, possession, dealer's signature."""

    def change(data: bytes) -> bytes:
        parts = list(unpack(data, 3))
        parts[number] = value(parts[number])
        return pack(parts)

    return change


def nothing(_: bytes) -> bytes:
    return b""


def both_nothing(data: bytes) -> bytes:
    return part(1, nothing)(part(0, nothing)(data))


def foreign(data: bytes) -> bytes:
    return STRANGER.sign(b"warren/anything", data)


@pytest.mark.parametrize(
    ("sender", "round_", "change", "check"),
    [
        pytest.param(
            STAYS,
            1,
            lambda data: bytes(EPHEMERAL_BYTES) + data[EPHEMERAL_BYTES:],
            "ephemeral key",
            id="no ephemeral key",
        ),
        pytest.param(STAYS, 1, cut, "encoding", id="a short commitment"),
        pytest.param(
            LEAVER,
            1,
            lambda data: data[: EPHEMERAL_BYTES + 32],
            "commitment",
            id="a dealer that commits to nothing",
        ),
        pytest.param(LEAVER, 2, flipped(-1), "opening", id="another opening"),
        pytest.param(LEAVER, 2, cut, "encoding", id="a short opening"),
        pytest.param(NEWCOMER, 3, cut, "encoding", id="a short echo"),
        pytest.param(NEWCOMER, 5, cut, "encoding", id="a short word"),
        pytest.param(NEWCOMER, 5, part(0, flipped(-1)), "certificate", id="a wrong certificate"),
        pytest.param(NEWCOMER, 5, part(0, foreign), "certificate", id="another's certificate"),
        pytest.param(NEWCOMER, 5, part(1, flipped(-1)), "possession", id="a wrong proof"),
        pytest.param(NEWCOMER, 5, part(1, cut), "encoding", id="a short proof"),
        pytest.param(NEWCOMER, 5, part(1, nothing), "encoding", id="a certificate without proof"),
        pytest.param(NEWCOMER, 5, part(0, nothing), "encoding", id="a proof without certificate"),
        pytest.param(NEWCOMER, 5, both_nothing, "roles", id="a receiver that certifies nothing"),
        pytest.param(NEWCOMER, 5, part(2, foreign), "roles", id="one that did not deal and signs"),
        pytest.param(LEAVER, 5, part(2, nothing), "roles", id="a dealer that signs nothing"),
        pytest.param(LEAVER, 5, part(2, foreign), "dealer's signature", id="a wrong signature"),
    ],
)
def test_a_lie_names_its_teller_at_every_other_member(
    sender: str, round_: int, change: Callable[[bytes], bytes], check: str
) -> None:
    begun = told()
    run = sitting(begun).play(changed(sender, round_, change))
    (place,) = (each.index for each in begun.terms.members if each.party_id == sender)
    assert run.errors.keys() == run.parties.keys() - {sender}
    for error in run.errors.values():
        assert isinstance(error, PartyFaultError)
        assert (set(error.culprits), error.check) == ({place}, check)
        failure = failure_of(error, begun.terms.members, round_=round_)
        assert failure.culprits == [sender]


def said_by(run: Sitting, name: str, kind: str) -> bytes:
    heard = [
        UnverifiedEnvelope.from_bytes(each.body).claimed for each in run.sent if each.kind == kind
    ]
    return next(each.payload for each in heard if each.sender == name)


def test_a_member_that_leaves_and_says_that_it_holds_a_share_is_named() -> None:
    """Else its proof would stand among the others', and nobody would believe the epoch."""
    certificate, possession, _ = unpack(said_by(sitting(told()).play(), NEWCOMER, "reshare/5"), 3)

    def with_more(data: bytes) -> bytes:
        (*_, dealt) = unpack(data, 3)
        return pack((certificate, possession, dealt))

    run = sitting(told()).play(changed(LEAVER, 5, with_more))
    for name in run.parties.keys() - {LEAVER}:
        error = run.errors[name]
        assert isinstance(error, PartyFaultError)
        assert error.check == "roles"


@pytest.mark.parametrize("change", [flipped(-1), cut], ids=["does not open", "too short"])
def test_a_share_that_cannot_be_used_is_a_dispute_and_blames_neither(
    change: Callable[[bytes], bytes],
) -> None:
    begun = told()
    run = sitting(begun).play(changed(LEAVER, 4, change, to=NEWCOMER))
    assert run.errors.keys() == {NEWCOMER}
    error = run.errors[NEWCOMER]
    assert isinstance(error, DisputeError)
    failure = failure_of(error, begun.terms.members, round_=4)
    assert failure.culprits == []
    assert (NEWCOMER in failure.message, LEAVER in failure.message) == (True, True)
    assert reports(run) == []
    assert share(run, NEWCOMER) is None


def test_a_share_that_opens_and_is_none_is_a_dispute_too() -> None:
    run = sitting(told())
    (newcomer,) = (each for each in run.begun.terms.members if each.party_id == NEWCOMER)

    def tamper(content: Envelope, recipient: str) -> Envelope:
        if (content.sender, content.round, recipient) != (LEAVER, 4, NEWCOMER):
            return content
        now = run.seat(LEAVER)  # in round 5 already: nobody deals to it
        seat = replace(now, state=replace(now.state, round=4))
        sealed = seat.seal(newcomer, b"short", seat.ephemerals(run.rows[LEAVER]))
        return replace(content, payload=sealed)

    run.play(tamper)
    assert run.errors.keys() == {NEWCOMER}
    assert isinstance(run.errors[NEWCOMER], DisputeError)


def test_who_saw_something_else_is_no_culprit_and_gets_no_share() -> None:
    run = sitting(told()).play(changed(NEWCOMER, 3, flipped(-1)))
    assert run.errors.keys() == run.parties.keys() - {NEWCOMER}
    assert all(isinstance(error, EchoMismatchError) for error in run.errors.values())
    assert "reshare/4" not in {each.kind for each in run.sent}


def test_one_that_was_told_of_another_committee_is_found_in_the_first_round() -> None:
    known = old_facts(Curve.SECP256K1)
    begun = told()
    other = created(request(known), known, terms={"members": members(("p1", "p2"))})
    run = sitting(begun)
    step = ENGINES[RESHARE.name].begin(
        other, run.parties[STAYS], key_share=run.shares[STAYS], randomness=lambda size: bytes(size)
    )
    (said, *_) = (each for each in step.outgoing if each.kind == "reshare/1")
    payload = UnverifiedEnvelope.from_bytes(said.body).claimed.payload
    run.play(changed(STAYS, 1, lambda _: payload))
    for name in run.parties.keys() - {STAYS}:
        assert isinstance(run.errors[name], EchoMismatchError)


def test_the_epoch_is_dealt_from_the_one_that_its_terms_name() -> None:
    begun = told()
    assert begun.predecessor.facts.epoch == FROM_EPOCH
    (facts, *_) = [each.key.facts for each in reports(sitting(begun).play())]
    wanted: list[Any] = [
        Holder(party_id=name, identity=PINNED[name].der, public_share=holder.public_share)
        for name, holder in zip(NEW_PARTIES, facts.holders, strict=True)
    ]
    assert facts.holders == wanted
    assert facts.threshold == begun.terms.threshold
