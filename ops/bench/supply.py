"""How a stack is to make presignatures, so that a measurement shows what it is meant to show."""

from __future__ import annotations

from dataclasses import dataclass, field

from contracts.terms import MAX_PRESIGN_BATCH
from workers.pool_limits import PoolLimits
from workers.settings import PartyLimits

from .load import Load
from .work import Pool, Work

REFILLED = 8 * MAX_PRESIGN_BATCH
"""What a pool that is emptied all the time is filled with at least, so that the lane that makes
presignatures is never idle for long."""

_ENDLESS = 1_000_000_000
_FILLING_S = 300.0
"""All batches of a warm pool begin at once, and the last may have to wait for all others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """
    Attributes:
        pools, limits: As in a `Plan`; what is not said is the default.
        stock: What the pool holds before the measurement begins.
    """

    pools: dict[str, float] = field(default_factory=dict)
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    stock: int = 0


DEFAULT_SUPPLY = Supply()


def supply_for(work: Work, load: Load) -> Supply:
    """How pools are to be kept, so that the work finds what it is said to find."""
    if work.operation == "presign":
        return _unfull(work, load)
    if work.pool is Pool.COLD:
        return Supply(pools={"low": 0, "high": 0})
    if work.pool is Pool.SUSTAINED:
        return Supply(stock=PoolLimits().low)
    if work.pool is Pool.WARM or work.refill:
        return _filled_once(work, load)
    return DEFAULT_SUPPLY


def _filled_once(work: Work, load: Load) -> Supply:
    """A pool is filled when it is empty, then not again: one presignature is never taken.

    The request that it is filled for may come too late for a batch of its own, and take of these.
    """
    stock = 1 + work.batch * (load.warmup + load.count) if work.pool is Pool.WARM else 0
    high = max(stock + work.batch, REFILLED if work.refill else 0)
    batches = -(-high // MAX_PRESIGN_BATCH)
    return Supply(
        pools={
            "low": 1,
            "high": high,
            "per_key": max(high, PoolLimits().per_key),
            "in_all": max(2 * high, PoolLimits().in_all),
            "batches_per_pool": batches,
            "batches": 2 * batches,
            "batch_seconds": _FILLING_S,
        },
        limits=_kept(high),
        stock=stock,
    )


def _unfull(work: Work, load: Load) -> Supply:
    """So many batches are in the making at any time."""
    made = work.batch * (load.warmup + load.count + 2 * load.concurrency)
    return Supply(
        pools={
            "low": _ENDLESS,
            "high": _ENDLESS,
            "idle_seconds": _ENDLESS,
            "per_key": _ENDLESS,
            "in_all": _ENDLESS,
            "batch": work.batch,
            "batches_per_pool": load.concurrency,
            "batches": load.concurrency,
            "batch_seconds": load.timeout_s,
        },
        limits=_kept(made),
    )


def _kept(count: int) -> dict[str, dict[str, float]]:
    """Of one key, and of another one as much."""
    defaults = PartyLimits()
    return {
        "party": {
            "presignatures_per_key": max(count, defaults.presignatures_per_key),
            "presignatures": max(2 * count, defaults.presignatures),
        }
    }
