"""Parties whose identity is another one than when their key was made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.identity import Identity
from tests.session.builders import IDENTITIES, PEERS, facts, party, signing_session
from tests.session.party.test_acceptance import held
from workers.session.errors import RefusedError
from workers.session.party.acceptance import check_signing_key, holds, roster
from workers.session.peers import Peer

NEW = Identity.generate()
OLD = IDENTITIES["party-3"]
BOTH = {**PEERS, "party-3": Peer(3, NEW.public, others=(OLD.public,))}
AFTER = {**PEERS, "party-3": Peer(3, NEW.public, former=(OLD.public,))}
OTHERS = {**PEERS, "party-3": Peer(3, NEW.public)}
LOST = {**PEERS, "party-3": Peer(3, OLD.public, present=False)}


def test_a_member_is_named_by_any_key_of_its_that_counts_and_by_no_other() -> None:
    members = signing_session().accepted(1).members
    renamed = [
        each.model_copy(update={"identity": NEW.public.der}) if each.index == 3 else each
        for each in members
    ]
    assert roster(members, party(1, peers=BOTH)) == 1
    assert roster(renamed, party(1, peers=BOTH)) == 1
    assert roster(renamed, party(1, peers=AFTER)) == 1
    for peers in (AFTER, LOST):
        with pytest.raises(RefusedError, match="party-3 has another identity than we know"):
            roster(members, party(1, peers=peers))
    with pytest.raises(RefusedError, match="another identity"):
        roster(renamed, party(1))


def test_who_is_named_by_a_key_that_it_does_not_have_says_so_and_blames_nobody() -> None:
    members = signing_session().accepted(1).members
    renamed = [
        each.model_copy(update={"identity": NEW.public.der}) if each.index == 3 else each
        for each in members
    ]
    with pytest.raises(RefusedError, match="other_private_key_files") as refused:
        roster(renamed, party(3, peers=BOTH))
    assert not refused.value.because
    assert roster(renamed, party(3, peers=BOTH, others=(NEW,))) == 3


def test_a_holder_is_who_has_or_had_the_key_in_the_facts_under_its_own_id() -> None:
    known = facts()
    member = signing_session().accepted(1).members[1]
    renamed = member.model_copy(update={"identity": NEW.public.der})
    assert member.party_id == "party-3"
    assert holds(renamed, known, 3, party(1, peers=BOTH))
    assert holds(renamed, known, 3, party(1, peers=AFTER))
    # Whose key was never known as this party's, did not get the share.
    assert not holds(renamed, known, 3, party(1, peers=OTHERS))
    assert not holds(renamed, known, 1, party(1, peers=AFTER))
    # Nor is a key that two are said to have had enough: the id has to be the holder's.
    theirs = Peer(3, NEW.public, former=(IDENTITIES["party-1"].public,))
    assert not holds(renamed, known, 1, party(1, peers={**PEERS, "party-3": theirs}))
    gone = {name: peer for name, peer in PEERS.items() if name != "party-3"}
    assert not holds(renamed, known, 3, party(1, peers=gone))


def test_a_key_of_before_signs_by_members_named_anew() -> None:
    accepted = signing_session().accepted(1)
    check_signing_key(accepted, held(facts()), party(1, peers=AFTER))
    with pytest.raises(RefusedError, match="party-3 is not holder 3 of the key"):
        check_signing_key(accepted, held(facts()), party(1, peers=OTHERS))


def test_a_party_acts_by_the_key_that_a_session_names_it_by() -> None:
    members = signing_session().accepted(1).members
    own = party(3, identity=OLD, others=(NEW,), peers=BOTH)
    assert own.named_by(members) == own
    renamed = [
        each.model_copy(update={"identity": NEW.public.der}) if each.index == 3 else each
        for each in members
    ]
    acting = own.named_by(renamed)
    assert (acting.identity, acting.others) == (NEW, (OLD,))
    assert own.named_by([]) == own


def test_a_party_speaks_by_the_key_that_others_call_it_by_if_it_has_it() -> None:
    assert party(3, identity=OLD, others=(NEW,), peers=BOTH).speaker == NEW
    assert party(3, identity=OLD, others=(NEW,), peers=PEERS).speaker == OLD
    assert party(3, identity=OLD, peers=AFTER).speaker == OLD
    assert replace(party(3), peers={}).speaker == OLD
