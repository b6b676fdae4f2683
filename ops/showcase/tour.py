"""What the demonstration does: three clients make a key each and sign a transaction with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from contracts.client import Client, ClientSettings
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import SignResult
from ops.showcase.bitcoin import TaprootSpend
from ops.showcase.narrator import Narrator
from ops.showcase.solana import SolanaTransaction
from ops.showcase.transactions import Signed, Unsigned
from ops.stack.deployment import LEGACY

THRESHOLD = 2
PARTY_COUNT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    Attributes:
        client: Its name in the deployment.
        what: The transaction, in a word or two.
        pay: A key's public key -> the transaction that it pays for.
    """

    client: str
    key_id: str
    curve: Curve
    what: str
    pay: Callable[[bytes], Unsigned]


@dataclass(frozen=True, slots=True)
class Outcome:
    act: Act
    key: CertifiedKey
    unsigned: Unsigned
    result: SignResult
    signed: Signed
    """Accepted by the library that `unsigned` names."""


ACTS = (
    Act(
        client="svcA",
        key_id="demo-solana",
        curve=Curve.ED25519,
        what="a Solana transfer",
        pay=partial(SolanaTransaction.paid_by, name="solana_transfer"),
    ),
    Act(
        client="svcB",
        key_id="demo-bitcoin",
        curve=Curve.SECP256K1,
        what="a Bitcoin taproot spend",
        pay=partial(TaprootSpend.paid_by, name="bitcoin_taproot"),
    ),
    Act(
        client=LEGACY,
        key_id="demo-legacy",
        curve=Curve.ED25519,
        what="a Solana transfer with a memo",
        pay=partial(SolanaTransaction.paid_by, name="solana_memo"),
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
            await _pay(act, client, key, narrator)
            for act, client, key in zip(ACTS, clients, keys, strict=True)
        ]


async def _make_key(act: Act, client: Client, narrator: Narrator) -> CertifiedKey:
    text = f"{act.client}: {THRESHOLD}-of-{PARTY_COUNT} key {act.key_id} on {act.curve}"
    with narrator.step(f"keygen {act.client}", text):
        return await client.create_key(
            act.key_id, curve=act.curve, threshold=THRESHOLD, party_count=PARTY_COUNT
        )


async def _pay(act: Act, client: Client, key: CertifiedKey, narrator: Narrator) -> Outcome:
    unsigned = act.pay(key.facts.public_key)
    with narrator.step(f"sign {act.client}", f"{act.client}: {act.what} signed"):
        result = await client.sign(
            act.key_id,
            message=unsigned.message,
            scheme=unsigned.scheme,
            taproot_merkle_root=unsigned.taproot_merkle_root,
        )
    assert result.signature is not None  # the client verified it
    with narrator.step(f"verify {act.client}", f"{act.client}: accepted by {unsigned.verifier}"):
        signed = unsigned.signed(result.signature)
    return Outcome(act, key, unsigned, result, signed)
