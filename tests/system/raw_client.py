"""A client with nothing of Warren: the README's contract, as any language could write it.

    python raw_client.py AMQP_URL CLIENT_ID PRIVATE_KEY_FILE PARTIES_FILE COORDINATOR

makes two 2-of-3 keys, signs with them in all four schemes, asks for what it has made, cancels, and
verifies whatever it is told; prints one line for each thing that it has found to be so.
PARTIES_FILE is JSON: party id -> base64 public identity; COORDINATOR is that of the coordinator.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ECDSA = ec.ECDSA(hashes.SHA256())

###
### Encodings
###


def pack(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def optional(name: str | None) -> bytes:
    return b"" if name is None else b"\x01" + name.encode()


def verify(identity: str, signature: str, tag: bytes, data: bytes) -> None:
    """Raises InvalidSignature. Both are base64, as they stand in messages and files."""
    public = serialization.load_der_public_key(base64.b64decode(identity))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    public.verify(base64.b64decode(signature), pack(tag, data), ECDSA)


def same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ValueError(f"{what} is {found!r}, and not {expected!r}")


###
### Keys and signatures
###


def statement(facts: Mapping[str, Any]) -> bytes:
    holders: list[bytes] = []
    for each in facts["holders"]:
        holders += [each["party_id"].encode(), base64.b64decode(each["identity"])]
        holders += [bytes.fromhex(each["public_share"])]
    schemes = facts["schemes"]
    return pack(
        b"\x02",
        optional(facts["client_id"]),
        facts["key_id"].encode(),
        bytes.fromhex(facts["session_id"]),
        facts["epoch"].to_bytes(4, "big"),
        facts["curve"].encode(),
        facts["threshold"].to_bytes(1, "big"),
        bytes.fromhex(facts["public_key"]),
        bytes.fromhex(facts["chain_code"]),
        pack(*holders),
        bytes.fromhex(facts["transcript_digest"]),
        optional(facts["tenant"]),
        bytes.fromhex(facts["request_digest"]),
        b"" if schemes is None else pack(*(scheme.encode() for scheme in schemes)),
        facts["origin"].encode(),
    )


def check_key(
    key: Mapping[str, Any], asked: Mapping[str, Any], body: bytes, parties: Mapping[str, str]
) -> None:
    """Raises unless all its parties have certified it, to be what this request asked for."""
    facts = key["facts"]
    for name in ("client_id", "key_id", "curve", "threshold", "schemes"):
        same(name, facts[name], asked.get(name))
    same("version", facts["version"], 2)
    same("tenant", facts["tenant"], None)
    same("origin", facts["origin"], "generated")
    same("request_digest", facts["request_digest"], hashlib.sha256(body).hexdigest())
    same("holders", len({each["party_id"] for each in facts["holders"]}), asked["party_count"])
    for holder in facts["holders"]:
        party_id = holder["party_id"]
        same(f"identity of {party_id}", holder["identity"], parties[party_id])
        certificate = key["certificates"][party_id]
        verify(parties[party_id], certificate, b"warren/key-certificate/v2", statement(facts))


Point = tuple[int, int] | None
"""Of secp256k1; None is infinity."""
FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)


def add(p: Point, q: Point) -> Point:
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and (p[1] + q[1]) % FIELD == 0:
        return None
    if p == q:
        slope = 3 * p[0] * p[0] * pow(2 * p[1], -1, FIELD) % FIELD
    else:
        slope = (q[1] - p[1]) * pow(q[0] - p[0], -1, FIELD) % FIELD
    x = (slope * slope - p[0] - q[0]) % FIELD
    return x, (slope * (p[0] - x) - p[1]) % FIELD


def times(k: int, p: Point) -> Point:
    total: Point = None
    for bit in f"{k % ORDER:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, p)
    return total


def point(compressed: bytes) -> Point:
    x = int.from_bytes(compressed[1:], "big")
    y = pow(x**3 + 7, (FIELD + 1) // 4, FIELD)
    assert y * y % FIELD == (x**3 + 7) % FIELD
    return x, y if y % 2 == compressed[0] % 2 else FIELD - y


def encoded(p: Point) -> bytes:
    assert p is not None
    return bytes([2 + p[1] % 2]) + p[0].to_bytes(32, "big")


def child(public_key: bytes, chain_code: bytes, path: str) -> bytes:
    """BIP-32."""
    for step in path.split("/")[1:]:
        data = public_key + int(step).to_bytes(4, "big")
        digest = hmac.new(chain_code, data, hashlib.sha512).digest()
        tweak, chain_code = digest[:32], digest[32:]
        public_key = encoded(add(times(int.from_bytes(tweak, "big"), GENERATOR), point(public_key)))
    return public_key


def tagged(tag: str, data: bytes) -> int:
    """BIP-340's hash."""
    name = hashlib.sha256(tag.encode()).digest()
    return int.from_bytes(hashlib.sha256(name + name + data).digest(), "big")


