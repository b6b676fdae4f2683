"""The coordinator's pools of presignatures: the public halves, who makes more, who waits for some.

A pool is one key's in one epoch and for one signer set: a presignature is of no use to others.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .sessions import Session


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolName:
    """Of the one pool from which these signers sign with this key.

    Attributes:
        signers: Their indices, ascending, joined by commas: "1,3".
    """

    key_session: bytes
    epoch: int
    signers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledPresignature:
    """A presignature that all its signers have, waiting to be used once.

    Attributes:
        batch: The session that made it.
        position: In its batch, from 0.
        signers: As in `PoolName`.
        point: R, encoded.
    """

    batch: bytes
    position: int
    key_session: bytes
    epoch: int
    signers: str
    point: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolRecord:
    """How a pool is doing, in numbers of presignatures.

    Attributes:
        used_at: When it was last asked for any; Unix milliseconds.
        stock: There.
        making: What the batches in the making will add.
        waiting: What the sessions that wait for some want.
        leaving: Sessions that were given theirs and are still in the line.
    """

    name: PoolName
    owner: str
    key_id: str
    used_at: int
    stock: int
    making: int
    waiting: int
    leaving: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRecord:
    """What a session that makes presignatures will add to its pool.

    Attributes:
        count: Of presignatures.
        limit_pool: So many batches may be in the making for this pool, this one included.
        limit_all: And so many for all pools.
    """

    pool: PoolName
    count: int
    limit_pool: int
    limit_all: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaiterRecord:
    """A session that cannot go on without `count` presignatures of this pool."""

    session_id: bytes
    pool: PoolName
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingSession:
    """A session in a pool's line, with what it takes to let it go on.

    Attributes:
        session: Without what it received.
        count: Of presignatures that it waits for.
        request: The producer's bytes.
        signature: And the signature over them.
    """

    session: Session
    count: int
    request: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarrelRecord:
    """One party would not finish a batch with another; a coordinator cannot tell who is right.

    Attributes:
        at: The last time; Unix milliseconds.
    """

    accuser: str
    accused: str
    at: int
