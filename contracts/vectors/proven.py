"""What parties prove: keys, their children, signatures, and that they have signed nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from ..client.settlement import Group, settle
from ..derivation import derive, parse_path
from ..ecdsa import EcdsaSignature
from ..keys import CERTIFICATE_TAGS, CertifiedKey, EpochName, Holder, KeyFacts, Origin, Resharing
from ..primitives import Curve, Owner, Scheme, Status
from ..requests import KeygenRequest
from ..results import CancelResult, EcdsaForms
from ..secp256k1 import ORDER
from ..statements import EPOCHS_TAG, STATEMENT_TAG, Statement
from ..verification import check_key, check_point, check_signature, verifying_key
from .hands import (
    ED25519,
    HANDS,
    NOW,
    PARTIES,
    PATH,
    SECP256K1,
    SPARE,
    STRANGER,
    certified,
    public_keys,
)
from .refusals import reason_of
from .spoken import KEYGEN, RESHARE, request


def children() -> dict[str, Any]:
    """BIP-32 without hardening."""
    chain_code = bytes([6]) * 32
    paths = ("m", "m/0", "m/2147483647", PATH, "m" + "/1" * 16)
    refused = ("", "m/", "n/0", "m/-1", "m/01", "m/1'", "m/2147483648", "m" + "/1" * 17, "m/ 1")
    return {
        "public_key": SECP256K1.public_key.hex(),
        "chain_code": chain_code.hex(),
        "children": [
            {
                "path": path,
                "public_key": child.public_key.hex(),
                "chain_code": child.chain_code.hex(),
                "tweak": child.tweak.hex(),
            }
            for path in paths
            for child in (derive(SECP256K1.public_key, chain_code, parse_path(path)),)
        ],
        "refused": [
            {"path": path, "reason": reason_of(partial(parse_path, path))} for path in refused
        ],
    }


def reshared() -> Resharing:
    """From the first epoch of the key on ed25519."""
    return Resharing(
        session_id=bytes([9]) * 32,
        predecessor=ED25519.facts().digest(),
        dealers=["p1", "p2"],
    )


def anew(**changes: Any) -> KeyFacts:
    """Of an epoch that was made of the first one, as `spoken.RESHARE` asks for it."""
    holders = [
        Holder(party_id=name, identity=PARTIES[name].public.der, public_share=ED25519.public_key)
        for name in RESHARE["parties"]
    ]
    given = {"version": 3, "epoch": 1, "holders": holders, "reshared": reshared()}
    return ED25519.facts(**(given | changes))


def certificates() -> dict[str, Any]:
    """Keys as a client is told of them: the bytes that parties sign, and which keys it takes."""
    twice = ED25519.facts().holders[:1] * 2
    spare = (
        ED25519.facts()
        .holders[0]
        .model_copy(update={"party_id": "p4", "identity": SPARE.public.der})
    )
    odd = ED25519.certified()
    short = {name: odd.certificates[name] for name in ("p1", "p2")}
    swapped = {**odd.certificates, "p1": odd.certificates["p2"]}
    unknown = ED25519.facts(holders=[*ED25519.facts().holders, spare])
    same_identity = [
        ED25519.facts().holders[0],
        ED25519.facts().holders[1].model_copy(update={"identity": PARTIES["p1"].public.der}),
    ]
    keys: dict[str, CertifiedKey] = {
        "on ed25519": ED25519.certified(),
        "on secp256k1": SECP256K1.certified(),
        "for two schemes": SECP256K1.certified(schemes=[Scheme.BIP340, Scheme.ECDSA]),
        "of a later epoch": ED25519.certified(epoch=2),
        "of shares that were made anew": certified(anew()),
        "made anew by others": certified(
            anew(reshared=reshared().model_copy(update={"dealers": ["p1", "p3"]}))
        ).model_copy(update={"certificates": certified(anew()).certificates}),
        "imported": ED25519.certified(origin=Origin.IMPORTED),
        "of version 1": certified(ED25519.facts(version=1, request_digest=None, origin=None)),
        "another client's": ED25519.certified(client_id="svcB"),
        "of nobody with an id": ED25519.certified(client_id=None),
        "a tenant's": ED25519.certified(tenant="alice"),
        "one certificate is missing": odd.model_copy(update={"certificates": short}),
        "a certificate is another party's": odd.model_copy(update={"certificates": swapped}),
        "certified before it was changed": odd.model_copy(
            update={"facts": ED25519.facts(threshold=3)}
        ),
        "certified with the tag of version 1": odd.model_copy(
            update={
                "certificates": {
                    name: each.sign(CERTIFICATE_TAGS[1], ED25519.facts().statement())
                    for name, each in PARTIES.items()
                }
            }
        ),
        "a party that is not pinned": certified(unknown),
        "a party of another identity": certified(
            ED25519.facts(
                holders=[
                    ED25519.facts().holders[0].model_copy(update={"identity": STRANGER.public.der}),
                    *ED25519.facts().holders[1:],
                ]
            )
        ),
        "a party twice": certified(ED25519.facts(holders=twice)),
        "two parties of one identity": certified(ED25519.facts(holders=same_identity)),
        "more signers than parties": ED25519.certified(threshold=4),
        "a key of small order": ED25519.certified(public_key=bytes([1]) + bytes(31)),
        "a key that is no point": SECP256K1.certified(public_key=bytes([2]) + b"\xff" * 32),
        "a key of another curve": ED25519.certified(public_key=SECP256K1.public_key),
    }
    points = {
        "a key": (Curve.ED25519, ED25519.public_key),
        "not on the curve": (Curve.ED25519, bytes([2]) + bytes(31)),
        "the identity": (Curve.ED25519, bytes([1]) + bytes(31)),
        "of order 4": (Curve.ED25519, bytes(32)),
        "not canonical": (Curve.ED25519, (2**255 - 19 + 3).to_bytes(32, "little")),
        "a key of 33 bytes": (Curve.SECP256K1, SECP256K1.public_key),
        "not compressed": (Curve.SECP256K1, b"\x04" + bytes(64)),
        "x beyond the field": (Curve.SECP256K1, b"\x02" + b"\xff" * 32),
        "x of no point": (Curve.SECP256K1, b"\x02" + (5).to_bytes(32)),
    }
    return {
        "parties": public_keys(),
        "client_id": "svcA",
        "tenant": None,
        "cases": [_certificate(name, key) for name, key in keys.items()],
        "points": [
            {
                "name": name,
                "curve": curve,
                "point": point.hex(),
                "reason": reason_of(partial(check_point, curve, point)),
            }
            for name, (curve, point) in points.items()
        ],
    }


def _certificate(name: str, key: CertifiedKey) -> dict[str, Any]:
    pinned = {party_id: each.public for party_id, each in PARTIES.items()}
    return {
        "name": name,
        "tag": CERTIFICATE_TAGS[key.facts.version].decode(),
        "statement": key.facts.statement().hex(),
        "key": json.loads(key.model_dump_json()),
        "reason": reason_of(lambda: check_key(key, pinned=pinned, client_id="svcA", tenant=None)),
    }


def signatures() -> dict[str, Any]:
    """In every scheme: those that verify, and those that must not."""
    digest, text = bytes(range(32)), b"\0 leading zeros stay"
    cases: list[dict[str, Any]] = []

    def add(
        name: str,
        scheme: Scheme,
        message: bytes,
        signature: bytes,
        *,
        root: bytes | None = None,
        public_key: bytes | None = None,
    ) -> None:
        key = HANDS[scheme.curve].public_key
        verifying = public_key or verifying_key(key, scheme, root)
        reason = reason_of(lambda: check_signature(scheme, verifying, message, signature))
        forms = (
            EcdsaForms.of(signature).model_dump(mode="json")
            if scheme is Scheme.ECDSA and reason is None
            else None
        )
        cases.append(
            {
                "name": name,
                "scheme": scheme,
                "key": key.hex(),
                "taproot_merkle_root": None if root is None else root.hex(),
                "public_key": verifying.hex(),
                "message": message.hex(),
                "signature": signature.hex(),
                "ecdsa": forms,
                "reason": reason,
            }
        )

    for scheme in Scheme:
        hand = HANDS[scheme.curve]
        message = digest if scheme.message_size else text
        made = hand.sign(scheme, message)
        add("good", scheme, message, made)
        add("over another message", scheme, message[:-1] + b"?", made)
        add("one byte short", scheme, message, made[:-1])
        add("one byte more", scheme, message, made + b"\0")
        add("one bit of R", scheme, message, bytes([made[0] ^ 1]) + made[1:])
        add("one bit of s", scheme, message, made[:40] + bytes([made[40] ^ 1]) + made[41:])
        add("nothing but zeros", scheme, message, bytes(len(made)))
    for root in (b"", bytes([3]) * 32):
        made = SECP256K1.sign(Scheme.BIP340, digest, root)
        add(f"for an output key, root of {len(root)}", Scheme.BIP340, digest, made, root=root)
        add(f"not for that output key, {len(root)}", Scheme.BIP340, digest, made)
    made = SECP256K1.sign(Scheme.ECDSA, digest)
    r, s, recovery = made[:32], int.from_bytes(made[32:64]), made[64]
    high = r + (ORDER - s).to_bytes(32) + bytes([recovery ^ 1])
    add("a high s", Scheme.ECDSA, digest, high)
    add("another recovery id", Scheme.ECDSA, digest, made[:64] + bytes([recovery ^ 1]))
    add("a recovery id of 4", Scheme.ECDSA, digest, made[:64] + bytes([4]))
    add("r is the order", Scheme.ECDSA, digest, ORDER.to_bytes(32) + made[32:])
    add("a digest of 31 bytes", Scheme.ECDSA, digest[:31], made)
    frost = SECP256K1.sign(Scheme.SECP256K1, text)
    wide = (int.from_bytes(frost[33:]) + ORDER).to_bytes(33)[-32:]
    add("z beyond the order", Scheme.SECP256K1, text, frost[:33] + b"\xff" * 32)
    add("z with the order added", Scheme.SECP256K1, text, frost[:33] + wide)
    edwards = ED25519.sign(Scheme.ED25519, text)
    order = 2**252 + 27742317777372353535851937790883648493
    s = int.from_bytes(edwards[32:], "little") + order
    add("s with the order added", Scheme.ED25519, text, edwards[:32] + s.to_bytes(32, "little"))
    identity = bytes([1]) + bytes(31)
    add("R is the identity", Scheme.ED25519, text, identity + edwards[32:])
    add("a key of small order", Scheme.ED25519, text, identity + bytes(32), public_key=identity)
    forms = [
        EcdsaForms.of(signature.to_bytes()).model_dump(mode="json")
        for signature in (
            EcdsaSignature(1, 1, 0),
            EcdsaSignature(ORDER - 1, ORDER // 2, 1),
            EcdsaSignature(2**255, 2**128, 3),
        )
    ]
    return {"cases": cases, "ecdsa_forms": forms}


def statements() -> dict[str, Any]:
    """What counts of what parties state, and what it proves."""
    owner = Owner(client_id="svcA", tenant=None)
    facts = ED25519.facts()

    def by(party_id: str, **changes: Any) -> Statement:
        given: dict[str, Any] = {
            "issued_from": NOW - 1000,
            "issued_until": NOW + 1000,
            "key_session": facts.session_id,
            "epochs": [],
        } | changes
        identity = {**PARTIES, "p4": SPARE}[party_id]
        return Statement.signed(identity, party_id, given.pop("owner", owner), "r0", **given)

    plain = {name: by(name, key_session=None, epochs=None) for name in PARTIES}
    stated = {name: by(name) for name in PARTIES}
    everyone = list(stated.values())
    late = by("p3", issued_from=NOW + 1)
    tenant = by("p3", owner=Owner(client_id="svcA", tenant="alice"))
    forged = everyone[0].model_copy(update={"party_id": "p2"})
    second, told = anew(threshold=2), [facts]
    made = _named(second)
    elsewhere = EpochName(epoch=1, session_id=bytes([10]) * 32)
    third = EpochName(epoch=2, session_id=bytes([11]) * 32)
    moved = [by(name, epochs=[made]) for name in PARTIES]
    cases: Mapping[str, tuple[dict[str, Any], int | None, KeyFacts | KeygenRequest | None]] = {
        "all three": ({"statements": everyone}, None, facts),
        "two of three": ({"statements": everyone[:2]}, None, facts),
        "two of three, and no liar": ({"statements": everyone[:2]}, 0, facts),
        "one of three": ({"statements": everyone[:1]}, 0, facts),
        "one of them twice": ({"statements": [*everyone[:1], *everyone[:1]]}, 0, facts),
        "one about another time": ({"statements": [*everyone[:2], late]}, None, facts),
        "one about a tenant's": ({"statements": [*everyone[:2], tenant]}, None, facts),
        "one of a party that holds no share": (
            {"statements": [*everyone[:2], by("p4")]},
            None,
            facts,
        ),
        "one in another's name": ({"statements": [everyone[0], forged]}, 0, facts),
        "none": ({"already_signed": ["p1"], "silent": ["p2", "p9"]}, 0, facts),
        "the request has completed": (
            {"statements": everyone, "target_status": Status.COMPLETED},
            0,
            facts,
        ),
        "nobody knows the key": ({"statements": everyone}, 0, None),
        "of a new key of named parties": (
            {"statements": list(plain.values())[:2]},
            None,
            _keygen(parties=["p1", "p2"], party_count=2),
        ),
        "of a new key of any parties": (
            {"statements": everyone},
            None,
            _keygen(),
        ),
        "of a key that most do not hold": (
            {"statements": everyone[:2]},
            0,
            ED25519.facts(holders=ED25519.facts().holders[:2]),
        ),
        "none of them tells of the key": ({"statements": list(plain.values())}, 0, facts),
        "one of another key": (
            {"statements": [*everyone[:2], by("p3", key_session=bytes(32))]},
            None,
            facts,
        ),
        "former holders, of whom one tells of another epoch": (
            {"statements": [*everyone[:2], moved[2]]},
            None,
            facts,
        ),
        "former holders who all tell of another epoch": ({"statements": moved}, 0, facts),
        "an epoch that was signed is left out": (
            {"statements": [*everyone[:2], moved[2].model_copy(update={"epochs": []})]},
            None,
            facts,
        ),
        "one that told of no key is said to": (
            {
                "statements": [
                    *everyone[:2],
                    everyone[2].model_copy(update={"signature": plain["p3"].signature}),
                ]
            },
            None,
            facts,
        ),
        "of a later epoch, by both committees": (
            {"statements": [*moved, by("p4", epochs=[made])], "epochs": told},
            None,
            second,
        ),
        "of a later epoch, and nobody tells of it": (
            {"statements": [*everyone, by("p4")], "epochs": told},
            None,
            second,
        ),
        "of a later epoch, by too few of the former holders": (
            {"statements": moved[1:], "epochs": told},
            None,
            second,
        ),
        "of a later epoch, and one tells of a third": (
            {"statements": [*moved[:2], by("p3", epochs=[made, third])], "epochs": told},
            None,
            second,
        ),
        "of a later epoch, and one tells of another of its number": (
            {"statements": [*moved[:2], by("p3", epochs=[elsewhere])], "epochs": told},
            None,
            second,
        ),
        "of a later epoch, and one tells of both that have its number": (
            {"statements": [*moved[:2], by("p3", epochs=[made, elsewhere])], "epochs": told},
            None,
            second,
        ),
        "of a later epoch that comes from nowhere": ({"statements": moved}, 0, second),
        "of a later epoch that comes from another": (
            {"statements": moved, "epochs": [ED25519.facts(threshold=3)]},
            0,
            second,
        ),
    }
    return {
        "tag": STATEMENT_TAG.decode(),
        "tag_of_a_key": EPOCHS_TAG.decode(),
        "parties": public_keys(p4=SPARE),
        "owner": owner.model_dump(),
        "target": "r0",
        "issued_at": NOW,
        "contents": [
            {
                "statement": json.loads(each.model_dump_json()),
                "content": each.content(owner, "r0").hex(),
            }
            for each in (
                *plain.values(),
                everyone[0],
                by("p1", epochs=[elsewhere, made, third.model_copy(update={"epoch": 2**32 - 1})]),
            )
        ],
        "cases": [_settled(name, *given, owner) for name, given in cases.items()],
    }


def _named(facts: KeyFacts) -> EpochName:
    assert facts.name is not None
    return facts.name


def _keygen(**changes: Any) -> KeygenRequest:
    made = request("keygen", **{**KEYGEN, "request_id": "r0", **changes})
    assert isinstance(made, KeygenRequest)
    return made


def _settled(
    name: str,
    told: dict[str, Any],
    liars: int | None,
    of: KeyFacts | KeygenRequest | None,
    owner: Owner,
) -> dict[str, Any]:
    result = CancelResult(
        request_id="r1",
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=NOW,
        target="r0",
        **told,
    )
    pinned = {party_id: each.public for party_id, each in {**PARTIES, "p4": SPARE}.items()}
    group = None
    if isinstance(of, KeyFacts):
        group = Group.of_key(of, pinned, result.epochs)
    elif of is not None:
        group = Group.of_new_key(of, pinned)
    settled = settle(result, group, owner, issued_at=NOW, liars=liars)
    return {
        "name": name,
        "liars": liars,
        "key": json.loads(of.model_dump_json()) if isinstance(of, KeyFacts) else None,
        "keygen": json.loads(of.model_dump_json()) if isinstance(of, KeygenRequest) else None,
        "result": json.loads(result.model_dump_json()),
        "counted": [each.party_id for each in settled.statements],
        "already_signed": list(settled.already_signed),
        "silent": list(settled.silent),
        "liars_tolerated": settled.liars_tolerated,
        "final": settled.final,
    }
