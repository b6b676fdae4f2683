"""Signs with a key of a key management service: python kms_signer.py client.toml KEY_ID

The service here is AWS KMS, with a key of the kind ECC_NIST_P256 for SIGN_VERIFY; others differ in
their client only. `client.toml` has no private key then. Operators enter what `GetPublicKey` gives.
"""

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Any

from warren_client import Client, ClientSettings, Curve, PublicIdentity, Scheme, ServiceSigner


def signer_of(kms: Any, key_id: str) -> ServiceSigner:
    """Arguments: kms: `boto3.client("kms")`, or whatever has its two methods."""

    async def sign(data: bytes) -> bytes:
        # The service takes 4096 bytes at most, and requests may be longer: it signs their digest.
        digest = hashlib.sha256(data).digest()
        signed = await asyncio.to_thread(
            kms.sign,
            KeyId=key_id,
            Message=digest,
            MessageType="DIGEST",
            SigningAlgorithm="ECDSA_SHA_256",
        )
        return bytes(signed["Signature"])

    public = PublicIdentity(bytes(kms.get_public_key(KeyId=key_id)["PublicKey"]))
    return ServiceSigner(public, sign)


async def main(configuration: Path, kms: Any, key_id: str) -> None:
    settings = ClientSettings.load(configuration, signer=signer_of(kms, key_id))
    async with Client.connect(settings) as client:
        key = await client.create_key("by-kms", curve=Curve.ED25519, threshold=2, party_count=3)
        done = await client.sign(key.facts.key_id, message=b"signed", scheme=Scheme.ED25519)
        for made in done.signed:
            print(made.signature.hex())


if __name__ == "__main__":
    import boto3

    asyncio.run(main(Path(sys.argv[1]), boto3.client("kms"), sys.argv[2]))
