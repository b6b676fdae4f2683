"""What must hold after a run, whatever struck: pure functions of what was written down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from contracts import results
from contracts.errors import ContractError
from contracts.failures import FailureCode
from contracts.requests import CancelRequest, KeygenRequest, ReshareRequest, SignRequest
from contracts.results import KeygenResult, Result, Status
from workers.session import protocols

from .facts import Asked, Facts, Violation
from .faults import FORGETFUL, LIARS, Kind
from .letters import expired_requests, is_expired_request, understood
from .verifying import Verifier

OF_NO_SESSION = {f"{each.model_fields['report'].default}/0" for each in protocols.OF_NO_SESSION}
"""What a party says of itself, again and again, has no one place."""
RULES = {
    "lost": "every request has a result, or was never taken and went to the dead letters",
    "doubled": "and one only: results that come again are the same bytes",
    "wrong": "every signature verifies under its key, every key is certified by its parties",
    "unexplained": "every failure has a code that a fault of its time explains",
    "believed": "no session ends well after a party sent two different messages in one place",
    "framed": "nobody is blamed who did not lie, unless by a liar",
    "twice": "no nonce and no presignature answers in two sessions",
    "two bytes": "nobody else sends two different messages in one place, but for refusals and "
    "answers to a cancel before and after a loss of memory; these contradict none of before",
    "mixed": "no session is of two epochs of a key",
    "revived": "nothing is restored that its party knows to be over, and all else is",
    "lost key": "in the end any t of its holders sign with each key, and it is the same key",
    "left over": "nothing is left when all is over",
    "dead letter": "every dead letter has a reason that a fault explains",
    "died": "no worker ends by itself",
    "memory": "no worker grows",
}

MEMORY_FACTOR, MEMORY_SLACK = 1.3, 40 * 2**20
"""A worker may be larger at the end by so much: caches fill, arenas are kept."""

SAID_ANEW = frozenset({"session_failed/0", "cancel_answered/0"})

_ALWAYS = frozenset({FailureCode.UNKNOWN_REQUEST})
"""For questions about a request, and its cancellation: they may overtake it."""


def violations(facts: Facts, verifier: Verifier) -> list[Violation]:
    found = [
        *_answered(facts),
        *_wrong(facts, verifier),
        *_failures(facts),
        *_believed(facts),
        *_framed(facts),
        *_twice(facts),
        *_two_bytes(facts),
        *_mixed(facts),
        *(Violation("revived", each) for each in facts.revived),
        *_lost_keys(facts),
        *_leftovers(facts),
        *_letters(facts),
        *(Violation("died", death) for death in facts.deaths),
        *_memory(facts.memory),
    ]
    return sorted(set(found))


def begins_session(asked: Asked) -> bool:
    """Whether its answer is kept. Questions are answered anew each time, with the present."""
    return isinstance(asked.request, KeygenRequest | SignRequest | ReshareRequest)


def first_result(facts: Facts, request_id: str) -> Result | None:
    answers = facts.answers.get(request_id)
    return results.ADAPTER.validate_json(answers[0].body) if answers else None


def _answered(facts: Facts) -> Iterator[Violation]:
    unheard = expired_requests(facts.letters)
    for request_id, asked in facts.asked.items():
        answers = facts.answers.get(request_id, [])
        name = _name(asked)
        if not answers and asked.published:
            if request_id not in unheard:
                yield Violation("lost", f"{name}, asked at {asked.asked_s:.1f} s, has no result")
            elif not excused(facts, FailureCode.EXPIRED, asked.asked_s, asked.due_s):
                yield Violation("unexplained", f"{name} was not taken from its queue in time")
        if begins_session(asked) and len({answer.body for answer in answers}) > 1:
            ways = " / ".join(sorted({_summary(answer.body) for answer in answers}))
            yield Violation("doubled", f"{name} has {len(answers)} results: {ways}")
        strangers = {answer.client for answer in answers} - {asked.client}
        if strangers:
            yield Violation("wrong", f"{name} was answered to {', '.join(sorted(strangers))}")
    for request_id in facts.answers.keys() - facts.asked.keys():
        yield Violation("wrong", f"a result for {request_id}, which nobody asked for")


def _wrong(facts: Facts, verifier: Verifier) -> Iterator[Violation]:
    ended = {request_id: first_result(facts, request_id) for request_id in facts.asked}
    for request_id, result in ended.items():
        if isinstance(result, KeygenResult) and result.key is not None:
            try:
                verifier.learn(result.key, facts.asked[request_id].request.client_id)
            except ContractError as error:
                yield Violation("wrong", f"{_name(facts.asked[request_id])}: {error}")
    for request_id, result in ended.items():
        if result is not None and result.status is Status.COMPLETED:
            doubt = verifier.doubts(facts.asked[request_id].request, result)
            if doubt is not None:
                yield Violation("wrong", f"{_name(facts.asked[request_id])}: {doubt}")


def _failures(facts: Facts) -> Iterator[Violation]:
    cancelled = {
        asked.request.target
        for asked in facts.asked.values()
        if isinstance(asked.request, CancelRequest)
    }
    for request_id, asked in facts.asked.items():
        result = first_result(facts, request_id)
        if result is None or result.failure is None:
            continue
        code, ended_s = result.failure.code, facts.answers[request_id][0].at_s
        if request_id in facts.asides:
            continue
        if code is FailureCode.CANCELLED and request_id in cancelled:
            continue
        if code in _ALWAYS and not begins_session(asked):
            continue
        if not excused(facts, code, asked.asked_s, ended_s):
            text = f"{_name(asked)} failed after {ended_s - asked.asked_s:.1f} s"
            yield Violation("unexplained", f"{text}: {code}: {result.failure.message}")


def _believed(facts: Facts) -> Iterator[Violation]:
    for request_id, asked in facts.asked.items():
        result = first_result(facts, request_id)
        # A question about a session that was lied to may well be answered.
        if (
            begins_session(asked)
            and result is not None
            and result.session_id is not None
            and result.session_id.hex() in facts.sent.lies
            and result.status is Status.COMPLETED
        ):
            yield Violation("believed", f"{_name(asked)} ended well in spite of two messages")


def _framed(facts: Facts) -> Iterator[Violation]:
    # A liar is not told what its lies come to: it may well take the answers for others' lies.
    liars = {each.target for each in facts.struck if each.kind in LIARS}
    for each in facts.accusations:
        if liars.isdisjoint((each.by, each.against)):
            yield Violation("framed", f"{each.by} has banned or accused {each.against}")
    for request_id, asked in facts.asked.items():
        result = first_result(facts, request_id)
        failure = None if result is None else result.failure
        if failure is None or not failure.culprits:
            continue
        # The message names who says so.
        if not any(liar in failure.culprits or liar in failure.message for liar in liars):
            culprits = ", ".join(failure.culprits)
            yield Violation("framed", f"{_name(asked)} blames {culprits}: {failure.message}")


def _twice(facts: Facts) -> Iterator[Violation]:
    for (party_id, nonce), used_in in facts.sent.uses.items():
        if len(used_in) > 1:
            places = ", ".join(sorted(session[:12] for session in used_in))
            yield Violation("twice", f"{party_id} answered with {nonce[:24]} in sessions {places}")


def _two_bytes(facts: Facts) -> Iterator[Violation]:
    lying = {Kind.EQUIVOCATOR, Kind.LIAR}
    liars = {each.target for each in facts.struck if each.kind in lying}
    # Whoever lost its memory and is asked again for what it refused before refuses it once more, in
    # words of today. A refusal contradicts nothing: the first to arrive ends the session. A cancel
    # is answered once more too: with the statement that was kept, or that memory was lost.
    forgetful = any(each.kind in FORGETFUL for each in facts.struck)
    for (session_id, kind, sender, recipient), bodies in facts.sent.bodies.items():
        if (kind in SAID_ANEW and forgetful) or kind in OF_NO_SESSION:
            continue
        if len(bodies) > 1 and sender not in liars:
            place = f"{kind} of session {session_id[:12]} from {sender} to {recipient}"
            yield Violation("two bytes", f"{len(bodies)} different messages: {place}")
    for (session_id, party_id), stated in facts.sent.stated.items():
        if len(stated) > 1 and party_id not in liars:
            place = f"a cancel's session {session_id[:12]} from {party_id}"
            yield Violation("two bytes", f"{len(stated)} statements that differ: {place}")


def _mixed(facts: Facts) -> Iterator[Violation]:
    for session_id, epochs in facts.sent.epochs.items():
        if len(epochs) > 1:
            named = ", ".join(map(str, sorted(epochs)))
            yield Violation("mixed", f"messages of session {session_id[:12]} name epochs {named}")


def _lost_keys(facts: Facts) -> Iterator[Violation]:
    for request_id, shown in facts.proving.items():
        result = first_result(facts, request_id)
        if result is None or result.status is not Status.COMPLETED:
            end = "no result" if result is None else result.failure or result.status
            yield Violation("lost key", f"{shown}: {end}")


def _leftovers(facts: Facts) -> Iterator[Violation]:
    for left in facts.leftovers:
        yield Violation("left over", f"{left.count} {left.what} in {left.where}")


def _letters(facts: Facts) -> Iterator[Violation]:
    kinds = {each.kind for each in facts.struck}
    odd = Counter(
        (letter.queue, letter.kind, letter.reason)
        for letter in facts.letters
        if not understood(letter, kinds) and not is_expired_request(letter)
    )
    for (queue, kind, reason), count in odd.items():
        yield Violation("dead letter", f"{count} {kind} from {queue}: {reason}")


def _memory(memory: dict[str, tuple[int, int]]) -> Iterator[Violation]:
    for name, (before, after) in memory.items():
        if after > before * MEMORY_FACTOR + MEMORY_SLACK:
            sizes = f"{before / 2**20:.0f} to {after / 2**20:.0f} MiB"
            yield Violation("memory", f"{name} grew from {sizes}")


def excused(facts: Facts, code: str, began_s: float, ended_s: float) -> bool:
    return any(each.excuses(code, began_s, ended_s) for each in facts.struck)


def _name(asked: Asked) -> str:
    return f"{asked.request.operation} {asked.request.request_id} of {asked.client}"


def _summary(body: bytes) -> str:
    result = json.loads(body)
    failure = result.get("failure")
    return result["status"] if failure is None else f"{result['status']} ({failure['code']})"
