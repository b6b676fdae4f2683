"""Stocks of presignatures, and who asks or waits for them."""

from __future__ import annotations

from ast import literal_eval
from collections.abc import Sequence

from workers.store.interface import CoordinatorStore
from workers.store.records import (
    CoordinatorChange,
    Outcome,
    PooledPresignature,
    WaitingSession,
)

from .conftest import RawDatabase
from .examples import (
    KEY,
    coordinator_change,
    outgoing,
    request,
    session_id,
    waiter,
)


async def stock(store: CoordinatorStore, *batches: Sequence[PooledPresignature]) -> None:
    for made in batches:
        change = coordinator_change(
            f"batch {made[0].batch.hex()}", status="completed", presignatures=tuple(made)
        )
        assert await store.commit(change) is Outcome.COMMITTED


async def ask(
    store: CoordinatorStore, pools: Sequence[str], count: int = 1
) -> tuple[PooledPresignature, ...]:
    """What a request that nobody knows gets."""
    admission = await store.admit(
        "svcA",
        "nobody's",
        request().digest,
        key_session=KEY,
        epoch=0,
        pools=pools,
        presignatures=count,
    )
    assert admission.request is None
    assert admission.claimed == {}
    return admission.presignatures


async def left(raw: RawDatabase) -> int:
    return len(await raw.query("SELECT * FROM presignatures"))


async def wait_for(
    store: CoordinatorStore, name: str, count: int = 1, signers: str = "1,2"
) -> None:
    change = coordinator_change(name, status="waiting", waiter=waiter(name, count, signers))
    assert await store.commit(change) is Outcome.COMMITTED


async def line_up(store: CoordinatorStore, *names: str, count: int = 1) -> None:
    """Sessions with requests, which wait in this order."""
    for name in names:
        asked = request(f"asks for {name}", session_id=session_id(name))
        waits = waiter(name, count)
        change = coordinator_change(name, status="waiting", request=asked, waiter=waits)
        assert await store.commit(change) is Outcome.COMMITTED


def go_on(
    waiting: WaitingSession, presignatures: tuple[PooledPresignature, ...]
) -> CoordinatorChange:
    """Tells what it was given."""
    session = waiting.session
    return CoordinatorChange(
        session_id=session.session_id,
        expected_version=session.version,
        protocol=session.protocol,
        key_session=session.key_session,
        status="in_progress",
        deadline=session.deadline + 1,
        state=repr(sorted((each.batch, each.position) for each in presignatures)).encode(),
        cause="served",
        outgoing=(outgoing(waiting.session.session_id.hex()),),
    )


def given(changes: Sequence[CoordinatorChange]) -> list[tuple[bytes, int]]:
    return [place for change in changes for place in literal_eval(change.state.decode())]


def ids(*names: str) -> list[bytes]:
    return [session_id(name) for name in names]
