"""Each rule by itself: a run that keeps it passes, one that breaks it is called by the rule."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from contracts.failures import FailureCode
from contracts.primitives import Scheme
from contracts.requests import CancelRequest
from contracts.results import CancelResult, Status
from ops.chaos.facts import Accusation, DeadLetter, Facts, Leftover
from ops.chaos.faults import TRAITS, Kind
from ops.chaos.invariants import RULES
from tests.contracts import samples
from tests.ops.chaos_samples import answer, ask, broken, fail, good_facts, judged, struck

pytestmark = pytest.mark.long

HEX = "ab" * 32


def test_a_run_in_which_nothing_went_wrong_breaks_no_rule() -> None:
    assert judged(good_facts()) == []


def test_a_request_without_a_result_is_lost() -> None:
    facts = good_facts()
    del facts.answers["s-ed25519"]
    assert broken(facts) == {"lost"}


def test_a_request_that_the_broker_never_confirmed_may_stay_without_a_result() -> None:
    facts = good_facts()
    del facts.answers["s-ed25519"]
    facts.asked["s-ed25519"].published = 0
    assert broken(facts) == set()


def test_a_request_that_expired_in_its_queue_needs_a_fault_that_explains_it() -> None:
    facts = good_facts()
    del facts.answers["s-ed25519"]
    facts.letters = [
        DeadLetter(
            queue="warren.requests.signing", kind="sign", reason="expired", message_id="s-ed25519"
        )
    ]
    assert broken(facts) == {"unexplained"}
    facts.struck = [struck(Kind.BROKER_KILL, began_s=9, ended_s=40)]
    assert broken(facts) == set()


def test_the_same_bytes_again_are_no_second_result() -> None:
    facts = good_facts()
    facts.answers["s-ecdsa"] *= 3
    assert broken(facts) == set()


def test_a_second_result_of_other_bytes_is_doubled() -> None:
    facts = good_facts()
    first = facts.answers["s-ecdsa"][0]
    other = json.dumps({**json.loads(first.body), "finished_at": 1}).encode()
    facts.answers["s-ecdsa"].append(replace(first, body=other))
    assert broken(facts) == {"doubled"}


def test_a_session_of_two_epochs_is_mixed() -> None:
    facts = good_facts()
    facts.sent.epochs[HEX] = {3}
    assert broken(facts) == set()
    facts.sent.epochs[HEX] = {3, 4}
    assert broken(facts) == {"mixed"}


def test_a_backup_that_should_not_have_been_taken_is_told() -> None:
    facts = good_facts()
    facts.revived.append("party-1 took a backup of epochs that are over")
    assert broken(facts) == {"revived"}


def test_a_key_of_which_some_holders_do_not_sign_is_lost() -> None:
    facts = good_facts()
    facts.proving["s-ecdsa"] = "key secp256k1 by party-1 and party-2"
    assert broken(facts) == set()
    facts.struck = [struck(Kind.BROKER_KILL, began_s=9, ended_s=40)]
    fail(facts, "s-ecdsa", FailureCode.EXPIRED)
    assert broken(facts) == {"lost key"}


def test_a_request_by_which_a_party_shall_hear_something_may_fail() -> None:
    facts = good_facts()
    fail(facts, "s-ecdsa", FailureCode.STALE_EPOCH)
    assert broken(facts) == {"unexplained"}
    facts.asides.add("s-ecdsa")
    assert broken(facts) == set()


def test_a_question_may_be_answered_with_the_present_each_time() -> None:
    facts = good_facts()
    cancel = samples.fields("cancel", request_id="c-1")
    ask(facts, CancelRequest(**cancel))
    for finished_at in (1, 2):
        answer(
            facts,
            CancelResult(
                request_id="c-1",
                client_id="svcA",
                session_id=None,
                status=Status.COMPLETED,
                request_digest=bytes(32),
                finished_at=finished_at,
                target="r0",
                target_status=Status.CANCELLED,
            ),
        )
    assert broken(facts) == set()


def test_a_result_for_nobody_and_one_for_somebody_else_are_wrong() -> None:
    facts = good_facts()
    facts.answers["s-bip340"].append(replace(facts.answers["s-bip340"][0], client="svcB"))
    assert broken(facts) == {"wrong"}
    facts = good_facts()
    facts.answers["nobody-asked"] = facts.answers["s-bip340"]
    assert broken(facts) == {"wrong"}


@pytest.mark.parametrize("name", ["s-ed25519", "s-bip340", "s-ecdsa"])
def test_a_signature_with_one_bit_flipped_is_wrong(name: str) -> None:
    facts = good_facts()
    answered = facts.answers[name][0]
    result = json.loads(answered.body)
    signature = bytearray.fromhex(result["signature"])
    signature[20] ^= 1
    body = json.dumps({**result, "signature": signature.hex()}).encode()
    facts.answers[name] = [replace(answered, body=body)]
    assert broken(facts) == {"wrong"}


def test_a_signature_over_another_message_is_wrong() -> None:
    facts = good_facts()
    other = samples.sign_request(
        request_id="s-ed25519", key_id="ed25519", scheme=Scheme.ED25519, message=b"another"
    )
    facts.asked["s-ed25519"].request = other
    assert broken(facts) == {"wrong"}


def test_a_key_that_a_party_did_not_certify_is_wrong_and_so_is_all_it_signed() -> None:
    facts = good_facts()
    request = samples.keygen_request(request_id="k-ed25519", key_id="ed25519")
    key = samples.SingleKey(request.curve).certified(key_id="ed25519")
    forged = key.model_copy(update={"certificates": {**key.certificates, "p1": b"forged"}})
    facts.answers["k-ed25519"] = []
    answer(facts, samples.keygen_result(request, forged))
    assert len(judged(facts)) == 2
    assert broken(facts) == {"wrong"}


def test_a_failure_without_a_fault_is_unexplained() -> None:
    facts = good_facts()
    fail(facts, "s-ecdsa", FailureCode.EXPIRED)
    assert broken(facts) == {"unexplained"}


def test_a_failure_is_explained_by_a_fault_of_its_time_that_has_such_effects() -> None:
    facts = good_facts()
    fail(facts, "s-ecdsa", FailureCode.EXPIRED, at_s=30)
    facts.struck = [struck(Kind.SILENT, target="party-1", began_s=12, ended_s=15)]
    assert broken(facts) == set()
    facts.struck = [struck(Kind.SILENT, target="party-1", began_s=31, ended_s=35)]
    assert broken(facts) == {"unexplained"}
    facts.struck = [struck(Kind.KILL, target="party-1.1", began_s=12, ended_s=12)]
    assert broken(facts) == {"unexplained"}


def test_a_failure_soon_after_a_fault_is_its_aftermath_and_a_later_one_is_not() -> None:
    aftermath_s = TRAITS[Kind.DATABASE_KILL].aftermath_s
    facts = good_facts()
    facts.struck = [struck(Kind.DATABASE_KILL, began_s=1, ended_s=2)]
    fail(facts, "s-ecdsa", FailureCode.PARTY_REFUSED)
    assert broken(facts) == set()
    facts.asked["s-ecdsa"].asked_s = 2 + aftermath_s + 1
    fail(facts, "s-ecdsa", FailureCode.PARTY_REFUSED, at_s=2 + aftermath_s + 2)
    assert broken(facts) == {"unexplained"}


def test_cancelled_is_explained_by_the_clients_own_wish_only() -> None:
    facts = good_facts()
    fail(facts, "s-ecdsa", FailureCode.CANCELLED)
    assert broken(facts) == {"unexplained"}
    ask(facts, CancelRequest(**samples.fields("cancel", request_id="c-1", target="s-ecdsa")))
    fail(facts, "c-1", FailureCode.UNKNOWN_REQUEST)
    assert broken(facts) == set()


def test_a_session_that_ended_well_after_a_lie_was_told_in_it_was_believed() -> None:
    facts = good_facts()
    session_id = bytes([8]) * 32
    facts.sent.lies.add(session_id.hex())
    assert broken(facts) == {"believed"}


def test_a_session_that_was_lied_to_can_be_cancelled_all_the_same() -> None:
    facts = good_facts()
    ask(facts, CancelRequest(**samples.fields("cancel", request_id="c-1", target="t")))
    told = CancelResult(
        request_id="c-1",
        client_id="svcA",
        session_id=bytes([7]) * 32,
        status=Status.COMPLETED,
        request_digest=bytes(32),
        finished_at=1,
        target="t",
        target_status=Status.FAILED,
    )
    answer(facts, told)
    facts.sent.lies.add((bytes([7]) * 32).hex())
    assert broken(facts) == set()


def test_who_is_banned_or_accused_without_a_lie_is_framed() -> None:
    facts = good_facts()
    facts.accusations = {Accusation("party-1", "party-2")}
    assert broken(facts) == {"framed"}
    facts.struck = [struck(Kind.LIAR, target="party-3", began_s=1, ended_s=2)]
    assert broken(facts) == {"framed"}
    # Who lies may well take an honest answer for a lie.
    for liar in ("party-1", "party-2"):
        facts.struck = [struck(Kind.PRESIGNING_LIAR, target=liar, began_s=1, ended_s=2)]
        assert broken(facts) == set()


def test_a_failure_that_blames_somebody_other_than_the_liar_frames_him() -> None:
    facts = good_facts()
    facts.struck = [struck(Kind.LIAR, target="party-2", began_s=9, ended_s=12)]
    fail(facts, "s-ecdsa", FailureCode.PARTY_FAULT, culprits=["party-2"])
    assert broken(facts) == set()
    fail(facts, "s-ecdsa", FailureCode.PARTY_FAULT, culprits=["party-3"])
    assert broken(facts) == {"framed"}


def test_a_nonce_that_answers_in_two_sessions_is_used_twice() -> None:
    facts = good_facts()
    facts.sent.uses["party-1", "nonce 00"] = {"s1"}
    facts.sent.uses["party-2", "nonce 00"] = {"s2"}
    assert broken(facts) == set()
    facts.sent.uses["party-1", "nonce 00"] = {"s1", "s2"}
    assert broken(facts) == {"twice"}


@pytest.mark.parametrize("kind", ["epochs_retired/0", "vouchers_wanted/0", "voucher_given/0"])
def test_what_belongs_to_no_session_is_said_as_often_as_one_likes(kind: str) -> None:
    facts = good_facts()
    facts.sent.bodies[HEX, kind, "party-1", "@coordinator"] = {b"a", b"b"}
    assert broken(facts) == set()


def test_two_messages_in_one_place_are_a_violation_unless_their_sender_was_told_to() -> None:
    facts = good_facts()
    facts.sent.bodies[HEX, "keygen/1", "party-1", "*"] = {b"a"}
    assert broken(facts) == set()
    facts.sent.bodies[HEX, "keygen/1", "party-1", "*"] = {b"a", b"b"}
    assert broken(facts) == {"two bytes"}
    facts.struck = [struck(Kind.EQUIVOCATOR, target="party-2", began_s=1, ended_s=2)]
    assert broken(facts) == {"two bytes"}
    facts.struck = [struck(Kind.EQUIVOCATOR, target="party-1", began_s=1, ended_s=2)]
    assert broken(facts) == set()


def test_nobody_states_two_things_of_a_request_whatever_it_forgot() -> None:
    facts = good_facts()
    facts.struck = [struck(Kind.DATABASE_KILL, target="", began_s=1, ended_s=2)]
    facts.sent.stated[HEX, "party-1"] = {"nothing was made"}
    assert broken(facts) == set()
    facts.sent.stated[HEX, "party-1"] = {"nothing was made", "already_signed"}
    assert broken(facts) == {"two bytes"}


@pytest.mark.parametrize("kind", ["session_failed/0", "cancel_answered/0"])
def test_who_lost_its_memory_may_say_this_twice_and_nothing_else(kind: str) -> None:
    facts = good_facts()
    facts.sent.bodies[HEX, kind, "party-1", "@coordinator"] = {b"a", b"b"}
    assert broken(facts) == {"two bytes"}
    facts.struck = [struck(Kind.DATABASE_KILL, target="", began_s=1, ended_s=2)]
    assert broken(facts) == set()
    facts.sent.bodies[HEX, "share_signed/0", "party-1", "@coordinator"] = {b"a", b"b"}
    assert broken(facts) == {"two bytes"}


def test_what_is_left_and_who_died_and_who_grew_are_violations() -> None:
    facts = good_facts()
    facts.leftovers = [Leftover(where="party-1's database", what="sessions", count=2)]
    facts.deaths = ["party-1.1 ended with status 1"]
    facts.memory = {"party-1.1": (100 * 2**20, 110 * 2**20), "party-1.2": (2**26, 2**28)}
    assert broken(facts) == {"left over", "died", "memory"}
    assert len(judged(facts)) == 3


def test_a_dead_letter_needs_a_fault_that_explains_its_reason() -> None:
    facts = good_facts()
    facts.letters = [
        DeadLetter(queue="warren.reports", kind="refused", reason="there is no such session")
    ]
    assert broken(facts) == {"dead letter"}
    facts.struck = [struck(Kind.GREEDY, began_s=1, ended_s=2)]
    assert broken(facts) == set()
    early = "the instruction is from the future; is a clock wrong?"
    facts.letters += [DeadLetter(queue="warren.inbox.party-3", kind="refused", reason=early)]
    assert broken(facts) == {"dead letter"}
    facts.struck += [struck(Kind.SKEW, began_s=1, ended_s=2)]
    assert broken(facts) == set()
    facts.letters += [DeadLetter(queue="warren.reports", kind="refused", reason="malformed")]
    assert broken(facts) == {"dead letter"}


def test_every_rule_that_can_be_broken_is_told_in_words() -> None:
    facts = Facts(deaths=["x"], leftovers=[Leftover(where="x", what="x", count=1)])
    assert broken(facts) <= RULES.keys()
    assert len(RULES) == 15
