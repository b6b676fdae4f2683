# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's store in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from ..database import RefusedError, Row
from ..pools import GoOn
from ..records import (
    Admission,
    CoordinatorChange,
    Outcome,
    PooledPresignature,
    PoolName,
    RequestRecord,
)
from ..rows import coordinator as rows
from ..rows import pools as pool_rows
from ..rows.accounts import account_values
from ..rows.coordinator import COMMITMENT_COLUMNS
from ..rows.pools import PRESIGNATURE_COLUMNS
from ..shared import key_epochs
from ..shared.accounts import KEEP_ACCOUNT
from ..shared.coordinator import STANDING, SUPERSEDE, TAKE_OVER, SharedCoordinatorStore
from ..shared.pools import LINE, in_turn
from .database import PostgresDatabase
from .groups import IMPATIENT, Question
from .sessions import PostgresStore, advance_values, arrays, purge_statement

_COMMITMENT = ", ".join(f"commitments.{column}" for column in COMMITMENT_COLUMNS.split(", "))

# The request if it is known, or another one has its id.
_STANDING = STANDING.replace("$3", "$7").replace("$2", "$6").replace("$1", "$5")
_ASKED = f"asked AS MATERIALIZED ({_STANDING})"

KNOWN = Question(f"""
    SELECT $4::bigint AS place, known.*
    FROM (VALUES (true)) AS always LEFT JOIN ({STANDING}) AS known ON true
""")

# The request if it is known, otherwise one commitment of each party that has one.
#
# The newest: a party that has too many nonces forgets the oldest ones. Rows that somebody else is
# taking are passed over, so that nobody waits and nobody gets the same. The inner SELECT hides how
# many parties there are: a plan made for two would be made anew for each request.
ADMIT = Question(
    f"""
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
    SELECT $8::bigint AS place, *
    FROM (VALUES (true)) AS always LEFT JOIN asked ON true LEFT JOIN claimed ON true
"""
)

# The request if it is known, otherwise presignatures of the first pool that has as many besides
# what others wait for. Whoever has been served, and is in the line still, counts as well: it is not
# for long. Requests of the same moment need not see each other here; then some of them may be
# faster than the line.
_ADMIT_IN_POOLS = f"""
    WITH {_ASKED},
    spare AS MATERIALIZED (
        SELECT coalesce(array_agg(signers ORDER BY place), '{{}}') AS pools
        FROM unnest($3::text[]) WITH ORDINALITY AS named (signers, place)
        WHERE NOT EXISTS (
            SELECT FROM waiters
            WHERE key_session = $1 AND epoch = $2 AND waiters.signers = named.signers
        ) OR $4::bigint <= (
            SELECT count(*) FROM presignatures
            WHERE key_session = $1 AND epoch = $2 AND presignatures.signers = named.signers
        ) - (
            SELECT sum(count) FROM waiters
            WHERE key_session = $1 AND epoch = $2 AND waiters.signers = named.signers
        )
    ),
    claimed AS MATERIALIZED (
        SELECT {PRESIGNATURE_COLUMNS}
        FROM claim_presignatures_v1(
            $1, $2, (SELECT pools FROM spare),
            CASE WHEN EXISTS (SELECT FROM asked) THEN 0 ELSE $4::bigint END, false
        )
    )
    SELECT $8::bigint AS place, asked.*, claimed.*
    FROM (VALUES (true)) AS always LEFT JOIN asked ON true LEFT JOIN claimed ON true
"""

ADMIT_IN_POOLS = Question(
    _ADMIT_IN_POOLS,
    together=_ADMIT_IN_POOLS.replace(
        "ELSE $4::bigint END", f"WHEN {IMPATIENT} THEN $4::bigint END"
    ),
)

CLAIM_PRESIGNATURES = f"""
    SELECT {PRESIGNATURE_COLUMNS} FROM claim_presignatures_v1($1, $2, ARRAY[$3], $4, false)
"""

