"""The event that a request's session ended without a result."""

from __future__ import annotations

import pytest

from contracts.failures import Failure, FailureCode
from tests.session.conducts import keygen_conduct
from workers.coordinator.endings import Ended, Endings

ENDED = Ended(bytes(32), keygen_conduct(), Failure.of(FailureCode.SPOILT, "because"))


async def test_all_who_listen_hear_of_it_one_after_the_other() -> None:
    heard = []

    async def first(ended: Ended) -> None:
        heard.append(("first", ended))

    async def second(ended: Ended) -> None:
        heard.append(("second", ended))

    endings = Endings()
    endings.heard_by(first)
    endings.heard_by(second)
    await endings.tell(ENDED)
    assert heard == [("first", ENDED), ("second", ENDED)]


async def test_who_tells_learns_that_a_listener_failed() -> None:
    async def fails(_: Ended) -> None:
        raise ConnectionError

    endings = Endings()
    endings.heard_by(fails)
    with pytest.raises(ConnectionError):
        await endings.tell(ENDED)


async def test_a_request_that_nobody_would_go_on_with_is_not_forgotten_silently() -> None:
    with pytest.raises(LookupError, match="nobody goes on with its request"):
        await Endings().tell(ENDED)