def rfc9591_challenge(data: bytes) -> int:
    """H2 of FROST(secp256k1, SHA-256): hash_to_field of RFC 9380 for one scalar."""
    domain = b"FROST-secp256k1-SHA256-v1chal"
    domain += bytes([len(domain)])
    first = hashlib.sha256(bytes(64) + data + bytes([0, 48, 0]) + domain).digest()
    block = hashlib.sha256(first + b"\x01" + domain).digest()
    mixed = bytes(a ^ b for a, b in zip(first, block, strict=True))
    uniform = block + hashlib.sha256(mixed + b"\x02" + domain).digest()
    return int.from_bytes(uniform[:48], "big") % ORDER


def check_bip340(public_key: bytes, message: bytes, signature: bytes) -> None:
    r, s = signature[:32], int.from_bytes(signature[32:], "big")
    e = tagged("BIP0340/challenge", r + public_key + message)
    commitment = add(times(s, GENERATOR), times(-e, point(b"\x02" + public_key)))
    same("R", encoded(commitment), b"\x02" + r)


def check_frost(public_key: bytes, message: bytes, signature: bytes) -> None:
    commitment, z = signature[:33], int.from_bytes(signature[33:], "big")
    c = rfc9591_challenge(commitment + public_key + message)
    same("z G", times(z, GENERATOR), add(point(commitment), times(c, point(public_key))))


def check_ecdsa(public_key: bytes, message: bytes, signature: bytes) -> None:
    """The key that the signature leads to, by its recovery id, is the one."""
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:64]))
    assert s <= ORDER // 2
    recovery_id = signature[64]
    x = r + ORDER * (recovery_id >> 1)
    commitment = point(bytes([2 + recovery_id % 2]) + x.to_bytes(32, "big"))
    digest = int.from_bytes(message, "big")
    both = add(times(s, commitment), times(-digest, GENERATOR))
    same("recovered key", encoded(times(pow(r, -1, ORDER), both)), public_key)


CHECKS = {
    "ed25519": lambda key, message, made: Ed25519PublicKey.from_public_bytes(key).verify(
        made, message
    ),
    "bip340": check_bip340,
    "secp256k1": check_frost,
    "ecdsa": check_ecdsa,
}


def check_signed(
    result: Mapping[str, Any], key: Mapping[str, Any], asked: Mapping[str, Any]
) -> None:
    """Raises unless the result has what verifies over the request's own message, under the key."""
    facts, scheme, path = key["facts"], asked["scheme"], asked.get("derivation_path")
    for name in ("key_id", "scheme", "message"):
        same(name, result[name], asked[name])
    same("derivation_path", result["derivation_path"], path)
    same("signers", len(set(result["signers"])), facts["threshold"])
    public_key = bytes.fromhex(facts["public_key"])
    if path is not None:
        public_key = child(public_key, bytes.fromhex(facts["chain_code"]), path)
    if scheme == "bip340":
        public_key = public_key[1:]
        if (root := asked.get("taproot_merkle_root")) is not None:
            tweak = tagged("TapTweak", public_key + bytes.fromhex(root))
            output = add(point(b"\x02" + public_key), times(tweak, GENERATOR))
            public_key = encoded(output)[1:]
    same("public_key", result["public_key"], public_key.hex())
    signature = bytes.fromhex(result["signature"])
    CHECKS[scheme](public_key, bytes.fromhex(asked["message"]), signature)
    same("ecdsa", result["ecdsa"] is not None, scheme == "ecdsa")
    if scheme == "ecdsa":
        same("compact", result["ecdsa"]["compact"], signature[:64].hex())
        same(
            "ethereum",
            result["ecdsa"]["ethereum"],
            (signature[:64] + bytes([27 + signature[64]])).hex(),
        )


