"""A client with nothing of Warren: the README's contract, as any language could write it.

    python raw_client.py AMQP_URL CLIENT_ID PRIVATE_KEY_FILE PARTIES_FILE COORDINATOR

makes a 2-of-3 ed25519 key, signs with it, verifies both, and prints the signature. PARTIES_FILE is
JSON: party id -> base64 public identity; COORDINATOR is that of the coordinator.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ECDSA = ec.ECDSA(hashes.SHA256())


def pack(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def new_request(operation: str, client_id: str, signer: bytes, **fields: Any) -> dict[str, Any]:
    now = int(time.time() * 1000)
    kind, subject = {
        "keygen": ("mpc_keygen_result", fields["key_id"]),
        "sign": ("mpc_signing_result", "complete"),
    }[operation]
    return {
        "version": 1,
        "operation": operation,
        "request_id": secrets.token_hex(16),
        "client_id": client_id,
        "signer": base64.b64encode(signer).decode(),
        "issued_at": now,
        "expires_at": now + 60_000,
        "reply_to": f"mpc.{kind}.{client_id}.{subject}",
        **fields,
    }


def check_key(key: dict[str, Any], parties: dict[str, str], request_digest: bytes) -> None:
    """A key of this client's own, as all new ones are certified."""
    facts = key["facts"]
    statement = pack(
        b"\x02",
        b"\x01" + facts["client_id"].encode(),
        facts["key_id"].encode(),
        bytes.fromhex(facts["session_id"]),
        facts["epoch"].to_bytes(4, "big"),
        facts["curve"].encode(),
        facts["threshold"].to_bytes(1, "big"),
        bytes.fromhex(facts["public_key"]),
        bytes.fromhex(facts["chain_code"]),
        pack(
            *(
                part
                for holder in facts["holders"]
                for part in (
                    holder["party_id"].encode(),
                    base64.b64decode(holder["identity"]),
                    bytes.fromhex(holder["public_share"]),
                )
            )
        ),
        bytes.fromhex(facts["transcript_digest"]),
        b"",
        request_digest,
        pack(b"ed25519"),
        b"generated",
    )
    for holder in facts["holders"]:
        identity = parties[holder["party_id"]]
        if holder["identity"] != identity:
            raise ValueError(f"{holder['party_id']} has another identity than we know")
        public = serialization.load_der_public_key(base64.b64decode(identity))
        assert isinstance(public, ec.EllipticCurvePublicKey)
        certificate = base64.b64decode(key["certificates"][holder["party_id"]])
        public.verify(certificate, pack(b"warren/key-certificate/v2", statement), ECDSA)


def check_result(message: AbstractIncomingMessage, request: bytes, coordinator: str) -> None:
    """Raises if the coordinator does not answer this request with it."""
    public = serialization.load_der_public_key(base64.b64decode(coordinator))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    signature = base64.b64decode(str(message.headers["signature"]))
    public.verify(signature, pack(b"warren/result/v1", message.body), ECDSA)
    if json.loads(message.body)["request_digest"] != hashlib.sha256(request).hexdigest():
        raise ValueError("the result answers another request")


async def main(
    amqp_url: str, client_id: str, private_key: str, parties: dict[str, str], coordinator: str
) -> None:
    private = serialization.load_der_private_key(base64.b64decode(private_key), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signer = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange("warren.requests", ensure=False)
        queue = await channel.get_queue(f"warren.results.{client_id}", ensure=False)

        async def ask(request: dict[str, Any], routing_key: str) -> dict[str, Any]:
            body = json.dumps(request).encode()
            signature = private.sign(pack(b"warren/request/v1", body), ECDSA)
            await exchange.publish(
                aio_pika.Message(
                    body,
                    content_type="application/json",
                    message_id=request["request_id"],
                    headers={"signature": base64.b64encode(signature).decode()},
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                ),
                routing_key,
                mandatory=True,
            )
            async with asyncio.timeout(60), queue.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    result: dict[str, Any] = json.loads(message.body)
                    if result["request_id"] == request["request_id"]:
                        check_result(message, body, coordinator)
                        if result["status"] != "completed":
                            raise RuntimeError(result["failure"]["message"])
                        return result
            raise RuntimeError("the queue is gone")

        key_id = f"raw-{secrets.token_hex(4)}"
        keygen = new_request(
            "keygen",
            client_id,
            signer,
            key_id=key_id,
            curve="ed25519",
            threshold=2,
            party_count=3,
            schemes=["ed25519"],
        )
        key = (await ask(keygen, f"mpc.keygen_request.{client_id}"))["key"]
        check_key(key, parties, hashlib.sha256(json.dumps(keygen).encode()).digest())

        message = b"\0 from any language"
        sign = new_request(
            "sign", client_id, signer, key_id=key_id, scheme="ed25519", message=message.hex()
        )
        signature = bytes.fromhex(
            (await ask(sign, f"mpc.signing_request.{client_id}"))["signature"]
        )
        public_key = bytes.fromhex(key["facts"]["public_key"])
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
        sys.stdout.write(signature.hex() + "\n")


if __name__ == "__main__":
    url, name, key_file, parties_file, coordinators_key = sys.argv[1:]
    trusted = json.loads(Path(parties_file).read_text())
    asyncio.run(main(url, name, Path(key_file).read_text(), trusted, coordinators_key))
