"""Records of the coordinator's pools as rows and back."""

from __future__ import annotations

from ..database import Row
from ..records import (
    BatchRecord,
    PooledPresignature,
    PoolName,
    PoolRecord,
    QuarrelRecord,
    Session,
    WaiterRecord,
    WaitingSession,
)

POOL_NAME_COLUMNS = "key_session, epoch, signers"
PRESIGNATURE_COLUMNS = "batch, position, key_session, epoch, signers, point"
WAITER_COLUMNS = "session_id, key_session, epoch, signers, count"
QUARREL_COLUMNS = "accuser, accused, at"


def pool_name_values(name: PoolName) -> tuple[object, ...]:
    """In the order of `POOL_NAME_COLUMNS`."""
    return name.key_session, name.epoch, name.signers


def pool_name(row: Row) -> PoolName:
    return PoolName(key_session=row["key_session"], epoch=row["epoch"], signers=row["signers"])


def pool(row: Row) -> PoolRecord:
    """From `shared.pools.POOLS`."""
    return PoolRecord(
        name=pool_name(row),
        owner=row["owner"],
        key_id=row["key_id"],
        used_at=row["used_at"],
        stock=row["stock"],
        making=row["making"],
        waiting=row["waiting"],
        leaving=row["leaving"],
    )


def presignature_values(pooled: PooledPresignature) -> tuple[object, ...]:
    """In the order of `PRESIGNATURE_COLUMNS`."""
    return (
        pooled.batch,
        pooled.position,
        pooled.key_session,
        pooled.epoch,
        pooled.signers,
        pooled.point,
    )


def presignature(row: Row) -> PooledPresignature:
    return PooledPresignature(
        batch=row["batch"],
        position=row["position"],
        key_session=row["key_session"],
        epoch=row["epoch"],
        signers=row["signers"],
        point=row["point"],
    )


def batch_values(batch: BatchRecord) -> tuple[object, ...]:
    """The pool's name, the count, both limits."""
    return *pool_name_values(batch.pool), batch.count, batch.limit_pool, batch.limit_all


def waiter_values(waiter: WaiterRecord) -> tuple[object, ...]:
    """In the order of `WAITER_COLUMNS`."""
    return waiter.session_id, *pool_name_values(waiter.pool), waiter.count


def waiter(row: Row) -> WaiterRecord:
    return WaiterRecord(session_id=row["session_id"], pool=pool_name(row), count=row["count"])


def waiting_session(row: Row) -> WaitingSession:
    """From `shared.pools.LINE`: the session without its inbox, and its request."""
    return WaitingSession(
        session=Session(
            session_id=row["session_id"],
            version=row["version"],
            protocol=row["protocol"],
            key_session=row["key_session"],
            status=row["status"],
            deadline=row["deadline"],
            state=row["state"],
            received=(),
        ),
        count=row["count"],
        request=row["request_body"],
        signature=row["signature"],
    )


def quarrel_values(quarrel: QuarrelRecord) -> tuple[object, ...]:
    """In the order of `QUARREL_COLUMNS`."""
    return quarrel.accuser, quarrel.accused, quarrel.at


def quarrel(row: Row) -> QuarrelRecord:
    return QuarrelRecord(accuser=row["accuser"], accused=row["accused"], at=row["at"])