# As in claim_presignatures_v1, but held for longer: who is served next is decided once.
LOCK_CLAIMS = "SELECT pg_advisory_xact_lock(4, hashtext(encode($1, 'hex')))"

# As in commit_coordinator_v3, which takes it before it looks at the request's row.
LOCK_REQUEST = "SELECT pg_advisory_xact_lock(5, hashtext($1 || ' ' || $2))"

LOCK_KEY = "SELECT pg_advisory_xact_lock(6, hashtext(encode($1, 'hex')))"

# Nobody ends them meanwhile.
LOCKED_LINE = f"{LINE} FOR UPDATE OF sessions"

UNFINISHED_OF = """
    SELECT session_id FROM sessions WHERE session_id = ANY ($1::bytea[]) AND ended_at IS NULL
"""

STOP_WAITING = "DELETE FROM waiters WHERE session_id = ANY ($1::bytea[])"

_NO_REQUEST = (None,) * 7
COMMIT = "commit_coordinator_v3"

_NO_NAME = (None,) * 2
_NO_KEY = (None,) * 6
_NO_BATCH = (None,) * 6
_NO_WAITER = (None,) * 5


class PostgresCoordinatorStore(SharedCoordinatorStore, PostgresStore):
    """What is rare takes a transaction of several statements; everything else is one."""

    purging = purge_statement(
        "inbox", "outbox", "events", "requests", "cancels", "presign_batches", "waiters"
    )

    def __init__(self, url: str, *, max_connections: int) -> None:
        self._database = PostgresDatabase(url, max_connections=max_connections)
        super().__init__(self._database)

    async def commit(self, change: CoordinatorChange) -> Outcome:
        outcome = await self._commit(change)
        if outcome is Outcome.DUPLICATE_REQUEST and change.request is not None:
            return await self._supersede(change, change.request)
        return outcome

    async def _commit(self, change: CoordinatorChange) -> Outcome:
        if change.epoch is not None:
            return await self._commit_with_epoch(change)
        function, values = self._call(change)
        try:
            if change.account is not None:
                kept = account_values(change.account)
                committed = await self._database.call_and(KEEP_ACCOUNT, kept, function, *values)
            elif change.succeeds is None:
                committed = await self._database.commit(function, *values, order=_order(change))
            else:
                takes = (change.succeeds, change.session_id)
                committed = await self._database.call_and(TAKE_OVER, takes, function, *values)
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED if committed else Outcome.LOST_RACE

    async def _commit_with_epoch(
        self, change: CoordinatorChange, *before: tuple[str, tuple[object, ...]]
    ) -> Outcome:
        """Arguments: before: Statements in the same transaction."""
        function, values = self._call(change)
        try:
            async with self._database.transaction() as transaction:
                for statement, given in before:
                    await transaction.execute(statement, *given)
                await transaction.call_all(function, [values])
                assert change.epoch is not None
                # Of two that begin in one moment the second sees the first.
                await transaction.execute(LOCK_KEY, change.epoch.key_session)
                steps = [*key_epochs.steps(change)]
                if change.succeeds is not None:
                    takes = (change.succeeds, change.session_id)
                    steps.append((TAKE_OVER, takes, Outcome.LOST_RACE))
                for statement, given, otherwise in steps:
                    await transaction.must(otherwise, statement, *given)
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED

    async def _supersede(self, change: CoordinatorChange, request: RequestRecord) -> Outcome:
        """Commit it in the place of a refused request. Nobody who asks for that one finds neither:
        it is one transaction."""
        lock = LOCK_REQUEST, (request.owner, request.request_id)
        remove = SUPERSEDE, (request.owner, request.request_id, request.digest)
        if change.epoch is not None:
            return await self._commit_with_epoch(change, lock, remove)
        function, values = self._call(change)
        try:
            async with self._database.transaction() as transaction:
                for statement, given in (lock, remove):
                    await transaction.fetch(statement, *given)
                await transaction.call_all(function, [values])
                if change.account is not None:
                    await transaction.fetch(KEEP_ACCOUNT, *account_values(change.account))
        except RefusedError as refused:
            return refused.outcome
        return Outcome.COMMITTED

    def _call(self, change: CoordinatorChange) -> tuple[str, tuple[object, ...]]:
        """The function that commits the change, and what it takes."""
        in_pools = _pool_values(change)
        function = "commit_coordinator_and_pools_v2" if in_pools else COMMIT
        return function, (*self._values(change), *in_pools)

    def _values(self, change: CoordinatorChange) -> tuple[object, ...]:
        results = () if change.result is None else (change.result,)
        return (
            *advance_values(self._rows, change, (*change.outgoing, *results)),
            len(change.outgoing) if results else None,
            *(_NO_REQUEST if change.request is None else rows.request_values(change.request)),
            *(change.reserve_key or _NO_NAME),
            *(_NO_KEY if change.key is None else rows.key_values(change.key)),
            *arrays([rows.event_values(event) for event in change.events], 3),
            *arrays([rows.commitment_values(made) for made in change.commitments], 6),
            *(change.cancels or _NO_NAME),
        )

    async def request(
        self, owner: str, request_id: str, digest: bytes | None = None
    ) -> RequestRecord | None:
        if digest is None:
            return await super().request(owner, request_id)
        # Of each that is to wait for its turn, and those come in crowds.
        (row,) = await self._database.ask(KNOWN, owner, request_id, digest)
        return None if row["request_id"] is None else rows.request(row)

    async def admit(
        self,
        owner: str,
        request_id: str,
        digest: bytes,
        *,
        key_session: bytes | None = None,
        epoch: int = 0,
        scheme: str = "",
        parties: Sequence[str] = (),
        pools: Sequence[str] = (),
        presignatures: int = 0,
    ) -> Admission:
        question, *wanted = (
            (ADMIT_IN_POOLS, list(pools), presignatures)
            if pools
            else (ADMIT, scheme, list(parties))
        )
        # In the order of the locks of `claim_presignatures_v1`.
        found = await self._database.ask(
            question,
            *(key_session, epoch, *wanted, owner, request_id, digest),
            order=(key_session or b"",),
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

    async def serve(self, pool: PoolName, limit: int, go_on: GoOn) -> list[CoordinatorChange]:
        name = pool_rows.pool_name_values(pool)
        async with self._database.transaction() as transaction:
            # First the lock, so that whatever was decided before it is seen.
            await transaction.fetch(LOCK_CLAIMS, pool.key_session)
            found = await transaction.fetch(LOCKED_LINE, *name, limit)
            stock = found[0]["stock"] if found else 0
            line = list(in_turn(map(pool_rows.waiting_session, found), stock))
            if not line:
                return []
            wanted = sum(waiting.count for waiting in line)
            taken = _presignatures(await transaction.fetch(CLAIM_PRESIGNATURES, *name, wanted))
            if not taken:  # they are being forgotten
                return []
            claimed = iter(taken)
            changes = [go_on(each, tuple(islice(claimed, each.count))) for each in line]
            await transaction.call_all(COMMIT, [self._values(change) for change in changes])
        return changes

    async def finished(self, session_ids: Sequence[bytes]) -> list[bytes]:
        found = await self._database.fetch(UNFINISHED_OF, list(session_ids))
        unfinished = {row["session_id"] for row in found}
        return [each for each in session_ids if each not in unfinished]

    async def stop_waiting(self, session_ids: Sequence[bytes]) -> None:
        await self._database.execute(STOP_WAITING, list(session_ids))


def _order(change: CoordinatorChange) -> tuple[object, ...]:
    """First what comes under a request's lock, by that; then what moves a session on."""
    if change.cancels is not None:
        return 0, change.cancels
    if change.request is not None:
        return 0, (change.request.owner, change.request.request_id)
    return 1, change.session_id


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
