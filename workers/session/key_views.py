"""Keys as protocols know them, from what their parties certified."""

from __future__ import annotations

from contracts.keys import KeyFacts

from ..protocols.groups import group_by_name
from ..protocols.key_share import KeyView
from ..protocols.rounds import PartyIndex


def view_of(facts: KeyFacts) -> KeyView:
    """The public half of a key whose facts were verified, so that points are not checked again."""
    group = group_by_name(facts.curve.value)
    return KeyView(
        group=group,
        threshold=facts.threshold,
        public_shares={
            PartyIndex(i): group.point_from_bytes_stored(holder.public_share)
            for i, holder in enumerate(facts.holders, start=1)
        },
        public_key=group.point_from_bytes_stored(facts.public_key),
    )
