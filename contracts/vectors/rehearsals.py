"""What parties answer when a reshare is rehearsed, whose answer counts, and what the answers come
to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..client.rehearsals import Rehearsal
from ..failures import FailureCode
from ..identity import Identity
from ..primitives import Status
from ..readiness import READINESS_TAG, Readiness, RoleAnswer
from ..requests import RehearseRequest
from ..results import RehearseResult
from ..retirements import RETIREMENT_TAG
from ..signing import SignedRequest
from .hands import ED25519, NOW, PARTIES, SPARE, STRANGER, public_keys
from .refusals import reason_of
from .spoken import RESHARE, signed

HANDS: Mapping[str, Identity] = {**PARTIES, "p4": SPARE}
LAST_MOMENT = 253_402_300_799_999
BOTH = RoleAnswer(deals=True, receives=True)
DEALS = RoleAnswer(deals=True, receives=False)
RECEIVES = RoleAnswer(deals=False, receives=True)
HAS_NONE = RoleAnswer(
    deals=True,
    receives=True,
    refused=FailureCode.PARTY_REFUSED,
    message="we hold no usable share of it: потеряли",
)
IS_BEHIND = RoleAnswer(
    deals=False, receives=True, refused=FailureCode.STALE_EPOCH, message="epoch 3 signs here"
)


def asked(**changes: Any) -> SignedRequest:
    """2 of p1 and p3, of a key that 2 of p1, p2 and p3 hold."""
    return signed("rehearse", **{**RESHARE, **changes})


ASKED = asked()


def said(
    party_id: str,
    *roles: RoleAnswer,
    to: SignedRequest = ASKED,
    by: Identity | None = None,
    at: int = NOW,
) -> Readiness:
    """By the party itself unless somebody else is named; that it would, without roles."""
    return Readiness.signed(
        by or HANDS[party_id],
        party_id,
        request_digest=to.digest,
        roles=roles or (BOTH,),
        at=at,
    )


def rehearsals() -> dict[str, Any]:
    """Answers, what each of them is worth; and rehearsals, with what follows from theirs."""
    return {
        "tag": READINESS_TAG.decode(),
        "parties": public_keys(p4=SPARE),
        "before": json.loads(ED25519.facts().model_dump_json()),
        "words": _words(),
        "rehearsals": _rehearsals(),
    }


def _words() -> list[dict[str, Any]]:
    good, no = said("p1"), said("p1", HAS_NONE)
    under_another_tag = PARTIES["p1"].sign(RETIREMENT_TAG, good.content())
    softer = HAS_NONE.model_copy(update={"message": "no"})
    of_another_kind = HAS_NONE.model_copy(update={"refused": FailureCode.SPOILT})
    cases: Mapping[str, Readiness] = {
        "that it would": good,
        "that it would not": no,
        "in two roles": said("p1", HAS_NONE, RECEIVES),
        "in the last moment of a calendar": said("p1", at=LAST_MOMENT),
        "at the beginning of time": said("p1", at=0),
        "to another request": said("p1", to=asked(request_id="r2")),
        "a stranger's": said("p1", by=STRANGER),
        "by another party in its name": said("p1", by=PARTIES["p2"]),
        "another party's": said("p2"),
        "at another time than it said": good.model_copy(update={"at": NOW + 1}),
        "to another request than it said": said("p1", to=asked(request_id="r2")).model_copy(
            update={"request_digest": ASKED.digest}
        ),
        "yes, where it said no": no.model_copy(update={"roles": [BOTH]}),
        "no, where it said yes": good.model_copy(update={"roles": [HAS_NONE]}),
        "in another role than it said": good.model_copy(update={"roles": [DEALS]}),
        "in more roles than it said": good.model_copy(update={"roles": [BOTH, RECEIVES]}),
        "for another reason than it said": no.model_copy(update={"roles": [softer]}),
        "with another code than it said": no.model_copy(update={"roles": [of_another_kind]}),
        "of another kind": good.model_copy(update={"signature": under_another_tag}),
        "with a signature that is none": good.model_copy(update={"signature": b"0"}),
        "that nobody signed": good.model_copy(update={"signature": b""}),
    }
    return [
        {
            "name": name,
            "readiness": json.loads(word.model_dump_json()),
            "content": word.content().hex(),
            "party_id": "p1",
            "request_digest": ASKED.digest.hex(),
            "reason": reason_of(
                partial(word.verify, PARTIES["p1"].public, request_digest=ASKED.digest)
            ),
        }
        for name, word in cases.items()
    ]


def _rehearsals() -> list[dict[str, Any]]:
    named, grows = asked(dealers=["p1", "p2"]), asked(parties=["p1", "p2", "p4"], threshold=3)
    cases: Mapping[str, tuple[SignedRequest, Sequence[Readiness]]] = {
        "all are ready": (ASKED, [said("p1"), said("p2", DEALS), said("p3")]),
        "nobody answers": (ASKED, []),
        "one has lost its share and would take another": (
            ASKED,
            [said("p1", HAS_NONE, RECEIVES), said("p2", DEALS), said("p3")],
        ),
        "one would not take a share": (
            ASKED,
            [said("p1"), said("p2", DEALS), said("p3", HAS_NONE, IS_BEHIND)],
        ),
        "one who need not deal is silent": (ASKED, [said("p1"), said("p3")]),
        "too few would deal": (ASKED, [said("p1", HAS_NONE, RECEIVES), said("p3")]),
        "only those deal who are named": (
            named,
            [said("p1", to=named), said("p3", RECEIVES, to=named)],
        ),
        "others deal than are named": (
            named,
            [said("p1", to=named), said("p2", DEALS, to=named), said("p3", to=named)],
        ),
        "a new one is silent": (grows, [said("p1", to=grows), said("p2", to=grows)]),
        "a new one is ready": (
            grows,
            [said(name, to=grows) for name in ("p1", "p2", "p3")]
            + [said("p4", RECEIVES, to=grows)],
        ),
        "what was said to another request": (ASKED, [said("p1", to=named), said("p3")]),
        "by a stranger": (ASKED, [said("p1", by=STRANGER), said("p3")]),
        "by another party in its name": (ASKED, [said("p1", by=PARTIES["p3"]), said("p3")]),
        "by nobody whom one knows": (ASKED, [said("p9", by=STRANGER), said("p1"), said("p3")]),
        "in another order": (ASKED, [said("p3"), said("p2", DEALS), said("p1")]),
        "the last of two answers": (
            ASKED,
            [said("p1", HAS_NONE), said("p3"), said("p1"), said("p1", HAS_NONE, by=STRANGER)],
        ),
    }
    return [_rehearsal(name, *given) for name, given in cases.items()]


def _rehearsal(name: str, by: SignedRequest, answers: Sequence[Readiness]) -> dict[str, Any]:
    request, before = by.request, ED25519.facts()
    assert isinstance(request, RehearseRequest)
    result = RehearseResult(
        request_id=request.request_id,
        client_id=request.client_id,
        session_id=None,
        request_digest=by.digest,
        status=Status.COMPLETED,
        finished_at=NOW,
        key_id=request.key_id,
        answers=list(answers),
    )
    pinned = {party_id: hand.public for party_id, hand in HANDS.items()}
    found = Rehearsal.of(request, by.body, before, result, pinned)
    return {
        "name": name,
        "request": by.body.decode(),
        "answers": [json.loads(each.model_dump_json()) for each in answers],
        "counted": [json.loads(each.model_dump_json()) for each in found.answers.values()],
        "ready": found.ready,
        "lacking": found.lacking,
        "dealers": found.dealers,
        "receivers": found.receivers,
        "missing": found.missing,
        "silent": found.silent,
        "refusals": [
            {"party_id": party_id, "code": code, "message": message}
            for party_id, (code, message) in found.refusals.items()
        ],
    }
