"""What a party counts of its keys' epochs."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from ..store.interface import PartyStore

LATE_MS = 60_000
"""Past its time, before it is called late: whoever has it in hand looks every second."""
_FAR_MS = 10 * 60_000
"""Past the latest time that an epoch of now can have been given."""
MOST = 10_000
"""Keys that are counted, and no more."""

STEPS = Counter(
    "warren_epochs",
    "Epochs of keys by the step that they have come to: certified, active, retired.",
    ["step"],
    registry=None,
)
REFUSALS = Counter(
    "warren_reshares_refused",
    "Tries to give a key new shares in which this party did not take part, by the failure's code.",
    ["code"],
    registry=None,
)
TO_RETIRE = Gauge(
    "warren_keys_to_retire",
    "Keys with an epoch that is proven while lower ones are not deleted yet; late, if their time "
    "came more than a minute ago.",
    ["late"],
    registry=None,
)


async def count_keys_to_retire(store: PartyStore, now: int) -> None:
    """For each party, not for each process of it: all see the same."""
    late = len(await store.keys_due(now - LATE_MS, MOST))
    TO_RETIRE.labels("yes").set(late)
    TO_RETIRE.labels("no").set(len(await store.keys_due(now + _FAR_MS, MOST)) - late)