###
### Cancelling
###


def liars_tolerated(
    result: Mapping[str, Any], target: Mapping[str, Any], key: Mapping[str, Any]
) -> int:
    """So many parties may have lied, and still nothing comes of the target, a signing request with
    a key whose shares are the first: whoever knows of others says so, and does not count."""
    facts = key["facts"]
    identities = {each["party_id"]: each["identity"] for each in facts["holders"]}
    stated = set()
    for said in result["statements"]:
        party_id, since, until = said["party_id"], said["issued_from"], said["issued_until"]
        if party_id not in identities or not since <= target["issued_at"] <= until:
            continue
        if said["key_session"] != facts["session_id"] or said["epochs"]:
            continue
        content = pack(
            optional(target["client_id"]),
            optional(None),
            target["request_id"].encode(),
            party_id.encode(),
            since.to_bytes(8, "big"),
            until.to_bytes(8, "big"),
            bytes.fromhex(said["key_session"]),
            pack(),
        )
        verify(identities[party_id], said["signature"], b"warren/never-signed/v2", content)
        stated.add(party_id)
    threshold: int = facts["threshold"]
    return len(stated) - (len(identities) - threshold) - 1


###
### Asking
###

WORDS = {"sign": "signing", "query_keys": "query", "query_session": "query"}
"""Of operations in routing keys, where they have another."""


class Raw:
    """One client id's requests and results, by nothing but AMQP and JSON."""

    def __init__(
        self,
        exchange: aio_pika.abc.AbstractExchange,
        queue: aio_pika.abc.AbstractQueue,
        client_id: str,
        private: ec.EllipticCurvePrivateKey,
        coordinator: str,
    ) -> None:
        self._exchange, self._queue, self._client_id = exchange, queue, client_id
        self._private, self._coordinator = private, coordinator
        der = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._signer = base64.b64encode(der).decode()
        self.announced: list[str] = []

    def request(self, operation: str, **fields: Any) -> dict[str, Any]:
        now = int(time.time() * 1000)
        made: dict[str, Any] = {
            "version": 1,
            "operation": operation,
            "request_id": secrets.token_hex(16),
            "client_id": self._client_id,
            "signer": self._signer,
            "issued_at": now,
            "expires_at": now + 60_000,
            "salt": secrets.token_urlsafe(16),
            **fields,
        }
        word = WORDS.get(operation, operation)
        subject = {"keygen": made.get("key_id"), "sign": "complete"}.get(operation)
        subject = subject or made["request_id"]
        return made | {"reply_to": f"mpc.mpc_{word}_result.{self._client_id}.{subject}"}

    async def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The result, and the bytes that it answers."""
        body, operation = json.dumps(request).encode(), request["operation"]
        signature = self._private.sign(pack(b"warren/request/v1", body), ECDSA)
        await self._exchange.publish(
            aio_pika.Message(
                body,
                message_id=request["request_id"],
                headers={"signature": base64.b64encode(signature).decode()},
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            ),
            f"mpc.{WORDS.get(operation, operation)}_request.{self._client_id}",
            mandatory=True,
        )
        async with asyncio.timeout(60), self._queue.iterator() as messages:
            async for message in messages:
                await message.ack()  # nobody else consumes this queue
                result = self._believed(message)
                if result["request_digest"] != hashlib.sha256(body).hexdigest():
                    continue
                if result["result"] == "session_announced":
                    self.announced.append(result["session_id"])
                    continue
                same("result", result["result"], request["operation"])
                same("reply_to", message.routing_key, request["reply_to"])
                return result, body
        raise RuntimeError("the queue is gone")

    async def done(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The same of a request that must not fail."""
        result, body = await self.ask(request)
        if result["status"] != "completed":
            raise RuntimeError(result["failure"]["message"])
        return result, body

    def _believed(self, message: AbstractIncomingMessage) -> dict[str, Any]:
        signature = str(message.headers["signature"])
        verify(self._coordinator, signature, b"warren/result/v1", message.body)
        believed: dict[str, Any] = json.loads(message.body)
        return believed


