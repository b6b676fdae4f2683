"""Makes two keys and signs with each: python first_signature.py client.toml"""

import asyncio
import hashlib
import secrets
import sys
from pathlib import Path

from warren_client import Client, ClientError, ClientSettings, Curve, Scheme


async def main(configuration: Path) -> None:
    run = secrets.token_hex(4)  # an id is a key's for good
    async with Client.connect(ClientSettings.load(configuration)) as client:
        treasury = f"treasury-{run}"
        await client.create_key(treasury, curve=Curve.ED25519, threshold=2, party_count=3)
        done = await client.sign(treasury, message=b"to whom it may concern", scheme=Scheme.ED25519)
        for made in done.signed:  # verified, under a key whose certificates were verified
            print("ed25519", made.public_key.hex(), made.signature.hex())

        coins = f"coins-{run}"
        await client.create_key(coins, curve=Curve.SECP256K1, threshold=2, party_count=3)
        done = await client.sign(
            coins,
            message=hashlib.sha256(b"a transaction").digest(),
            scheme=Scheme.ECDSA,
            derivation_path="m/44/60/0/0/0",
        )
        for made in done.signed:
            assert made.ecdsa is not None  # has .ethereum, .compact, .r, .s, .recovery_id too
            print("ecdsa", made.public_key.hex(), made.ecdsa.der.hex())


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except ClientError as error:
        sys.exit(f"{type(error).__name__}: {error}")
