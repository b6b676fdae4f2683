"""A store whose database is away when it is entered can be entered once more."""

from __future__ import annotations

from typing import Any

import pytest

from workers.store.interface import StoreUnavailableError
from workers.store.opening import open_coordinator_store
from workers.store.records import Outcome

from .conftest import open_party
from .examples import coordinator_change, party_change


@pytest.fixture(params=["party", "coordinator"])
def role_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def store(role_name: str, url: str) -> Any:
    return open_party(url) if role_name == "party" else open_coordinator_store(url)


@pytest.fixture
def change(role_name: str) -> Any:
    return party_change() if role_name == "party" else coordinator_change()


async def away(*_: object) -> None:
    raise StoreUnavailableError("away")


@pytest.mark.parametrize(
    ("role_name", "look"), [("party", "ping"), ("party", "attest"), ("coordinator", "ping")]
)
async def test_a_store_that_could_not_be_entered_is_entered_later(
    store: Any, change: Any, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(type(store), look, away)
        with pytest.raises(StoreUnavailableError):
            await store.__aenter__()
    async with store:
        assert await store.commit(change) is Outcome.COMMITTED


async def test_a_store_that_was_left_can_be_entered_again(store: Any, change: Any) -> None:
    async with store:
        pass
    async with store:
        assert await store.commit(change) is Outcome.COMMITTED
