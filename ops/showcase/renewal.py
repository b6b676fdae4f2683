"""The act in which a key's shares are made anew: what was stolen of the old ones is worth nothing,
and another party comes in."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from contracts.client import Client
from contracts.keys import CertifiedKey, EpochBundle, KeyFacts
from contracts.primitives import Curve
from contracts.results import ReshareResult
from ops.showcase.acts import THRESHOLD, Act, Outcome, Payment
from ops.showcase.errors import StolenSharesSignError
from ops.showcase.narrator import Narrator
from ops.showcase.solana import SolanaTransaction
from workers.protocols import frost
from workers.protocols.frost.signing import RANDOMNESS_SIZE
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import PartyFaultError, PartyIndex
from workers.settings import PartySettings

ACT = Act(
    client="svcA",
    key_id="demo-renewed",
    curve=Curve.ED25519,
    payments=(
        Payment(
            name="solana_transfer",
            what="a Solana transfer by the new holders",
            paid_by=SolanaTransaction.paid_by,
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """
    Attributes:
        refreshed: What proves the new shares of the same parties.
        moved: What proves those of the others.
        stolen: From whom a share was kept aside before the refresh, and from whom one after it.
    """

    made: CertifiedKey
    refreshed: EpochBundle
    moved: EpochBundle
    signs_from: int
    stolen: tuple[str, str]

    @property
    def leaver(self) -> str:
        """Who holds no share any more."""
        return _only(self.made.facts, self.moved.key.facts)

    @property
    def newcomer(self) -> str:
        """Who holds one in its place."""
        return _only(self.moved.key.facts, self.made.facts)


async def renew(client: Client, parties: Mapping[str, Path], narrator: Narrator) -> Renewed:
    """Make a key, refresh it, try it with what was stolen before and after, and replace a party.

    Arguments:
        parties: Their configuration files, by id: one more than hold the key. It is read what a
            thief would have, who has come to a party's database and its master key.

    Raises:
        ClientError: A request failed, or its result is not to be believed.
        StolenSharesSignError.
    """
    *first, newcomer = sorted(parties)
    leaver, *others = first
    text = f"{ACT.client}: {THRESHOLD}-of-{len(first)} key {ACT.key_id} on {ACT.curve}"
    with narrator.step("keygen renewed", text):
        made = await client.create_key(
            ACT.key_id, curve=ACT.curve, threshold=THRESHOLD, party_count=len(first), parties=first
        )
    before = await _stolen(parties[leaver], made.facts)
    with narrator.step("refresh", f"{ACT.client}: all {len(first)} get new shares of it"):
        refreshed = _bundle(await client.reshare(ACT.key_id))
    text = f"{leaver}'s share of before and {others[0]}'s of now sign nothing"
    with narrator.step("stolen", text):
        after = [await _stolen(parties[name], refreshed.key.facts) for name in (leaver, others[0])]
        try_stolen(before, after)
    with narrator.step("replace", f"{ACT.client}: {newcomer} holds a share in place of {leaver}"):
        result = await client.reshare(ACT.key_id, parties=[*others, newcomer])
    return Renewed(
        made=made,
        refreshed=refreshed,
        moved=_bundle(result),
        signs_from=result.signs_from or result.finished_at,
        stolen=(leaver, others[0]),
    )


async def pay(client: Client, renewed: Renewed, narrator: Narrator) -> Outcome:
    """Sign by the new holders, the newcomer among them, as soon as they are asked."""
    (payment,) = ACT.payments
    key = renewed.moved.key
    unsigned = payment.unsigned(key)
    signers = [holder.party_id for holder in key.facts.holders][-THRESHOLD:]
    with narrator.step("sign renewed", f"{ACT.client}: {payment.what} signed"):
        await asyncio.sleep(max(0.0, renewed.signs_from / 1000 - time.time()))
        result = await client.sign(
            ACT.key_id, message=unsigned.message, scheme=unsigned.scheme, signers=signers
        )
    (signature,) = result.signed  # the client verified it, under the key of before
    with narrator.step("verify renewed", f"{ACT.client}: accepted by {unsigned.verifier}"):
        signed = unsigned.signed(signature)
    return Outcome(ACT, payment, key, unsigned, result, signed)


###
### What a thief can do
###


def try_stolen(before: KeyShare, after: Sequence[KeyShare]) -> None:
    """Sign with a share of before and one of after, as the protocol does.

    Arguments:
        after: Of the same party, then of another one. Those two do sign: so it is not for another
            reason that the others do not.

    Raises:
        StolenSharesSignError: Or the two that should sign do not.
    """
    same, other = after
    if not signs([same, other]):
        raise StolenSharesSignError("two shares of one epoch do not sign: the try is worth nothing")
    if signs([before, other]):
        raise StolenSharesSignError(
            "a share of before and one of after the refresh make a signature"
        )


def signs(shares: Sequence[KeyShare]) -> bool:
    """Whether these shares make a valid signature of their key, by FROST's own steps."""
    suite, message, place = frost.ciphersuite(Curve.ED25519.value), b"stolen", (bytes(32), 0)
    drawn = [
        frost.commit(
            suite,
            share,
            place=place,
            hiding_randomness=secrets.token_bytes(RANDOMNESS_SIZE),
            binding_randomness=secrets.token_bytes(RANDOMNESS_SIZE),
        )
        for share in shares
    ]
    commitments: dict[PartyIndex, frost.Commitment] = {
        share.index: commitment for share, (_, commitment) in zip(shares, drawn, strict=True)
    }
    parts = {
        share.index: frost.sign(nonces, share, message, commitments)
        for share, (nonces, _) in zip(shares, drawn, strict=True)
    }
    try:
        frost.aggregate(suite, shares[-1].view, message, commitments, parts)
    except PartyFaultError:
        return False
    return True


async def _stolen(config: Path, facts: KeyFacts) -> KeyShare:
    settings = PartySettings.load(config)
    async with settings.opened() as store:
        kept = await store.key_share(facts.session_id, facts.epoch)
    assert kept is not None  # its certificate is among the facts'
    return KeyShare.from_bytes(kept.secret)


def _bundle(result: ReshareResult) -> EpochBundle:
    assert result.bundle is not None  # the client has checked it
    return result.bundle


def _only(here: KeyFacts, there: KeyFacts) -> str:
    others = {holder.party_id for holder in there.holders}
    (name,) = [each.party_id for each in here.holders if each.party_id not in others]
    return name
