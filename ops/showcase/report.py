"""What the demonstration has to show in the end, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import HORIZONTALS
from rich.table import Table

from ops.showcase import renewal
from ops.showcase.acts import Outcome
from ops.showcase.deliveries import Delivered
from ops.showcase.narrator import Narrator
from ops.showcase.renewal import Renewed
from ops.showcase.tour import Performance


def as_table(performance: Performance) -> Table:
    """Narrow enough for 80 columns: an address that is folded can't be copied."""
    table = Table(box=HORIZONTALS, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(max_width=64, overflow="fold")
    renewed = performance.renewed
    for outcome in performance.outcomes:
        facts, path = outcome.key.facts, outcome.payment.path
        place = facts.key_id if path is None else f"{facts.key_id} at {path}"
        table.add_row("key", f"{place}, {facts.threshold}-of-{facts.party_count} on {facts.curve}")
        if outcome.act is renewal.ACT:
            for name, text in _renewal(renewed):
                table.add_row(name, text)
        table.add_row("address", outcome.unsigned.address)
        table.add_row("transaction", outcome.unsigned.summary)
        table.add_row("signature", outcome.signature.signature.hex())
        signers = " and ".join(sorted(outcome.result.signers))
        table.add_row("signed by", f"{signers} ({outcome.unsigned.scheme})")
        table.add_row("verified by", outcome.unsigned.verifier, end_section=True)
    return table


def as_json(
    narrator: Narrator, performance: Performance, delivered: Sequence[Delivered]
) -> dict[str, Any]:
    """The whole demo as one object, for programs."""
    outcomes, renewed = performance.outcomes, performance.renewed
    return {
        "seconds": narrator.seconds,
        "steps": [asdict(step) for step in narrator.steps],
        "keys": list({outcome.act.key_id: _key(outcome) for outcome in outcomes}.values()),
        "signatures": [_signature(outcome) for outcome in outcomes],
        "renewal": {
            "key_id": renewed.made.facts.key_id,
            "public_key": renewed.made.facts.public_key.hex(),
            "epochs": [
                {
                    "epoch": key.facts.epoch,
                    "public_key": key.facts.public_key.hex(),
                    "parties": [holder.party_id for holder in key.facts.holders],
                }
                for key in (renewed.made, renewed.refreshed.key, renewed.moved.key)
            ],
            "left": renewed.leaver,
            "came": renewed.newcomer,
            # Or there would be an error instead of this object.
            "shares_of_two_epochs_sign": False,
        },
        "deliveries": [asdict(each) for each in delivered],
    }


def _renewal(renewed: Renewed) -> Iterator[tuple[str, str]]:
    made, refreshed, facts = (
        each.facts for each in (renewed.made, renewed.refreshed.key, renewed.moved.key)
    )
    thieves = f"{renewed.stolen[0]}'s of epoch {made.epoch}, {renewed.stolen[1]}'s of epoch"
    yield "shares", f"of epoch {facts.epoch}: made anew twice, the public key is as before"
    yield "held by", ", ".join(holder.party_id for holder in facts.holders)
    yield "shown out", f"{renewed.leaver}, for {renewed.newcomer}"
    yield "worthless", f"{thieves} {refreshed.epoch}, together"


def _key(outcome: Outcome) -> dict[str, Any]:
    facts = outcome.key.facts
    return {
        "client": outcome.act.client,
        "key_id": facts.key_id,
        "curve": facts.curve,
        "threshold": facts.threshold,
        "party_count": facts.party_count,
        "public_key": facts.public_key.hex(),
        "parties": [holder.party_id for holder in facts.holders],
    }


def _signature(outcome: Outcome) -> dict[str, Any]:
    return {
        "client": outcome.act.client,
        "key_id": outcome.act.key_id,
        "scheme": outcome.unsigned.scheme,
        "address": outcome.unsigned.address,
        **outcome.signature.model_dump(mode="json"),
        "signers": outcome.result.signers,
        "transaction": outcome.signed.raw.hex(),
        "transaction_id": outcome.signed.transaction_id,
        "verified_by": outcome.unsigned.verifier,
    }
