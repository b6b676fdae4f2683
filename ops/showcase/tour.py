"""What the demonstration does: three clients make keys, sign transactions, and have shares made
anew."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from contracts.client import Client, ClientSettings
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from ops.showcase import renewal
from ops.showcase.acts import PARTY_COUNT, THRESHOLD, Act, Outcome, Payment
from ops.showcase.bitcoin import SegwitSpend, TaprootSpend
from ops.showcase.ethereum import EthereumTransaction
from ops.showcase.narrator import Narrator
from ops.showcase.renewal import Renewed
from ops.showcase.solana import SolanaTransaction
from ops.stack.deployment import LEGACY

ACTS = (
    Act(
        client="svcA",
        key_id="demo-solana",
        curve=Curve.ED25519,
        payments=(
            Payment(
                name="solana_transfer",
                what="a Solana transfer",
                paid_by=SolanaTransaction.paid_by,
            ),
        ),
    ),
    # One key for all that uses this curve: in both schemes, itself and through its children.
    Act(
        client="svcB",
        key_id="demo-wallet",
        curve=Curve.SECP256K1,
        payments=(
            Payment(
                name="bitcoin_taproot",
                what="a Bitcoin taproot spend",
                paid_by=TaprootSpend.paid_by,
            ),
            Payment(
                name="bitcoin_segwit",
                what="a Bitcoin segwit spend",
                paid_by=SegwitSpend.paid_by,
                path="m/84/0/0/0/0",
            ),
            Payment(
                name="ethereum_transfer",
                what="an Ethereum transfer",
                paid_by=EthereumTransaction.paid_by,
                path="m/44/60/0/0/0",
            ),
        ),
    ),
    Act(
        client=LEGACY,
        key_id="demo-legacy",
        curve=Curve.ED25519,
        payments=(
            Payment(
                name="solana_memo",
                what="a Solana transfer with a memo",
                paid_by=SolanaTransaction.paid_by,
            ),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Performance:
    """All that was signed, the renewed key's last; and how that came to its new shares."""

    outcomes: list[Outcome]
    renewed: Renewed


async def tour(
    settings: Mapping[str, ClientSettings], parties: Mapping[str, Path], narrator: Narrator
) -> Performance:
    """All acts, with all their clients connected from the first to the last.

    Arguments:
        settings: By a client's name in the deployment.
        parties: As `renewal.renew` takes them.

    Raises:
        ClientError: A request failed, or its result is not to be believed.
        RefusedError: Another library does not accept what was signed.
        StolenSharesSignError: As `renewal.renew`.
    """
    async with contextlib.AsyncExitStack() as stack:
        with narrator.step("connect", "Three producers connect"):
            connected = await asyncio.gather(
                *(stack.enter_async_context(Client.connect(settings[act.client])) for act in ACTS)
            )
        clients = dict(zip([act.client for act in ACTS], connected, strict=True))
        # First, so that the new holders are asked by the time that the others have been.
        renewed = await renewal.renew(clients[renewal.ACT.client], parties, narrator)
        keys = [await _make_key(act, clients[act.client], narrator) for act in ACTS]
        outcomes = [
            await _pay(act, payment, clients[act.client], key, narrator)
            for act, key in zip(ACTS, keys, strict=True)
            for payment in act.payments
        ]
        outcomes.append(await renewal.pay(clients[renewal.ACT.client], renewed, narrator))
        return Performance(outcomes, renewed)


async def _make_key(act: Act, client: Client, narrator: Narrator) -> CertifiedKey:
    text = f"{act.client}: {THRESHOLD}-of-{PARTY_COUNT} key {act.key_id} on {act.curve}"
    with narrator.step(f"keygen {act.client}", text):
        return await client.create_key(
            act.key_id, curve=act.curve, threshold=THRESHOLD, party_count=PARTY_COUNT
        )


async def _pay(
    act: Act, payment: Payment, client: Client, key: CertifiedKey, narrator: Narrator
) -> Outcome:
    unsigned = payment.unsigned(key)
    place = "" if payment.path is None else f" at {payment.path}"
    with narrator.step(f"sign {payment.name}", f"{act.client}: {payment.what}{place} signed"):
        result = await client.sign(
            act.key_id,
            message=unsigned.message,
            scheme=unsigned.scheme,
            derivation_path=payment.path,
            taproot_merkle_root=unsigned.taproot_merkle_root,
        )
    (signature,) = result.signed  # the client verified it
    with narrator.step(f"verify {payment.name}", f"{act.client}: accepted by {unsigned.verifier}"):
        signed = unsigned.signed(signature)
    return Outcome(act, payment, key, unsigned, result, signed)
