"""What the demonstration has to show in the end, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.box import HORIZONTALS
from rich.table import Table

from ops.showcase.deliveries import Delivered
from ops.showcase.narrator import Narrator
from ops.showcase.tour import Outcome


def as_table(outcomes: Sequence[Outcome]) -> Table:
    """Narrow enough for 80 columns: an address that is folded can't be copied."""
    table = Table(box=HORIZONTALS, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(max_width=64, overflow="fold")
    for outcome in outcomes:
        facts, path = outcome.key.facts, outcome.payment.path
        place = facts.key_id if path is None else f"{facts.key_id} at {path}"
        table.add_row("key", f"{place}, {facts.threshold}-of-{facts.party_count} on {facts.curve}")
        table.add_row("address", outcome.unsigned.address)
        table.add_row("transaction", outcome.unsigned.summary)
        table.add_row("signature", outcome.signature.signature.hex())
        signers = " and ".join(sorted(outcome.result.signers))
        table.add_row("signed by", f"{signers} ({outcome.unsigned.scheme})")
        table.add_row("verified by", outcome.unsigned.verifier, end_section=True)
    return table


def as_json(
    narrator: Narrator, outcomes: Sequence[Outcome], delivered: Sequence[Delivered]
) -> dict[str, Any]:
    """The whole demo as one object, for programs."""
    return {
        "seconds": narrator.seconds,
        "steps": [asdict(step) for step in narrator.steps],
        "keys": list({outcome.act.key_id: _key(outcome) for outcome in outcomes}.values()),
        "signatures": [_signature(outcome) for outcome in outcomes],
        "deliveries": [asdict(each) for each in delivered],
    }


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
