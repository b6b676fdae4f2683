"""What a list of latencies comes down to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """In milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float
    mean: float
    min: float


def summarise(latencies_s: Sequence[float]) -> Latency | None:
    """None if there are none: nothing was fast or slow."""
    if not latencies_s:
        return None
    ordered = sorted(1000 * latency for latency in latencies_s)
    return Latency(
        p50=percentile(ordered, 50),
        p95=percentile(ordered, 95),
        p99=percentile(ordered, 99),
        max=ordered[-1],
        mean=math.fsum(ordered) / len(ordered),
        min=ordered[0],
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value that at least `percent` of all do not exceed (nearest rank).

    Always a value that was measured: the 99th percentile of fewer than a hundred is their largest.
    """
    rank = -(-percent * len(ordered) // 100)  # an integer's ceiling, free of rounding errors
    return ordered[max(rank, 1) - 1]
