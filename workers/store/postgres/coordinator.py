# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

from ..database import RefusedError, Row
from ..records import Admission, CoordinatorChange, Outcome, PooledPresignature, PoolName
from ..rows import coordinator as rows
from ..rows import pools as pool_rows
from ..rows.coordinator import COMMITMENT_COLUMNS
from ..rows.pools import PRESIGNATURE_COLUMNS
from ..shared.coordinator import REQUEST, TAKE_OVER, SharedCoordinatorStore
from .database import PostgresDatabase
from .sessions import PostgresStore, advance_values, arrays, purge_statement

_COMMITMENT = ", ".join(f"commitments.{column}" for column in COMMITMENT_COLUMNS.split(", "))

# The request if it is known.
_ASKED = f"asked AS MATERIALIZED ({REQUEST.replace('$1', '$5').replace('$2', '$6')})"

# The request if it is known, otherwise one commitment of each party that has one.
#
# The newest: a party that has too many nonces forgets the oldest ones. Rows that somebody else is
# taking are passed over, so that nobody waits and nobody gets the same. The inner SELECT hides how
# many parties there are: a plan made for two would be made anew for each request.
ADMIT = f"""
    WITH {_ASKED},
    wanted AS (
        SELECT DISTINCT party_id FROM unnest((SELECT $4::text[])) AS party_id
        WHERE NOT EXISTS (SELECT FROM asked)
    ),
    chosen AS MATERIALIZED (
        SELECT newest.* FROM wanted CROSS JOIN LATERAL (
            SELECT party_id, nonce_id FROM commitments
            WHERE key_session = $1 AND epoch = $2 AND scheme = $3
                AND commitments.party_id = wanted.party_id
            ORDER BY made_at DESC, nonce_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS newest
    ),
    claimed AS (
        DELETE FROM commitments USING chosen
        WHERE commitments.party_id = chosen.party_id AND commitments.nonce_id = chosen.nonce_id
        RETURNING {_COMMITMENT}
    )
    SELECT * FROM (VALUES (true)) AS always LEFT JOIN asked ON true LEFT JOIN claimed ON true
"""

# The request if it is known, otherwise presignatures of the first pool that has as many.
ADMIT_IN_POOLS = f"""
    WITH {_ASKED},
    claimed AS MATERIALIZED (
        SELECT {PRESIGNATURE_COLUMNS}
        FROM claim_presignatures_v1(
            $1, $2, $3, CASE WHEN EXISTS (SELECT FROM asked) THEN 0 ELSE $4::bigint END, true
        )
    )
    SELECT asked.*, claimed.*
    FROM (VALUES (true)) AS always LEFT JOIN asked ON true LEFT JOIN claimed ON true
"""

CLAIM_PRESIGNATURES = f"""
    SELECT {PRESIGNATURE_COLUMNS} FROM claim_presignatures_v1($1, $2, ARRAY[$3], $4, false)
"""

_NO_REQUEST = (None,) * 7
_NO_NAME = (None,) * 2
_NO_KEY = (None,) * 6
_NO_BATCH = (None,) * 6
_NO_WAITER = (None,) * 5


class PostgresCoordinatorStore(SharedCoordinatorStore, PostgresStore):
    purging = purge_statement("inbox", "outbox", "events", "requests", "presign_batches", "waiters")

    def __init__(self, url: str, *, max_connections: int) -> None:
        self._database = PostgresDatabase(url, max_connections=max_connections)
        super().__init__(self._database)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        results = () if change.result is None else (change.result,)
        in_pools = _pool_values(change)
        call = (
            "commit_coordinator_and_pools_v1" if in_pools else "commit_coordinator_v2",
            *advance_values(self._rows, change, (*change.outgoing, *results)),
            len(change.outgoing) if results else None,
            *(_NO_REQUEST if change.request is None else rows.request_values(change.request)),
            *(change.reserve_key or _NO_NAME),
            *(_NO_KEY if change.key is None else rows.key_values(change.key)),
            *arrays([rows.event_values(event) for event in change.events], 3),
            *arrays([rows.commitment_values(made) for made in change.commitments], 6),
            *in_pools,
        )
        try:
            if change.succeeds is None:
                committed = await self._database.call(*call)
            else:
                takes = (change.succeeds, change.session_id)
                committed = await self._database.call_and(TAKE_OVER, takes, *call)
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED if committed else Outcome.LOST_RACE

    async def admit(
        self,
        owner: str,
        request_id: str,
        *,
        key_session: bytes | None = None,
        epoch: int = 0,
        scheme: str = "",
        parties: Sequence[str] = (),
        pools: Sequence[str] = (),
        presignatures: int = 0,
    ) -> Admission:
        statement, *wanted = (
            (ADMIT_IN_POOLS, list(pools), presignatures)
            if pools
            else (ADMIT, scheme, list(parties))
        )
        found = await self._database.fetch(
            statement, key_session, epoch, *wanted, owner, request_id
        )
        if found[0]["request_id"] is not None:
            return Admission(request=rows.request(found[0]), claimed={})
        if pools:
            return Admission(request=None, claimed={}, presignatures=_presignatures(found))
        claimed = [row for row in found if row["nonce_id"] is not None]
        return Admission(
            request=None, claimed={row["party_id"]: rows.commitment(row) for row in claimed}
        )

    async def claim_presignatures(
        self, pool: PoolName, count: int
    ) -> tuple[PooledPresignature, ...]:
        found = await self._database.fetch(
            CLAIM_PRESIGNATURES, *pool_rows.pool_name_values(pool), count
        )
        return _presignatures(found)


def _pool_values(change: CoordinatorChange) -> tuple[object, ...]:
    """What a change does to pools; nothing if it does nothing."""
    concerns = (change.presignatures, change.batch, change.served, change.waiter, change.quarrels)
    if not any(concerns):
        return ()
    return (
        *arrays([pool_rows.presignature_values(made) for made in change.presignatures], 6),
        *(_NO_BATCH if change.batch is None else pool_rows.batch_values(change.batch)),
        change.served,
        *(_NO_WAITER if change.waiter is None else pool_rows.waiter_values(change.waiter)),
        *arrays([pool_rows.quarrel_values(quarrel) for quarrel in change.quarrels], 3),
    )


def _presignatures(found: Sequence[Row]) -> tuple[PooledPresignature, ...]:
    return tuple(pool_rows.presignature(row) for row in found if row["batch"] is not None)
