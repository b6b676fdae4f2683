"""What a worker process counts, for Prometheus. Labels are few and never name a session or key."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from .coordinator import reshare_counts
from .delivery.bundling import BUNDLES, PARTS
from .delivery.deliveries import Deliver, Delivery, Ended
from .delivery.lists import NUMBER, REFUSED_ENTRIES
from .delivery.middleware import Middleware
from .delivery.strangers import FLOOD, REFUSED, UNAUTHENTICATED
from .party import epoch_counts
from .store import gathering

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

DELIVERIES = Counter(
    "warren_deliveries",
    "Deliveries that ended, by what became of them.",
    ["queue", "outcome"],
    registry=REGISTRY,
)
"""outcome: as `Ended` has it."""

for elsewhere in (
    UNAUTHENTICATED,
    REFUSED,
    FLOOD,
    BUNDLES,
    PARTS,
    NUMBER,
    REFUSED_ENTRIES,
    reshare_counts.BEGUN,
    reshare_counts.SECONDS,
    epoch_counts.STEPS,
    epoch_counts.REFUSALS,
    epoch_counts.TO_RETIRE,
    gathering.GROUPS,
    gathering.GATHERED,
):
    REGISTRY.register(elsewhere)

DELIVERY_SECONDS = Histogram(
    "warren_delivery_seconds",
    "From a delivery's arrival to its acknowledgement.",
    ["queue"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
    registry=REGISTRY,
)

DELIVERIES_IN_HAND = Gauge(
    "warren_deliveries_in_hand", "Deliveries being handled.", ["queue"], registry=REGISTRY
)

CHORES_PUT_OFF = Counter(
    "warren_chores_put_off",
    "Rounds of a periodic chore that failed, mostly for want of store or broker.",
    ["chore"],
    registry=REGISTRY,
)

PARTY_SESSIONS = Gauge(
    "warren_party_sessions",
    "Sessions of several rounds that are under way at this party, or were two seconds ago.",
    registry=REGISTRY,
)

PARTIES_ALIVE = Gauge(
    "warren_parties_alive",
    "Parties that gave a sign of life lately, as the coordinator sees it.",
    registry=REGISTRY,
)

READY = Gauge(
    "warren_ready",
    "Whether a dependency answered at the last look at /health/ready.",
    ["dependency"],
    registry=REGISTRY,
)


CERTIFICATE_EXPIRES = Gauge(
    "warren_certificate_expires_timestamp_seconds",
    "When the certificate expires that is shown to the broker or the database, by its file.",
    ["shown_to"],
    registry=REGISTRY,
)


class Metered(Middleware):
    """Counts deliveries and their time."""

    def around_deliveries(self, queue: str, deliver: Deliver) -> Deliver:
        """By queue, and by how they ended."""
        in_hand = DELIVERIES_IN_HAND.labels(queue)
        seconds = DELIVERY_SECONDS.labels(queue)
        ended_so = {ended: DELIVERIES.labels(queue, ended.value) for ended in Ended}

        async def metered(delivery: Delivery) -> Ended:
            with in_hand.track_inprogress(), seconds.time():
                ended = await deliver(delivery)
            ended_so[ended].inc()
            return ended

        return metered
