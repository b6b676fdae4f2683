"""What the demonstration does: three clients make a key each and sign transactions with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from contracts.client import Client, ClientSettings
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import SignedItem, SignResult
from contracts.verification import child
from ops.showcase.bitcoin import SegwitSpend, TaprootSpend
from ops.showcase.ethereum import EthereumTransaction
from ops.showcase.narrator import Narrator
from ops.showcase.solana import SolanaTransaction
from ops.showcase.transactions import Signed, Unsigned
from ops.stack.deployment import LEGACY

THRESHOLD = 2
PARTY_COUNT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    Attributes:
        name: Of the transaction's template.
        what: The transaction, in a word or two.
        paid_by: A public key and the template's name -> the transaction that the key pays for.
        path: From the client's key to the child that pays; None: the key itself does.
    """

    name: str
    what: str
    paid_by: Callable[[bytes, str], Unsigned]
    path: str | None = None

    def unsigned(self, key: CertifiedKey) -> Unsigned:
        """The transaction with the key, or its child at the path, as the payer."""
        payer = key.facts.public_key
        if self.path is not None:
            payer = child(key.facts, self.path).public_key
        return self.paid_by(payer, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    Attributes:
        client: Its name in the deployment.
    """

    client: str
    key_id: str
    curve: Curve
    payments: tuple[Payment, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one payment of an act."""

    act: Act
    payment: Payment
    key: CertifiedKey
    unsigned: Unsigned
    result: SignResult
    signed: Signed
    """Accepted by the library that `unsigned` names."""

    @property
    def signature(self) -> SignedItem:
        """The one signature that there is."""
        (signature,) = self.result.signed
        return signature


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


async def tour(settings: Mapping[str, ClientSettings], narrator: Narrator) -> list[Outcome]:
    """All acts, with all their clients connected from the first to the last.

    Arguments:
        settings: By a client's name in the deployment.

    Raises:
        ClientError: A request failed, or its result is not to be believed.
        RefusedError: Another library does not accept what was signed.
    """
    async with contextlib.AsyncExitStack() as stack:
        with narrator.step("connect", "Three producers connect"):
            clients = await asyncio.gather(
                *(stack.enter_async_context(Client.connect(settings[act.client])) for act in ACTS)
            )
        keys = [
            await _make_key(act, client, narrator)
            for act, client in zip(ACTS, clients, strict=True)
        ]
        return [
            await _pay(act, payment, client, key, narrator)
            for act, client, key in zip(ACTS, clients, keys, strict=True)
            for payment in act.payments
        ]


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
