from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.primitives import Scheme
from tests.session.builders import (
    Signing,
    contradicting_facts,
    contradicting_share,
    facts,
    signing_session,
    unsealed,
)
from workers.protocols.rounds import MisuseError, PartyFaultError, PartyIndex
from workers.session.coordinator.combining import combine_frost, well_formed


def _inputs(session: Signing) -> tuple[dict[PartyIndex, bytes], dict[PartyIndex, list[bytes]]]:
    return (
        {PartyIndex(i): each.commitment for i, each in session.commitments.items()},
        {PartyIndex(i): session.own_shares(i) for i in (1, 3)},
    )


@pytest.mark.parametrize(
    ("data", "check"),
    [
        (b"", "encoding"),
        (bytes(31), "encoding"),
        (b"\xff" * 32, "encoding"),
        (bytes(32), "RFC 9591 5.4"),
        (b"\x01" + bytes(31), "RFC 9591 5.4"),
    ],
)
@pytest.mark.parametrize("fields", [{"scheme": "ed25519"}, {"scheme": "secp256k1"}])
def test_a_wrong_share_names_its_sender(fields: dict[str, Any], data: bytes, check: str) -> None:
    session = signing_session(**fields)
    commitments, shares = _inputs(session)
    with pytest.raises(PartyFaultError) as caught:
        combine_frost(
            facts(session.curve), session.request, commitments, shares | {PartyIndex(3): [data]}
        )
    assert caught.value.culprits == {3}
    assert caught.value.check == check


@pytest.mark.parametrize("data", [b"", bytes(64), b"\xff" * 64, bytes(66)])
def test_a_malformed_commitment_is_known_as_such(data: bytes) -> None:
    good = signing_session().commitments[1]
    assert well_formed(Scheme.ED25519, [good])
    assert not well_formed(Scheme.ED25519, [good, good.model_copy(update={"commitment": data})])
    assert not well_formed(Scheme.BIP340, [good])


def test_everybody_who_sends_rubbish_is_named() -> None:
    session = signing_session()
    commitments, shares = _inputs(session)
    with pytest.raises(PartyFaultError) as caught:
        combine_frost(facts(), session.request, commitments, {i: [b""] for i in shares})
    assert caught.value.culprits == {1, 3}


@settings(max_examples=30)
@given(st.data())
def test_any_other_share_names_its_sender_and_nobody_else(data: st.DataObject) -> None:
    session = signing_session()
    commitments, shares = _inputs(session)
    liar = PartyIndex(data.draw(st.sampled_from([1, 3])))
    (share,) = shares[liar]
    lie = data.draw(st.binary(min_size=32, max_size=32).filter(lambda each: each != share))
    with pytest.raises(PartyFaultError) as caught:
        combine_frost(facts(), session.request, commitments, shares | {liar: [lie]})
    assert caught.value.culprits == {liar}


def test_a_key_that_contradicts_itself_blames_no_signer() -> None:
    session = signing_session()
    commitments, _ = _inputs(session)
    shares = {
        PartyIndex(i): unsealed(contradicting_share(session, i), i, session.terms) for i in (1, 3)
    }
    with pytest.raises(MisuseError, match="do not belong to the public key"):
        combine_frost(contradicting_facts(), session.request, commitments, shares)


@pytest.mark.parametrize("count", [0, 2])
def test_another_number_of_shares_than_one_names_its_sender(count: int) -> None:
    session = signing_session()
    commitments, shares = _inputs(session)
    several = [*shares[PartyIndex(3)], *shares[PartyIndex(3)]][:count]
    with pytest.raises(PartyFaultError) as caught:
        combine_frost(facts(), session.request, commitments, shares | {PartyIndex(3): several})
    assert caught.value.culprits == {3}
    assert caught.value.check == "number of shares"