async def try_all(raw: Raw, parties: Mapping[str, str]) -> None:
    keys = {}
    for curve, schemes in (("ed25519", ["ed25519"]), ("secp256k1", None)):
        asked = raw.request(
            "keygen",
            key_id=f"raw-{secrets.token_hex(4)}",
            curve=curve,
            threshold=2,
            party_count=3,
            schemes=schemes,
            announce=True,
        )
        made, body = await raw.done(asked)
        check_key(made["key"], asked, body, parties)
        same("announced", raw.announced[-1:], [made["session_id"]])
        keys[curve] = made["key"]
        say("key", curve, made["key"]["facts"]["public_key"])

    digest = hashlib.sha256(b"a transaction").hexdigest()
    for curve, fields in (
        ("ed25519", {"scheme": "ed25519", "message": b"\0 from any language".hex()}),
        ("secp256k1", {"scheme": "secp256k1", "message": b"any length".hex()}),
        ("secp256k1", {"scheme": "bip340", "message": digest}),
        ("secp256k1", {"scheme": "bip340", "message": digest, "taproot_merkle_root": ""}),
        ("secp256k1", {"scheme": "ecdsa", "message": digest}),
        ("secp256k1", {"scheme": "ecdsa", "message": digest, "derivation_path": "m/44/60/0/0/7"}),
    ):
        asked = raw.request("sign", key_id=keys[curve]["facts"]["key_id"], **fields)
        made, body = await raw.done(asked)
        check_signed(made, keys[curve], asked)
        say("signature", asked["scheme"], made["signature"])

    await look_back(raw, keys["secp256k1"], asked, body)
    await cancel(raw, keys["ed25519"], asked)


async def look_back(raw: Raw, key: Mapping[str, Any], asked: dict[str, Any], body: bytes) -> None:
    """What is listed is what was made."""
    listed, _ = await raw.done(raw.request("query_keys", only=key["facts"]["key_id"]))
    same("keys", listed["keys"], [key])
    same("more", listed["more"], False)
    found, _ = await raw.done(raw.request("query_session", target=asked["request_id"]))
    same("request", base64.b64decode(found["request"]), body)
    same("outcome's status", found["outcome"]["status"], "completed")
    same("session's key", found["session"]["key_id"], asked["key_id"])
    check_signed(found["outcome"], key, asked)
    say("found again", asked["request_id"])


async def cancel(raw: Raw, key: Mapping[str, Any], signed: Mapping[str, Any]) -> None:
    """One request that has not been sent, and one that was served."""
    key_id = key["facts"]["key_id"]
    target = raw.request("sign", key_id=key_id, scheme="ed25519", message="00")
    times_of = {"target": target["request_id"], "target_issued_at": target["issued_at"]}
    named = {"key_session": key["facts"]["session_id"]}
    said, _ = await raw.done(raw.request("cancel", **times_of, **named))
    same("target_status", said["target_status"], None)
    same("already_signed", (said["already_signed"], said["silent"]), ([], []))
    same("liars tolerated", liars_tolerated(said, target, key), 1)  # t - 1: it is final
    late, _ = await raw.ask(target)
    same("failure", (late["status"], late["failure"]["code"]), ("cancelled", "cancelled"))
    say("final", target["request_id"])

    other = raw.request("sign", key_id=key_id, scheme="bip340", message="00" * 32)
    refused, _ = await raw.ask(other)
    same("failure", refused["failure"]["code"], "invalid_request")  # not the key's purpose
    served = {"target": signed["request_id"], "target_issued_at": signed["issued_at"]}
    said, _ = await raw.done(raw.request("cancel", **served))
    same("target_status", said["target_status"], "completed")
    say("completed", signed["request_id"])


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")


async def main(
    amqp_url: str, client_id: str, private_key: str, parties: dict[str, str], coordinator: str
) -> None:
    private = serialization.load_der_private_key(base64.b64decode(private_key), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("warren.requests", ensure=False)
        queue = await channel.get_queue(f"warren.results.{client_id}", ensure=False)
        await try_all(Raw(exchange, queue, client_id, private, coordinator), parties)


if __name__ == "__main__":
    url, name, key_file, parties_file, coordinators_key = sys.argv[1:]
    trusted = json.loads(Path(parties_file).read_text())
    asyncio.run(main(url, name, Path(key_file).read_text(), trusted, coordinators_key))
