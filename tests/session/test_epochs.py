"""Bundles of new epochs: each check has a forgery that it alone refuses.

A forger here holds the identities of all parties and of the coordinator, and signs whatever it
forges, unless a test says less. It has not the owner's.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from contracts.epochs import sign_dealt
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.keys import CertifiedKey, EpochBundle, Holder, KeyFacts, Origin, Resharing
from contracts.primitives import Curve, Scheme
from tests.contracts.samples import COORDINATOR, STRANGER
from tests.protocols.simulate import coins, index
from workers.protocols.groups import SECP256K1, group_by_name
from workers.protocols.polynomial import evaluate
from workers.session.epochs import check_bundle

from .epoch_bundles import (
    DEALERS,
    IDENTITIES,
    NEW_PARTIES,
    OWNERS,
    PINNED,
    TO_EPOCH,
    Forger,
    certified,
    holders,
    new_shares,
    old_facts,
    old_shares,
)

FORGER = Forger()
KNOWN = old_facts(Curve.SECP256K1)
CURVES = pytest.mark.parametrize("curve", list(Curve))


def check(bundle: EpochBundle, known: KeyFacts = KNOWN) -> None:
    check_bundle(bundle, known, pinned=PINNED, owners=OWNERS)


def refused(bundle: EpochBundle, reason: str, known: KeyFacts = KNOWN) -> None:
    with pytest.raises(ContractError, match=reason):
        check(bundle, known)


def resharing(**changes: Any) -> Resharing:
    given = {
        "session_id": coins("reshare"),
        "predecessor": KNOWN.digest(),
        "dealers": list(DEALERS),
    }
    return Resharing(**given | changes)


###
### What is believed
###


@CURVES
def test_a_reshare_that_was_asked_for_convinces(curve: Curve) -> None:
    check(Forger(curve=curve).bundle(), old_facts(curve))


def test_a_bundle_survives_its_json() -> None:
    bundle = FORGER.bundle()
    assert EpochBundle.model_validate_json(bundle.model_dump_json()) == bundle


def test_the_owner_may_say_who_deals_and_which_epoch_it_is() -> None:
    check(FORGER.asking(dealers=["p3", "p2"]).bundle())
    check(FORGER.asking(first_epoch=TO_EPOCH, tries=1).bundle())


def test_a_key_as_it_was_made_can_be_reshared() -> None:
    known = old_facts(Curve.SECP256K1, version=2, reshared=None, epoch=0)
    check(Forger(known=known, facts={"epoch": 1}).bundle(), known)


@pytest.mark.parametrize("tenant", ["alice", None])
def test_a_key_of_before_tenants_were_certified_is_reshared_for_whom_its_client_says(
    tenant: str | None,
) -> None:
    lacking = {"tenant": None, "request_digest": None, "origin": None, "reshared": None}
    known = old_facts(Curve.SECP256K1, version=1, epoch=0, **lacking)
    forger = Forger(known=known, asked={"tenant": tenant}, facts={"epoch": 1})
    check(forger.saying(tenant=tenant).bundle(), known)
    refused(forger.saying(tenant="mallory").bundle(), "another tenant", known)


def test_each_bundle_is_the_next_ones_predecessor() -> None:
    first = FORGER.bundle()
    check(first)
    known = first.key.facts
    again = Forger(
        known=known,
        asked={"parties": list(NEW_PARTIES), "from_epoch": TO_EPOCH},
        facts={
            "epoch": TO_EPOCH + 1,
            "reshared": resharing(predecessor=known.digest(), dealers=["p4", "p5", "p2"]),
        },
    )
    check(again.bundle(), known)


###
### What the owner asked for
###


@pytest.mark.parametrize("signer", [COORDINATOR, STRANGER, *IDENTITIES.values()])
def test_nobody_but_the_owner_asks(signer: Identity) -> None:
    refused(replace(FORGER, signer=signer).bundle(), "somebody else")


def test_the_owners_signature_is_checked() -> None:
    refused(FORGER.bundle(request_signature=STRANGER.sign(b"tag", b"bytes")), "wrong signature")
    refused(FORGER.bundle(request_signature=b""), "wrong signature")


def test_a_request_is_a_reshare_request_and_names_no_field_twice() -> None:
    body = FORGER.bundle().request
    refused(FORGER.bundle(request=b"{}"), "not a reshare request")
    refused(FORGER.bundle(request=body.replace(b'"reshare"', b'"keygen"')), "not a reshare request")
    refused(FORGER.bundle(request=body[:-1] + b',"tries":4}'), "twice|names")


def test_the_epoch_is_of_this_very_request() -> None:
    """Another request of the same owner's, with the same wish."""
    other = FORGER.asking(request_id="reshare-2").bundle()
    pair = {"request": other.request, "request_signature": other.request_signature}
    refused(FORGER.bundle(**pair), "another request")


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        ({"client_id": "svcB"}, "client_id"),
        ({"tenant": "bob"}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"key_id": "payroll"}, "key_id"),
        ({"public_key": b"\x02" * 33}, "public_key"),
        ({"from_epoch": KNOWN.epoch - 1}, "from_epoch"),
        ({"threshold": 2}, "threshold"),
        ({"parties": ["p1", "p2", "p4", "p5"]}, "parties"),
        ({"parties": [*NEW_PARTIES, "p1"]}, "parties"),
        ({"dealers": ["p1", "p2"]}, "dealers"),
        ({"first_epoch": TO_EPOCH + 1}, f"did not ask for epoch {TO_EPOCH}"),
        ({"tries": 1}, f"did not ask for epoch {TO_EPOCH}"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_epoch_is_what_the_owner_asked_for(asked: dict[str, Any], what: str) -> None:
    refused(FORGER.asking(**asked).bundle(), what)


def test_the_last_epoch_of_all_is_not_within_a_request() -> None:
    """Certified once, it would end refreshing for ever."""
    refused(FORGER.saying(epoch=2**32 - 1).bundle(), "did not ask for epoch 4294967295")


###
### The key and its past
###


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"client_id": "svcB"}, "another client"),
        ({"tenant": "bob"}, "another tenant"),
        ({"key_id": "payroll"}, "its key_id"),
        ({"session_id": coins("another key")}, "its session_id"),
        ({"chain_code": coins("another chain code")}, "its chain_code"),
        ({"schemes": [Scheme.ECDSA]}, "its schemes"),
        ({"origin": Origin.IMPORTED}, "its origin"),
        ({"reshared": resharing(predecessor=coins("other"))}, "another predecessor"),
        ({"version": 2, "reshared": None}, "no new epoch"),
        ({"threshold": 5}, "more parties than it has"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_the_key_stays_what_it_was(facts: dict[str, Any], reason: str) -> None:
    refused(FORGER.saying(**facts).bundle(), reason)


def test_the_public_key_and_the_curve_stay() -> None:
    foreign = (SECP256K1.scalar(7) * SECP256K1.generator).to_bytes()
    refused(FORGER.saying(public_key=foreign).bundle(), "its public_key")
    others = old_facts(Curve.ED25519)
    edwards = Forger(curve=Curve.ED25519)
    refused(edwards.bundle(predecessor=certified(KNOWN)), "its curve")
    refused(edwards.bundle(), "another one than we know")
    check(edwards.bundle(), others)


def test_the_predecessor_is_the_epoch_that_we_know() -> None:
    for changes in ({"epoch": 2}, {"threshold": 3}, {"transcript_digest": coins("other")}):
        forger = replace(FORGER, known=old_facts(Curve.SECP256K1, **changes))
        refused(forger.bundle(), "another one than we know")


@pytest.mark.parametrize("missing", ["p1", "p2", "p3"])
def test_a_later_reader_finds_the_predecessors_certificates_with_it(missing: str) -> None:
    whole = certified(KNOWN)
    rest = {name: each for name, each in whole.certificates.items() if name != missing}
    for certificates in (rest, rest | {missing: whole.certificates["p1"][::-1]}):
        predecessor = CertifiedKey(facts=KNOWN, certificates=certificates)
        refused(FORGER.bundle(predecessor=predecessor), "wrong signature")


###
### Dealers
###


@pytest.mark.parametrize(
    ("dealers", "reason"),
    [
        (["p2", "p4"], "not holders"),
        (["p3", "p2"], "in their order"),
        (["p2", "p2"], "in their order"),
        (["p1", "p2", "p3"], "2 dealers have to deal"),
    ],
)
def test_dealers_are_exactly_t_of_the_predecessors_holders(dealers: list[str], reason: str) -> None:
    refused(FORGER.saying(reshared=resharing(dealers=dealers)).bundle(), reason)


def test_every_dealer_signs_the_new_facts() -> None:
    bundle = FORGER.bundle()
    for dealer in DEALERS:
        rest = {name: each for name, each in bundle.dealt.items() if name != dealer}
        refused(bundle.model_copy(update={"dealt": rest}), "each to sign")
        stranger = sign_dealt(bundle.key.facts, STRANGER)
        refused(bundle.model_copy(update={"dealt": rest | {dealer: stranger}}), "wrong signature")
        other = sign_dealt(KNOWN, IDENTITIES[dealer])
        refused(bundle.model_copy(update={"dealt": rest | {dealer: other}}), "wrong signature")
        certificate = bundle.key.facts.certify(IDENTITIES[dealer])
        refused(
            bundle.model_copy(update={"dealt": rest | {dealer: certificate}}), "wrong signature"
        )
    more = bundle.dealt | {"p1": sign_dealt(bundle.key.facts, IDENTITIES["p1"])}
    refused(bundle.model_copy(update={"dealt": more}), "each to sign")


###
### New holders
###


@pytest.mark.parametrize("name", NEW_PARTIES)
def test_every_new_holder_certifies_and_proves(name: str) -> None:
    bundle = FORGER.bundle()
    facts, certificates = bundle.key.facts, bundle.key.certificates
    rest = {each: certificates[each] for each in certificates if each != name}
    key = CertifiedKey(facts=facts, certificates=rest)
    refused(bundle.model_copy(update={"key": key}), f"no certificate of party {name}")
    wrong = CertifiedKey(facts=facts, certificates=rest | {name: facts.certify(STRANGER)})
    refused(bundle.model_copy(update={"key": wrong}), "wrong signature")
    proven = {each: bundle.possessions[each] for each in bundle.possessions if each != name}
    refused(bundle.model_copy(update={"possessions": proven}), "one proof of each")
    cut = proven | {name: bundle.possessions[name][:-1]}
    refused(bundle.model_copy(update={"possessions": cut}), f"no proof of party {name}")
    other = next(each for each in NEW_PARTIES if each != name)
    copied = proven | {name: bundle.possessions[other]}
    refused(bundle.model_copy(update={"possessions": copied}), f"party {name} has not proven")


def test_nobody_else_certifies_or_proves() -> None:
    bundle = FORGER.bundle()
    facts = bundle.key.facts
    more = bundle.key.certificates | {"p1": facts.certify(IDENTITIES["p1"])}
    key = CertifiedKey(facts=facts, certificates=more)
    refused(bundle.model_copy(update={"key": key}), "one certificate")
    proofs = bundle.possessions | {"p1": bundle.possessions["p2"]}
    refused(bundle.model_copy(update={"possessions": proofs}), "one proof of each")


def test_a_proof_is_of_these_facts() -> None:
    other = FORGER.saying(transcript_digest=coins("another run")).bundle()
    refused(FORGER.bundle(possessions=other.possessions), "has not proven")


@CURVES
def test_new_holders_are_pinned_and_each_is_one(curve: Curve) -> None:
    forger, known = Forger(curve=curve), old_facts(curve)
    whole = forger.bundle().key.facts.holders
    twice = [whole[0], *whole[:3]]
    refused(forger.saying(holders=twice).bundle(), "twice", known)
    bundle = forger.bundle()
    pinned = {name: each for name, each in PINNED.items() if name != "p6"}
    with pytest.raises(ContractError, match="p6 is not one that we know"):
        check_bundle(bundle, known, pinned=pinned, owners=OWNERS)


def moved(facts_holders: list[Holder], at: int, curve: Curve) -> list[Holder]:
    """One public share is another point."""
    group = group_by_name(curve.value)
    foreign = (group.scalar(99) * group.generator).to_bytes()
    changed = list(facts_holders)
    changed[at] = changed[at].model_copy(update={"public_share": foreign})
    return changed


@CURVES
@pytest.mark.parametrize("at", range(4))
def test_a_public_share_off_the_polynomial_is_refused_though_its_holder_knows_it(
    curve: Curve, at: int
) -> None:
    """Wherever it stands, and proven: it would be certified, and never sign."""
    whole = holders(NEW_PARTIES, new_shares(curve))
    shares = {
        name: new_shares(curve)[index(j)].secret_share
        for j, name in enumerate(NEW_PARTIES, start=1)
    }
    secrets = shares | {NEW_PARTIES[at]: group_by_name(curve.value).scalar(99)}
    forger = Forger(curve=curve, facts={"holders": moved(whole, at, curve)}, secrets=secrets)
    refused(forger.bundle(), "not of this key", old_facts(curve))


def test_a_polynomial_of_another_degree_is_refused() -> None:
    """3-of-4 shares said to be 2 of 4, as the owner may have asked for."""
    forger = FORGER.asking(threshold=2).saying(threshold=2)
    refused(forger.bundle(), "not of this key")


###
### Two pinned parties and the coordinator
###


COLLUDERS = ("p5", "p6")
"""Pinned, and without a share. They have the coordinator's identity and see every request."""


def invented(*, line: bool) -> tuple[list[Holder], dict[str, Any]]:
    """Public shares of a key that is not theirs: on a line through it, or each of a secret."""
    public_key = old_shares(Curve.SECP256K1)[index(1)].public_key
    one, two = SECP256K1.scalar(11), SECP256K1.scalar(12)
    first = one * SECP256K1.generator
    # On the line through (0, PK) and (1, S): at 2 it is 2 * S - PK.
    second = first + first - public_key if line else two * SECP256K1.generator
    made = [
        Holder(party_id=name, identity=IDENTITIES[name].public.der, public_share=point.to_bytes())
        for name, point in zip(COLLUDERS, (first, second), strict=True)
    ]
    return made, dict(zip(COLLUDERS, (one, two), strict=True))


def colluding(*, line: bool = True, **more: Any) -> Forger:
    made, secrets = invented(line=line)
    return Forger(facts={"holders": made, "threshold": 2}, secrets=secrets, **more)


def test_colluders_cannot_ask_for_themselves() -> None:
    wish = {"threshold": 2, "parties": list(COLLUDERS)}
    refused(colluding(asked=wish, signer=COORDINATOR).bundle(), "somebody else")


def test_colluders_cannot_use_what_the_owner_asked_for_others() -> None:
    refused(colluding().bundle(), "threshold is not what its owner")
    refused(colluding(asked={"threshold": 2}).bundle(), "parties is not what its owner")


OWNERS_WISH = {"threshold": 2, "parties": list(COLLUDERS)}
"""Let the owner even ask for the two of them: they get no share but from dealers."""


def test_colluders_cannot_name_themselves_as_dealers() -> None:
    forger = colluding(asked=OWNERS_WISH).saying(reshared=resharing(dealers=list(COLLUDERS)))
    refused(forger.bundle(), "not holders")


def test_colluders_cannot_sign_for_the_dealers() -> None:
    bundle = colluding(asked=OWNERS_WISH).bundle()
    forged = {name: sign_dealt(bundle.key.facts, IDENTITIES["p5"]) for name in DEALERS}
    refused(bundle.model_copy(update={"dealt": forged}), "wrong signature")


def test_colluders_cannot_invent_the_predecessor() -> None:
    """An epoch of which they are all the holders, and which they certify flawlessly."""
    made, _ = invented(line=True)
    own = old_facts(Curve.SECP256K1, holders=made)
    certified(own).verify(PINNED)
    forger = colluding(asked=OWNERS_WISH, known=own).saying(
        reshared=resharing(predecessor=own.digest(), dealers=list(COLLUDERS))
    )
    refused(forger.bundle(), "another one than we know")


@pytest.mark.parametrize(
    ("line", "reason"), [(False, "not of this key"), (True, "party p6 has not proven")]
)
def test_colluders_with_the_dealers_signatures_cannot_invent_shares(
    line: bool, reason: str
) -> None:
    """Even then honest holders do not delete: a share that nobody has would be the key's loss."""
    refused(colluding(line=line, asked=OWNERS_WISH).bundle(), reason)


def test_colluders_who_were_dealt_to_convince() -> None:
    """The control: what is refused above is refused for what is wrong with it."""
    old = [old_shares(Curve.SECP256K1)[index(i)].secret_share for i in (1, 2)]
    key = old[0] + old[0] - old[1]
    line = (key, SECP256K1.scalar(5))
    secrets = {name: evaluate(line, index(j)) for j, name in enumerate(COLLUDERS, start=1)}
    made = [
        Holder(
            party_id=name,
            identity=IDENTITIES[name].public.der,
            public_share=(secret * SECP256K1.generator).to_bytes(),
        )
        for name, secret in secrets.items()
    ]
    facts = {"holders": made, "threshold": 2}
    check(Forger(asked=OWNERS_WISH, facts=facts, secrets=secrets).bundle())
