"""Results of signatures, and of those that failed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import results as models
from ...failures import Failure, FailureCode
from ...primitives import Scheme, Status
from ...results import EcdsaForms, SignedItem
from ...signing import SignedRequest
from ...verification import child, verifying_key
from .. import spoken
from ..hands import HANDS, PATH
from .deliveries import ANOTHERS, DISBELIEVED, MALFORMED, Changes, Delivery, base, changed


def signed_item(scheme: Scheme, message: bytes, path: str | None, root: bytes | None) -> Any:
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


def sign_result(asked: SignedRequest) -> models.SignResult:
    request: Any = asked.request
    items = [
        signed_item(request.scheme, task.message, task.derivation_path, request.taproot_merkle_root)
        for task in request.tasks
    ]
    fields: dict[str, Any] = (
        {"items": items}
        if request.items is not None
        else {name: getattr(items[0], name) for name in SignedItem.model_fields}
    )
    return models.SignResult(
        **base(asked),
        key_id=request.key_id,
        scheme=request.scheme,
        taproot_merkle_root=request.taproot_merkle_root,
        signers=["p1", "p3"],
        **fields,
    )


def signatures() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    good = sign_result(asked)
    assert good.signature is not None
    other = signed_item(Scheme.ED25519, b"another message", None, None)
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
    cases = [*changed("a signature", asked, good, changes)]
    named = spoken.signed("sign", **{**spoken.SIGN, "signers": ["p1", "p2"]})
    cases += changed(
        "a signature of named signers",
        named,
        sign_result(named).model_copy(update={"signers": ["p2", "p1"]}),
        {"of others": ({"signers": ["p1", "p3"]}, DISBELIEVED)},
    )
    path = spoken.signed("sign", **{**spoken.ECDSA, "derivation_path": PATH})
    derived = sign_result(path)
    own = signed_item(Scheme.ECDSA, bytes(32), None, None)
    cases += changed(
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
    internal = signed_item(Scheme.BIP340, bytes(32), None, None)
    cases += changed(
        "an output key's signature",
        root,
        sign_result(root),
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
    several = sign_result(listed)
    assert several.items is not None
    cases += changed(
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
            body=sign_result(frost).model_dump_json().encode(),
            refused=DISBELIEVED,
        )
    ]
    unknown = spoken.signed("sign", **{**spoken.SIGN, "key_id": "unknown"})
    cases += [
        Delivery(
            name="a signature of a key that nobody certified",
            asked=unknown,
            body=sign_result(unknown).model_dump_json().encode(),
            refused=DISBELIEVED,
        )
    ]
    return cases


def failures() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    failed = models.SignResult(
        **base(
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
    return changed("a failure", asked, failed, changes)
