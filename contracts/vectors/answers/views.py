"""Answers to questions about keys, accounts and sessions, and announcements of sessions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import results as models
from ...primitives import Curve, Status
from .. import spoken
from ..hands import ED25519, HANDS, NOW
from .deliveries import ANOTHERS, DISBELIEVED, KNOWN, Changes, Delivery, base, changed
from .keys import old
from .signatures import sign_result


def lists() -> Sequence[Delivery]:
    one = spoken.signed("query_keys", only="ed25519")
    every = spoken.signed("query_keys")
    page = models.QueryKeysResult(**base(one, session_id=None), keys=[KNOWN[0]])
    bare = KNOWN[0].model_copy(update={"certificates": {}})
    other = ED25519.certified(public_key=HANDS[Curve.ED25519].child(bytes(31) + b"\1").public_key)
    cases = [
        *changed(
            "one key",
            one,
            page,
            {
                **ANOTHERS,
                "another one": ({"keys": [KNOWN[1]]}, DISBELIEVED),
                "none": ({"keys": []}, DISBELIEVED),
                "without certificates": ({"keys": [bare]}, DISBELIEVED),
                "that had another public key before": ({"keys": [other]}, DISBELIEVED),
                "a tenant's": ({"keys": [ED25519.certified(tenant="alice")]}, DISBELIEVED),
            },
        ),
        *changed(
            "all keys",
            every,
            models.QueryKeysResult(**base(every, session_id=None), keys=list(KNOWN)),
            {
                "an empty page, and more": ({"keys": [], "more": True}, DISBELIEVED),
                "with one of version 1": ({"keys": [old(key_id="old")]}, None),
            },
        ),
    ]
    cancel = spoken.signed("cancel", target="r0")
    cases += changed(
        "a cancel",
        cancel,
        models.CancelResult(**base(cancel, session_id=None), target="r0"),
        {"of another target": ({"target": "r9"}, DISBELIEVED), **ANOTHERS},
    )
    return [*cases, *accounts()]


def accounts() -> Sequence[Delivery]:
    asked = spoken.signed("query_accounts", only="ed25519")
    account = models.AccountView(
        account_id="ed25519",
        user_id="alice",
        status=Status.COMPLETED,
        session_id=bytes([5]) * 32,
        created_at=NOW,
        curve=Curve.ED25519,
        threshold=2,
        parties=["p1", "p2", "p3"],
        signers=None,
        public_key=ED25519.public_key,
        key=KNOWN[0],
    )

    def told(**changes: Any) -> dict[str, Any]:
        return {"accounts": [account.model_copy(update=changes)]}

    good = models.QueryAccountsResult(**base(asked, session_id=None), accounts=[account])
    return changed(
        "an account",
        asked,
        good,
        {
            "without what proves its key": (told(key=None), DISBELIEVED),
            "with another public key": (told(public_key=bytes(32)), DISBELIEVED),
            "with another's key": (told(key=KNOWN[1]), DISBELIEVED),
            "of another threshold": (told(threshold=3), DISBELIEVED),
            "of other parties": (told(parties=["p1", "p2"]), DISBELIEVED),
            "still in the making": (
                told(key=None, public_key=None, status=Status.IN_PROGRESS),
                None,
            ),
        },
    )


def looks() -> Sequence[Delivery]:
    begun = spoken.signed("sign", **{**spoken.SIGN, "request_id": "r0"})
    terms = spoken.terms(begun)
    asked = spoken.signed("query_session", target="r0")
    view = models.SessionView(
        session_id=terms.session_id(),
        request_id="r0",
        operation="sign",
        key_id="ed25519",
        status=Status.COMPLETED,
        deadline=NOW + 60_000,
        parties=["p1", "p3"],
        events=[],
        client_id="svcA",
    )
    outcome = sign_result(begun)
    good = models.QuerySessionResult(
        **base(asked, session_id=None),
        session=view,
        outcome=outcome,
        request=begun.body,
        request_signature=begun.signature,
        terms=terms,
    )
    other = spoken.signed("sign", **{**spoken.SIGN, "request_id": "r0", "salt": "other"})
    spoilt = outcome.model_copy(update={"signature": bytes(64)})
    return changed(
        "a session",
        asked,
        good,
        {
            **ANOTHERS,
            "without an outcome": ({"outcome": None}, None),
            "without the session": ({"session": None}, DISBELIEVED),
            "of a session of another request": (
                {"session": view.model_copy(update={"request_id": "r9"})},
                DISBELIEVED,
            ),
            "of a tenant": ({"session": view.model_copy(update={"tenant": "alice"})}, DISBELIEVED),
            "with another id": (
                {"session": view.model_copy(update={"session_id": bytes(32)})},
                DISBELIEVED,
            ),
            "with other bytes": ({"request": other.body}, DISBELIEVED),
            "without its bytes": ({"request": None}, DISBELIEVED),
            "without terms": ({"terms": None}, DISBELIEVED),
            "with other terms": (
                {"terms": spoken.terms(begun, salt=bytes([1]) * 32)},
                DISBELIEVED,
            ),
            "with an outcome that does not verify": ({"outcome": spoilt}, DISBELIEVED),
            "with another request's outcome": ({"outcome": sign_result(other)}, DISBELIEVED),
        },
    )


def announcements() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **{**spoken.SIGN, "announce": True})
    terms = spoken.terms(asked)
    good = models.SessionAnnounced(
        request_id="r1",
        client_id="svcA",
        session_id=terms.session_id(),
        request_digest=asked.digest,
        terms=terms,
        deadline=NOW + 60_000,
        parties=["p1", "p3"],
        join_tokens={"p1": bytes([1]) * 32, "p3": bytes([3]) * 32},
        session_token=bytes([9]) * 32,
    )
    other = spoken.terms(spoken.signed("sign", **spoken.SIGN))
    changes: Changes = {
        "another client's": ({"client_id": "svcB"}, DISBELIEVED),
        "of another session": ({"session_id": bytes(32)}, DISBELIEVED),
        "of another request's session": (
            {"terms": other, "session_id": other.session_id()},
            DISBELIEVED,
        ),
    }
    anew = spoken.signed("reshare", **{**spoken.RESHARE, "announce": True})
    dealt = spoken.reshare_terms(anew)
    of_shares = good.model_copy(
        update={
            "session_id": dealt.session_id(),
            "request_digest": anew.digest,
            "terms": dealt,
            "parties": [member.party_id for member in dealt.members],
        }
    )
    changes_of_shares: Changes = {
        "for an earlier epoch": ({"terms": spoken.reshare_terms(anew, epoch=2)}, DISBELIEVED),
    }
    return [
        *changed("an announcement", asked, good, changes),
        *changed("an announcement of other shares", anew, of_shares, changes_of_shares),
    ]
