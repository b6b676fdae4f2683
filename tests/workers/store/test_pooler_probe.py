"""How a pooler that shares sessions is told from one that keeps them, by each way it may show.

Which way a real one shows is a matter of moments; so the sessions that are found are said here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from migrations import PoolerError, connections

URL = "postgresql://party@localhost/party"
OURS, ANOTHER, THIRD = "7@1.5", "8@1.5", "9@1.5"
POOLER_PID = 3
Answer = str | BaseException


class Scripted:
    """A connection through a pooler. `sessions` are answered in turn, the last one again."""

    session = ""
    pooled = False

    def __init__(self, *sessions: Answer, begin: BaseException | None = None) -> None:
        self._sessions = list(sessions)
        self._begin = begin
        self.open = True

    async def fetchval(self, query: str, **_: Any) -> str:
        assert query == connections.ASK_SESSION
        answer = self._sessions.pop(0) if len(self._sessions) > 1 else self._sessions[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def execute(self, query: str) -> None:
        assert query == "BEGIN"
        if self._begin is not None:
            raise self._begin

    def get_server_pid(self) -> int:
        return POOLER_PID

    def terminate(self) -> None:
        self.open = False


Opening = Callable[..., None]


@pytest.fixture
def opening(monkeypatch: pytest.MonkeyPatch) -> Opening:
    """Whoever connects gets these, in this order."""

    def prepare(*opened: Scripted | BaseException) -> None:
        waiting = list(opened)

        async def connect(*_: Any, **__: Any) -> Scripted:
            found = waiting.pop(0)
            if isinstance(found, BaseException):
                raise found
            return found

        monkeypatch.setattr(asyncpg, "connect", connect)

    return prepare


async def test_two_connections_with_a_session_each_are_well(opening: Opening) -> None:
    first, second = Scripted(OURS), Scripted(ANOTHER)
    opening(first, second)
    # A double: mypy knows that `connect` returns no such thing.
    assert await connections.connect(URL) is first  # type: ignore[comparison-overlap]
    assert (first.open, first.session, first.pooled) == (True, OURS, True)
    assert not second.open


async def test_the_server_itself_is_not_asked_twice(opening: Opening) -> None:
    only = Scripted(f"{POOLER_PID}@1.5")
    opening(only)
    await connections.connect(URL)
    assert not only.pooled


@pytest.mark.parametrize(
    "gone",
    [
        asyncpg.TooManyConnectionsError("none left"),
        asyncpg.InterfaceError("closed"),
        ConnectionRefusedError(),
        TimeoutError(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_where_none_is_left_for_a_second_they_are_not_shared(
    opening: Opening, gone: BaseException
) -> None:
    first = Scripted(OURS)
    opening(first, gone)
    await connections.connect(URL)
    assert first.open


KNOWN_ALREADY = asyncpg.DuplicatePreparedStatementError("")
UNKNOWN = asyncpg.InvalidSQLStatementNameError("")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([OURS, ANOTHER], []),
        ([OURS, KNOWN_ALREADY], []),
        ([UNKNOWN], []),
        ([OURS], [ANOTHER, THIRD]),
        ([OURS], [UNKNOWN]),
        ([OURS], [ANOTHER, UNKNOWN]),
        ([OURS, OURS, ANOTHER], [THIRD]),
        ([OURS], [OURS]),
    ],
    ids=[
        "ours is another",
        "ours knows another's statement",
        "ours does not know its statement",
        "the second's is another in a transaction",
        "the second's does not know its statement",
        "the second's forgets it in a transaction",
        "ours is another while the second holds one",
        "both have the same",
    ],
)
async def test_each_sign_of_sharing_is_refused(
    opening: Opening, first: list[Answer], second: list[Answer]
) -> None:
    ours, seconds = Scripted(*first), Scripted(*second or [ANOTHER])
    opening(ours, seconds)
    with pytest.raises(PoolerError, match=r"pool_mode = session .*pgbouncer\.md"):
        await connections.connect(URL)
    assert not ours.open
    assert not seconds.open or not second


@pytest.mark.parametrize(
    "refusal",
    [asyncpg.FeatureNotSupportedError(""), asyncpg.InterfaceError("")],
    ids=lambda error: type(error).__name__,
)
async def test_where_there_are_no_transactions_it_is_refused(
    opening: Opening, refusal: BaseException
) -> None:
    first, second = Scripted(OURS), Scripted(ANOTHER, begin=refusal)
    opening(first, second)
    with pytest.raises(PoolerError, match="pool_mode = session"):
        await connections.connect(URL)
    assert not first.open
    assert not second.open


async def test_another_error_of_the_server_s_is_told_as_it_is(opening: Opening) -> None:
    first = Scripted(asyncpg.AdminShutdownError("terminating"))
    opening(first)
    with pytest.raises(asyncpg.AdminShutdownError):
        await connections.connect(URL)
    assert not first.open


async def test_who_does_not_answer_in_time_is_said_to_or_to_have_none_left(
    opening: Opening,
) -> None:
    silent = Scripted(TimeoutError())
    opening(silent)
    with pytest.raises(TimeoutError, match="no session within 15 s"):
        await connections.connect(URL)
    assert not silent.open
    opening(TimeoutError())
    with pytest.raises(TimeoutError, match="no session within 4 s"):
        await connections.connect(URL, connect_s=4)


async def test_without_a_probe_one_connection_is_made(opening: Opening) -> None:
    first = Scripted(OURS, ANOTHER)
    opening(first)
    await connections.connect(URL, probe=False)
    double: Any = first
    with pytest.raises(PoolerError):
        await connections.require_own(double)
