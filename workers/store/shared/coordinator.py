# ruff: noqa: S608  # what varies in a statement are our own names, never a value
"""The coordinator's questions, in words that both databases understand."""

from __future__ import annotations

from ..database import Database
from ..records import REFUSED, KeyRecord, PartySeen, RequestRecord, StoredEvent
from ..rows import coordinator as rows
from ..rows.coordinator import EVENT_COLUMNS, KEY_COLUMNS, REQUEST_COLUMNS
from ..rows.sessions import OUTGOING_COLUMNS, SessionRows
from .accounts import SharedAccounts
from .key_epochs import SharedKeyEpochs

# A request with its result, whose columns are null as long as there is none.
_REQUESTS = f"""
    SELECT {", ".join(f"requests.{column}" for column in REQUEST_COLUMNS.split(", "))},
        requests.result_cause, {OUTGOING_COLUMNS}
    FROM requests
    LEFT JOIN outbox ON outbox.session_id = requests.session_id
        AND outbox.cause = requests.result_cause AND outbox.position = requests.result_position
"""

REQUEST = f"{_REQUESTS} WHERE requests.owner = $1 AND requests.request_id = $2"

# The request that has the id, unless it was refused and is other bytes than these.
STANDING = f"""
    {REQUEST}
        AND (requests.result_cause IS NULL OR requests.result_cause <> '{REFUSED}'
            OR requests.digest = $3)
"""

# Room for a request of an id that only a refused one has, which was other bytes.
SUPERSEDE = f"""
    DELETE FROM requests
    WHERE owner = $1 AND request_id = $2 AND result_cause = '{REFUSED}' AND digest <> $3
"""

REQUEST_OF = f"{_REQUESTS} WHERE requests.session_id = $1"

# The request of a session that ended without a result goes on in another one.
TAKE_OVER = """
    UPDATE requests SET session_id = $2 WHERE session_id = $1 AND result_cause IS NULL
"""

FORGET_COMMITMENTS = """
    DELETE FROM commitments
    WHERE key_session = $1 AND epoch = $2 AND scheme = $3 AND party_id = $4
"""

# Cancels are requests as well, and nobody's quota.
UNFINISHED = """
    SELECT owner, count(*) AS count FROM requests JOIN sessions USING (session_id)
    WHERE sessions.ended_at IS NULL AND sessions.protocol <> 'cancel'
    GROUP BY owner
"""

KEY = f"SELECT {KEY_COLUMNS} FROM keys WHERE owner = $1 AND key_id = $2"

KEY_OF = f"SELECT {KEY_COLUMNS} FROM keys WHERE key_session = $1"

KEYS = f"""
    SELECT {KEY_COLUMNS} FROM keys WHERE owner = $1 AND key_id > $2 ORDER BY key_id LIMIT $3
"""

ALL_KEYS = f"""
    SELECT {KEY_COLUMNS} FROM keys WHERE key_session > $1 ORDER BY key_session LIMIT $2
"""

EVENTS = f"""
    SELECT sequence, at, {EVENT_COLUMNS} FROM events
    WHERE session_id = $1
    ORDER BY sequence
"""

# Signs of life may overtake each other; the latest counts.
SEEN = """
    INSERT INTO parties (party_id, last_seen) VALUES ($1, $2)
    ON CONFLICT (party_id) DO UPDATE SET last_seen = excluded.last_seen
    WHERE parties.last_seen < excluded.last_seen
"""

PARTIES = "SELECT party_id, last_seen FROM parties ORDER BY party_id"


class SharedCoordinatorStore(SharedAccounts, SharedKeyEpochs):
    """The half of the coordinator's store that both databases share."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, SessionRows(), "coordinator")

    async def forget_commitments(
        self, key_session: bytes, epoch: int, scheme: str, party_id: str
    ) -> int:
        return await self._database.execute(
            FORGET_COMMITMENTS, key_session, epoch, scheme, party_id
        )

    async def unfinished(self) -> dict[str, int]:
        return {row["owner"]: row["count"] for row in await self._database.fetch(UNFINISHED)}

    async def request(
        self, owner: str, request_id: str, digest: bytes | None = None
    ) -> RequestRecord | None:
        found = await (
            self._database.fetch(REQUEST, owner, request_id)
            if digest is None
            else self._database.fetch(STANDING, owner, request_id, digest)
        )
        return rows.request(found[0]) if found else None

    async def request_of(self, session_id: bytes) -> RequestRecord | None:
        found = await self._database.fetch(REQUEST_OF, session_id)
        return rows.request(found[0]) if found else None

    async def key(self, owner: str, key_id: str) -> KeyRecord | None:
        found = await self._database.fetch(KEY, owner, key_id)
        return rows.key(found[0]) if found else None

    async def key_of(self, key_session: bytes) -> KeyRecord | None:
        found = await self._database.fetch(KEY_OF, key_session)
        return rows.key(found[0]) if found else None

    async def keys(self, owner: str, *, after: str = "", limit: int = 1000) -> list[KeyRecord]:
        found = await self._database.fetch(KEYS, owner, after, limit)
        return [rows.key(row) for row in found]

    async def all_keys(self, *, after: bytes = b"", limit: int) -> list[KeyRecord]:
        return [rows.key(row) for row in await self._database.fetch(ALL_KEYS, after, limit)]

    async def events(self, session_id: bytes) -> list[StoredEvent]:
        return [rows.event(row) for row in await self._database.fetch(EVENTS, session_id)]

    async def seen(self, party_id: str, now: int) -> None:
        await self._database.execute(SEEN, party_id, now)

    async def parties(self) -> list[PartySeen]:
        return [rows.party(row) for row in await self._database.fetch(PARTIES)]
