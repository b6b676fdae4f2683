"""Results to accept and to refuse: whole deliveries, as they come to a client's queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from .. import results as models
from .. import strict_json
from ..checks import announced_session, same
from ..client.trust import Trust
from ..coordinators import Coordinators, result_headers
from ..errors import ContractError, UnauthenticatedError
from ..failures import Failure, FailureCode
from ..identity import Identity
from ..keys import CertifiedKey, Origin, Resharing
from ..primitives import Curve, Scheme, Status
from ..results import EcdsaForms, SignedItem
from ..signing import SignedRequest
from ..verification import child, verifying_key
from . import spoken
from .hands import (
    CLIENT,
    COORDINATOR,
    ED25519,
    HANDS,
    NOW,
    PARTIES,
    PATH,
    SECP256K1,
    STRANGER,
    b64,
    public_keys,
)
from .refusals import reason

KNOWN = (ED25519.certified(), SECP256K1.certified(schemes=[Scheme.BIP340, Scheme.ECDSA]))
"""What the client knows of its keys when the results come."""
UNAUTHENTICATED, MALFORMED, DISBELIEVED = "unauthenticated", "malformed", "disbelieved"


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """
    Attributes:
        asked: What it comes to the asker of.
        refused: Where it is: its header, its form, or what it says.
    """

    name: str
    asked: SignedRequest
    body: bytes
    by: Identity = COORDINATOR
    headers: Mapping[str, Any] | None = None
    refused: str | None = None

    def shown(self) -> dict[str, Any]:
        """As it stands in the file."""
        headers = self.headers if self.headers is not None else result_headers(self.body, self.by)
        refused, why = verdict(self.asked, self.body, headers)
        assert refused == self.refused, (self.name, refused, why)
        return {
            "name": self.name,
            "request": self.asked.body.decode(),
            "headers": dict(headers),
            "body": self.body.decode(),
            "refused": refused,
            "reason": why,
        }


def verdict(
    asked: SignedRequest, body: bytes, headers: Mapping[str, Any]
) -> tuple[str | None, str | None]:
    """What the client makes of it: where it refuses it, if it does, and why."""
    try:
        Coordinators.of(COORDINATOR.public).check_result(body, headers, now=NOW)
    except UnauthenticatedError as error:
        return UNAUTHENTICATED, str(error)
    try:
        content = strict_json.validated(models.DELIVERED, body)
    except (ValidationError, ContractError) as error:
        return MALFORMED, reason(error)
    try:
        asyncio.run(_believe(asked, content))
    except ContractError as error:
        return DISBELIEVED, str(error)
    return None, None


async def _believe(asked: SignedRequest, content: models.Delivered) -> None:
    if isinstance(content, models.SessionAnnounced):
        same("client_id", content.client_id, "svcA")
        announced_session(asked.digest, content)
        return

    async def nothing_more(tenant: str | None, key_id: str) -> None: ...

    pinned = {name: each.public for name, each in PARTIES.items()}
    trust = Trust("svcA", pinned, nothing_more)
    listed = models.QueryKeysResult(**_base(asked, session_id=None), keys=list(KNOWN))
    await trust.check(listed, None)
    await trust.check(content, asked)


def results() -> dict[str, Any]:
    """With all that a client needs to judge them."""
    deliveries = [
        *_keys(),
        *_signatures(),
        *_failures(),
        *_lists(),
        *_looks(),
        *_announcements(),
        *_strangers(),
        *_forms(),
    ]
    return {
        "client_id": "svcA",
        "coordinator": COORDINATOR.public.to_base64(),
        "parties": public_keys(),
        "now": NOW,
        "known_keys": [json.loads(key.model_dump_json()) for key in KNOWN],
        "cases": [each.shown() for each in deliveries],
    }


def _base(asked: SignedRequest, **changes: Any) -> dict[str, Any]:
    return {
        "request_id": asked.request.request_id,
        "client_id": asked.request.client_id,
        "session_id": bytes([5]) * 32,
        "request_digest": asked.digest,
        "status": Status.COMPLETED,
        "finished_at": NOW + 1,
        **changes,
    }


Changes = Mapping[str, tuple[dict[str, Any], str | None]]
"""Name -> what is spoilt, and where it is refused."""


def _changed(
    name: str, asked: SignedRequest, good: BaseModel, changes: Changes
) -> Sequence[Delivery]:
    """The good one, and each change to it."""
    cases: Changes = {"good": ({}, None), **changes}
    return [
        Delivery(
            name=f"{name}: {what}",
            asked=asked,
            body=good.model_copy(update=update).model_dump_json().encode(),
            refused=refused,
        )
        for what, (update, refused) in cases.items()
    ]


ANOTHERS: Changes = {
    "another client's": ({"client_id": "svcB"}, DISBELIEVED),
    "nobody's with an id": ({"client_id": None}, DISBELIEVED),
    "of another request": ({"request_id": "r2"}, DISBELIEVED),
    "of another request of this id": ({"request_digest": bytes(32)}, DISBELIEVED),
}


def _keys() -> Sequence[Delivery]:
    asked = spoken.signed("keygen", **spoken.KEYGEN)
    facts: dict[str, Any] = {"key_id": "treasury", "request_digest": asked.digest}

    def made(**changes: Any) -> dict[str, Any]:
        return {"key": ED25519.certified(**{**facts, **changes})}

    good = models.KeygenResult(**_base(asked), key_id="treasury", curve=Curve.ED25519, **made())
    key = ED25519.certified(**facts)
    missing = key.model_copy(update={"certificates": dict(list(key.certificates.items())[:2])})
    two = ED25519.facts().holders[:2]
    old = _old(key_id="treasury")
    anew = Resharing(session_id=bytes([9]) * 32, predecessor=bytes(32), dealers=["p1", "p2"])
    changes: Changes = {
        **ANOTHERS,
        "without the key": ({"key": None}, DISBELIEVED),
        "a certificate is missing": ({"key": missing}, DISBELIEVED),
        "of another name": (made(key_id="other"), DISBELIEVED),
        "with another name beside it": ({"key_id": "other"}, DISBELIEVED),
        "of another request's key": (made(request_digest=bytes(32)), DISBELIEVED),
        "a tenant's": (made(tenant="alice"), DISBELIEVED),
        "another client's key": (made(client_id="svcB"), DISBELIEVED),
        "of another session": (made(session_id=bytes(32)), DISBELIEVED),
        "of another curve": (
            {"key": SECP256K1.certified(**facts)},
            DISBELIEVED,
        ),
        "of a higher threshold": (made(threshold=3), DISBELIEVED),
        "of fewer parties": (made(holders=two), DISBELIEVED),
        "for one scheme that nobody asked for": (made(schemes=[Scheme.ED25519]), DISBELIEVED),
        "imported": (made(origin=Origin.IMPORTED), DISBELIEVED),
        "of version 1": ({"key": old}, DISBELIEVED),
        "of shares that were made anew": (made(version=3, epoch=1, reshared=anew), DISBELIEVED),
    }
    named = spoken.signed("keygen", **{**spoken.KEYGEN, "parties": ["p1", "p2", "p4"]})
    elsewhere = models.KeygenResult(
        **_base(named),
        key_id="treasury",
        curve=Curve.ED25519,
        key=ED25519.certified(key_id="treasury", request_digest=named.digest),
    )
    return [
        *_changed("a key", asked, good, changes),
        Delivery(
            name="a key: of other parties than those that were named",
            asked=named,
            body=elsewhere.model_dump_json().encode(),
            refused=DISBELIEVED,
        ),
    ]


def _old(**changes: Any) -> CertifiedKey:
    return ED25519.certified(version=1, request_digest=None, origin=None, **changes)


def _signed_item(scheme: Scheme, message: bytes, path: str | None, root: bytes | None) -> Any:
    hand = HANDS[scheme.curve]
    public_key = hand.public_key
    if path is not None:
        derived = child(hand.facts(), path)
        hand, public_key = hand.child(derived.tweak), derived.public_key
    signature = hand.sign(scheme, message, root)
    return SignedItem(
        message=message,
        derivation_path=path,
        public_key=verifying_key(public_key, scheme, root),
        signature=signature,
        ecdsa=EcdsaForms.of(signature) if scheme is Scheme.ECDSA else None,
    )


def _sign_result(asked: SignedRequest) -> models.SignResult:
    request: Any = asked.request
    items = [
        _signed_item(
            request.scheme, task.message, task.derivation_path, request.taproot_merkle_root
        )
        for task in request.tasks
    ]
    fields: dict[str, Any] = (
        {"items": items}
        if request.items is not None
        else {name: getattr(items[0], name) for name in SignedItem.model_fields}
    )
    return models.SignResult(
        **_base(asked),
        key_id=request.key_id,
        scheme=request.scheme,
        taproot_merkle_root=request.taproot_merkle_root,
        signers=["p1", "p3"],
        **fields,
    )


def _signatures() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    good = _sign_result(asked)
    assert good.signature is not None
    other = _signed_item(Scheme.ED25519, b"another message", None, None)
    changes: Changes = {
        **ANOTHERS,
        "without the signature": ({"signature": None}, DISBELIEVED),
        "over another message": (
            {"message": other.message, "signature": other.signature},
            DISBELIEVED,
        ),
        "that does not verify": ({"signature": other.signature}, DISBELIEVED),
        "under another key": ({"public_key": bytes(32)}, DISBELIEVED),
        "by another key's name": ({"key_id": "secp256k1"}, DISBELIEVED),
        "in another scheme": ({"scheme": Scheme.BIP340}, DISBELIEVED),
        "of one signer": ({"signers": ["p1"]}, DISBELIEVED),
        "of a signer twice": ({"signers": ["p1", "p1"]}, DISBELIEVED),
        "of a stranger": ({"signers": ["p1", "p4"]}, DISBELIEVED),
        "of all": ({"signers": ["p1", "p2", "p3"]}, DISBELIEVED),
        "with a path": ({"derivation_path": "m/1"}, DISBELIEVED),
        "as a list": ({"items": [other]}, DISBELIEVED),
    }
    cases = [*_changed("a signature", asked, good, changes)]
    named = spoken.signed("sign", **{**spoken.SIGN, "signers": ["p1", "p2"]})
    cases += _changed(
        "a signature of named signers",
        named,
        _sign_result(named).model_copy(update={"signers": ["p2", "p1"]}),
        {"of others": ({"signers": ["p1", "p3"]}, DISBELIEVED)},
    )
    path = spoken.signed("sign", **{**spoken.ECDSA, "derivation_path": PATH})
    derived = _sign_result(path)
    own = _signed_item(Scheme.ECDSA, bytes(32), None, None)
    cases += _changed(
        "a child's signature",
        path,
        derived,
        {
            "by the key itself": (
                {name: getattr(own, name) for name in ("public_key", "signature", "ecdsa")},
                DISBELIEVED,
            ),
            "of another child": ({"derivation_path": "m/44"}, DISBELIEVED),
            "without its forms": ({"ecdsa": None}, DISBELIEVED),
            "with another's forms": ({"ecdsa": own.ecdsa}, DISBELIEVED),
        },
    )
    root = spoken.signed(
        "sign", **{**spoken.ECDSA, "scheme": Scheme.BIP340, "taproot_merkle_root": b""}
    )
    internal = _signed_item(Scheme.BIP340, bytes(32), None, None)
    cases += _changed(
        "an output key's signature",
        root,
        _sign_result(root),
        {
            "by the key itself": (
                {
                    "public_key": internal.public_key,
                    "signature": internal.signature,
                    "taproot_merkle_root": None,
                },
                DISBELIEVED,
            )
        },
    )
    listed = spoken.signed("sign", **{**spoken.ECDSA, "message": None, "items": spoken.ITEMS})
    several = _sign_result(listed)
    assert several.items is not None
    cases += _changed(
        "a list of signatures",
        listed,
        several,
        {
            "in another order": ({"items": several.items[::-1]}, DISBELIEVED),
            "one less": ({"items": several.items[:1]}, DISBELIEVED),
            "none": ({"items": []}, DISBELIEVED),
            "one twice": ({"items": several.items[:1] * 2}, DISBELIEVED),
            "not as a list": (
                {
                    "items": None,
                    **{name: getattr(several.items[0], name) for name in SignedItem.model_fields},
                },
                DISBELIEVED,
            ),
        },
    )
    frost = spoken.signed("sign", **{**spoken.ECDSA, "scheme": Scheme.SECP256K1})
    cases += [
        Delivery(
            name="a signature in a scheme that the key does not serve",
            asked=frost,
            body=_sign_result(frost).model_dump_json().encode(),
            refused=DISBELIEVED,
        )
    ]
    unknown = spoken.signed("sign", **{**spoken.SIGN, "key_id": "unknown"})
    cases += [
        Delivery(
            name="a signature of a key that nobody certified",
            asked=unknown,
            body=_sign_result(unknown).model_dump_json().encode(),
            refused=DISBELIEVED,
        )
    ]
    return cases


def _failures() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    failed = models.SignResult(
        **_base(
            asked,
            status=Status.EXPIRED,
            failure=Failure.of(FailureCode.EXPIRED, "too late", silent=["p2"]),
        ),
        key_id="ed25519",
    )
    overloaded = Failure.of(FailureCode.OVERLOADED, "later", retry_after_ms=250)
    changes: Changes = {
        **ANOTHERS,
        "overloaded": ({"status": Status.FAILED, "failure": overloaded}, None),
        "completed all the same": ({"status": Status.COMPLETED}, MALFORMED),
        "without a failure": ({"failure": None}, MALFORMED),
        "that is not over": ({"status": Status.WAITING}, MALFORMED),
    }
    return _changed("a failure", asked, failed, changes)


def _lists() -> Sequence[Delivery]:
    one = spoken.signed("query_keys", only="ed25519")
    every = spoken.signed("query_keys")
    page = models.QueryKeysResult(**_base(one, session_id=None), keys=[KNOWN[0]])
    bare = KNOWN[0].model_copy(update={"certificates": {}})
    changed = ED25519.certified(public_key=HANDS[Curve.ED25519].child(bytes(31) + b"\1").public_key)
    cases = [
        *_changed(
            "one key",
            one,
            page,
            {
                **ANOTHERS,
                "another one": ({"keys": [KNOWN[1]]}, DISBELIEVED),
                "none": ({"keys": []}, DISBELIEVED),
                "without certificates": ({"keys": [bare]}, DISBELIEVED),
                "that had another public key before": ({"keys": [changed]}, DISBELIEVED),
                "a tenant's": ({"keys": [ED25519.certified(tenant="alice")]}, DISBELIEVED),
            },
        ),
        *_changed(
            "all keys",
            every,
            models.QueryKeysResult(**_base(every, session_id=None), keys=list(KNOWN)),
            {
                "an empty page, and more": ({"keys": [], "more": True}, DISBELIEVED),
                "with one of version 1": ({"keys": [_old(key_id="old")]}, None),
            },
        ),
    ]
    cancel = spoken.signed("cancel", target="r0")
    cases += _changed(
        "a cancel",
        cancel,
        models.CancelResult(**_base(cancel, session_id=None), target="r0"),
        {"of another target": ({"target": "r9"}, DISBELIEVED), **ANOTHERS},
    )
    return [*cases, *_accounts()]


def _accounts() -> Sequence[Delivery]:
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

    good = models.QueryAccountsResult(**_base(asked, session_id=None), accounts=[account])
    return _changed(
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


def _looks() -> Sequence[Delivery]:
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
    outcome = _sign_result(begun)
    good = models.QuerySessionResult(
        **_base(asked, session_id=None),
        session=view,
        outcome=outcome,
        request=begun.body,
        request_signature=begun.signature,
        terms=terms,
    )
    other = spoken.signed("sign", **{**spoken.SIGN, "request_id": "r0", "salt": "other"})
    spoilt = outcome.model_copy(update={"signature": bytes(64)})
    return _changed(
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
            "with another request's outcome": ({"outcome": _sign_result(other)}, DISBELIEVED),
        },
    )


def _announcements() -> Sequence[Delivery]:
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
    return _changed(
        "an announcement",
        asked,
        good,
        {
            "another client's": ({"client_id": "svcB"}, DISBELIEVED),
            "of another session": ({"session_id": bytes(32)}, DISBELIEVED),
            "of another request's session": (
                {"terms": other, "session_id": other.session_id()},
                DISBELIEVED,
            ),
        },
    )


def _strangers() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    body = _sign_result(asked).model_dump_json().encode()

    def of(name: str, **changes: Any) -> Delivery:
        given: dict[str, Any] = {"asked": asked, "body": body, "refused": UNAUTHENTICATED}
        return Delivery(name=f"a signature: {name}", **{**given, **changes})

    return [
        of("signed by a stranger", by=STRANGER),
        of("signed by its own asker", by=CLIENT),
        of("signed by a party", by=PARTIES["p1"]),
        of("not signed", headers={}),
        of(
            "signed before it was changed",
            body=body + b" ",
            headers=result_headers(body, COORDINATOR),
        ),
        of(
            "signed as a request",
            headers={"signature": b64(COORDINATOR.sign(b"warren/request/v1", body))},
        ),
    ]


def _forms() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    good: dict[str, Any] = json.loads(_sign_result(asked).model_dump_json())

    def of(name: str, change: Callable[[dict[str, Any]], None]) -> Delivery:
        told = json.loads(json.dumps(good))
        change(told)
        return Delivery(
            name=f"a result: {name}",
            asked=asked,
            body=json.dumps(told).encode(),
            refused=MALFORMED,
        )

    return [
        of("with an unknown field", lambda told: told.update(more=1)),
        of("of an unknown kind", lambda told: told.update(result="reshare")),
        of("of another version", lambda told: told.update(version=2)),
        of("of version true", lambda told: told.update(version=True)),
        of("without its version", lambda told: told.pop("version")),
        of("without its time", lambda told: told.pop("finished_at")),
        of("with a time that is text", lambda told: told.update(finished_at="7")),
        of("with hex in upper case", lambda told: told.update(signature="AB")),
        of("with half a byte", lambda told: told.update(signature="a")),
        of("with a digest of 31 bytes", lambda told: told.update(request_digest="00" * 31)),
        of("with an id that is none", lambda told: told.update(request_id="a.b")),
        of("with a scheme that is none", lambda told: told.update(scheme="rsa")),
        of("with a path that is hardened", lambda told: told.update(derivation_path="m/1'")),
        of("with signers that are no list", lambda told: told.update(signers="p1")),
        Delivery(
            name="a result: with a field twice",
            asked=asked,
            body=json.dumps(good).encode()[:-1] + b',"status":"completed"}',
            refused=MALFORMED,
        ),
        Delivery(name="a result: that is a list", asked=asked, body=b"[]", refused=MALFORMED),
        Delivery(name="a result: that is nothing", asked=asked, body=b"", refused=MALFORMED),
        Delivery(name="a result: cut short", asked=asked, body=b'{"result":', refused=MALFORMED),
    ]
