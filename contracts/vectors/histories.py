"""What former holders have said of their shares, whose word counts, and how a key's epochs hang
together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..client.histories import joined, successions
from ..identity import Identity, PublicIdentity
from ..keys import Holder, KeyFacts
from ..primitives import Status
from ..results import QueryKeyHistoryResult
from ..retirements import RETIREMENT_TAG, Retirement
from ..statements import STATEMENT_TAG
from ..views import EpochView
from .hands import ED25519, NOW, PARTIES, SPARE, STRANGER, certified, public_keys
from .proven import anew, reshared
from .refusals import reason_of

HANDS: Mapping[str, Identity] = {**PARTIES, "p4": SPARE}
LAST_MOMENT = 253_402_300_799_999


def first_epoch(**identities: Identity) -> KeyFacts:
    """2 of p1, p2, p3 and p4, who is not pinned; some of them under other identities."""
    holders = [
        Holder(
            party_id=name,
            identity=identities.get(name, hand).public.der,
            public_share=ED25519.public_key,
        )
        for name, hand in HANDS.items()
    ]
    return ED25519.facts(holders=holders)


def chain(first: KeyFacts | None = None, **changes: Any) -> tuple[KeyFacts, KeyFacts, KeyFacts]:
    """The newest first: 2 of p1, p2 and p3 in epoch 4, made from 2 of p1 and p3 in epoch 1, made
    from the first ones. Changes are of all three."""
    first = (first or first_epoch()).model_copy(update=changes)
    came = reshared().model_copy(update={"predecessor": first.digest()})
    second = anew(reshared=came, **changes)
    came = came.model_copy(update={"predecessor": second.digest(), "dealers": ["p1", "p3"]})
    third = anew(epoch=4, holders=ED25519.facts().holders, reshared=came, **changes)
    return third, second, first


def said(party_id: str, below: int, by: Identity | None = None, **changes: Any) -> Retirement:
    """By the party itself unless somebody else is named."""
    given: dict[str, Any] = {"key_session": ED25519.facts().session_id} | changes
    at: dict[str, Any] = {
        "retired_at": given.pop("retired_at", NOW),
        "backed_up_at": given.pop("backed_up_at", None),
    }
    return Retirement.signed(by or HANDS[party_id], party_id, below=below, **given, **at)


def views(
    newest: Sequence[Retirement] = (),
    older: Sequence[Retirement] = (),
    facts: tuple[KeyFacts, KeyFacts, KeyFacts] | None = None,
) -> list[EpochView]:
    """With what is told of the epochs before the newest, and before the one behind it."""
    third, second, first = facts or chain()
    return [
        EpochView(facts=third, made_at=NOW - 1, signs_from=NOW, retirements=list(newest)),
        EpochView(facts=second, made_at=NOW - 9, signs_from=NOW - 8, retirements=list(older)),
        EpochView(facts=first),
    ]


def retirements() -> dict[str, Any]:
    """Words, what each of them is worth; histories, whose word counts in them; and pages that go
    on where the one before has ended, or do not."""
    return {
        "tag": RETIREMENT_TAG.decode(),
        "parties": public_keys(),
        "words": _words(),
        "histories": _histories(),
        "pages": _pages(),
    }


def _words() -> list[dict[str, Any]]:
    good = said("p1", 3, backed_up_at=NOW - 1)
    bare = said("p1", 3)
    under_another_tag = PARTIES["p1"].sign(STATEMENT_TAG, good.content())
    cases: Mapping[str, tuple[Retirement, int]] = {
        "of its epoch": (good, 3),
        "of an epoch before": (good, 1),
        "without a backup": (bare, 3),
        "of the highest epoch, in the last moment of a calendar": (
            said("p1", 2**32 - 1, retired_at=LAST_MOMENT, backed_up_at=LAST_MOMENT),
            2**32 - 1,
        ),
        "at the beginning of time": (said("p1", 3, retired_at=0, backed_up_at=0), 3),
        "of an epoch behind": (good, 4),
        "another party's": (said("p2", 3), 3),
        "of another key": (said("p1", 3, key_session=bytes(32)), 3),
        "a stranger's": (said("p1", 3, by=STRANGER), 3),
        "by another party in its name": (said("p1", 3, by=PARTIES["p2"]), 3),
        "of later epochs than it said": (bare.model_copy(update={"below": 4}), 3),
        "of another time than it said": (bare.model_copy(update={"retired_at": NOW - 1}), 3),
        "of another backup than it said": (good.model_copy(update={"backed_up_at": NOW}), 3),
        "whose backup is left out": (good.model_copy(update={"backed_up_at": None}), 3),
        "with a backup that it did not tell of": (bare.model_copy(update={"backed_up_at": 0}), 3),
        "of another kind": (good.model_copy(update={"signature": under_another_tag}), 3),
        "with a signature that is none": (good.model_copy(update={"signature": b"0"}), 3),
        "that nobody signed": (good.model_copy(update={"signature": b""}), 3),
    }
    session = ED25519.facts().session_id
    return [
        {
            "name": name,
            "retirement": json.loads(word.model_dump_json()),
            "content": word.content().hex(),
            "party_id": "p1",
            "key_session": session.hex(),
            "epoch": epoch,
            "reason": reason_of(
                partial(
                    word.verify,
                    PARTIES["p1"].public,
                    party_id="p1",
                    key_session=session,
                    epoch=epoch,
                )
            ),
        }
        for name, (word, epoch) in cases.items()
    ]


def _histories() -> list[dict[str, Any]]:
    changed = said("p1", 1).model_copy(update={"below": 2})
    renamed = said("p1", 1).model_copy(update={"party_id": "p2"})
    elsewhere = chain(first_epoch(p2=STRANGER))
    cases: Mapping[str, list[EpochView]] = {
        "nobody has told": views(),
        "everybody has told": views(
            [said(name, 4) for name in ("p1", "p3")], [said(name, 1) for name in HANDS]
        ),
        "the first shares": views()[2:],
        "a word on later epochs is one on those before": views(older=[said("p2", 4)]),
        "a word on earlier epochs is none on those behind": views([said("p1", 3), said("p3", 4)]),
        "a stranger's": views(older=[said("p1", 1, by=STRANGER), said("p3", 1)]),
        "by another party in its name": views(older=[said("p1", 1, by=PARTIES["p2"])]),
        "of later epochs than it said": views(older=[changed]),
        "under another's name": views(older=[renamed, said("p1", 1)]),
        "of another key": views(older=[said("p1", 1, key_session=bytes(32))]),
        "by one who held no share": views([said("p2", 4), said("p1", 4)]),
        "by nobody": views(older=[said("p9", 1, by=STRANGER)]),
        "by one who has left, and is not known any more": views(older=[said("p4", 1)]),
        "in the name of one who has left": views(older=[said("p4", 1, by=STRANGER)]),
        "by a former holder under another identity than is known": views(
            older=[said("p2", 1, by=STRANGER), said("p3", 1)], facts=elsewhere
        ),
        "by one who is known, where another one held the share": views(
            older=[said("p2", 1)], facts=elsewhere
        ),
        "a true word and a false one": views(
            older=[said("p1", 1), said("p2", 1), said("p1", 1, by=STRANGER)]
        ),
        "the last of two words": views(
            older=[said("p1", 1), said("p2", 1), said("p1", 1, backed_up_at=NOW)]
        ),
    }
    pinned = {name: hand.public for name, hand in PARTIES.items()}
    return [_history(name, given, pinned) for name, given in cases.items()]


def _history(
    name: str, given: Sequence[EpochView], pinned: Mapping[str, PublicIdentity]
) -> dict[str, Any]:
    return {
        "name": name,
        "epochs": [json.loads(view.model_dump_json()) for view in given],
        "successions": [
            {
                "epoch": each.facts.epoch,
                "from_epoch": each.before.epoch,
                "made_at": each.made_at,
                "signs_from": each.signs_from,
                "retired": [json.loads(word.model_dump_json()) for word in each.retired.values()],
                "still_to_delete": each.still_to_delete,
                "deleters": each.deleters,
            }
            for each in successions(given, pinned)
        ],
    }


def _pages() -> list[dict[str, Any]]:
    third, second, first = chain()
    told = views()
    other = first.model_copy(update={"transcript_digest": bytes(32)})
    cases: Mapping[str, tuple[KeyFacts, list[EpochView]]] = {
        "the next one": (third, told[1:]),
        "the last one": (second, told[2:]),
        "none": (third, []),
        "one that leaves out an epoch": (third, told[2:]),
        "the same once more": (third, told),
        "another epoch of that number": (second, [EpochView(facts=other)]),
        "behind the first": (first, told[2:]),
    }
    return [_page(name, last, epochs) for name, (last, epochs) in cases.items()]


def _page(name: str, last: KeyFacts, epochs: Sequence[EpochView]) -> dict[str, Any]:
    page = QueryKeyHistoryResult(
        request_id="r1",
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=NOW,
        key=certified(chain()[0]),
        epochs=list(epochs),
    )
    return {
        "name": name,
        "last": json.loads(last.model_dump_json()),
        "result": json.loads(page.model_dump_json()),
        "reason": reason_of(partial(joined, last, page)),
    }
