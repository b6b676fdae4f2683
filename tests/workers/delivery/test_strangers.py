"""Junk that anybody at the broker can send: counted, and one a second is kept."""

from __future__ import annotations

from itertools import pairwise

import pytest

from contracts.allowances import OneASecond
from contracts.errors import ContractError, UnauthenticatedError
from tests.workers.delivery.test_deliveries import QUEUE, consumed
from tests.workers.doubles import FakeMessage, FakePublisher
from workers.delivery.consuming import hear
from workers.delivery.deliveries import Delivery
from workers.delivery.strangers import UNAUTHENTICATED, Strangers


def counted(kind: str) -> float:
    found: float = UNAUTHENTICATED.labels(QUEUE, kind)._value.get()
    return found


async def test_of_unsigned_messages_all_are_counted_and_one_a_second_is_kept() -> None:
    seconds = [0.0]
    strangers = Strangers(QUEUE, clock=lambda: seconds[0])
    publisher, before = FakePublisher(), counted("unsigned")

    async def refuse(_: Delivery) -> None:
        raise UnauthenticatedError("nobody signed it", kind="unsigned")

    for now in (0.0, 0.1, 0.9, 1.0, 1.5, 2.1):
        seconds[0] = now
        message = FakeMessage()
        await consumed(message, publisher, refuse, strangers=strangers)
        assert message.endings == ["ack"]
    assert len(publisher.sent) == 3
    assert counted("unsigned") == before + 6


async def test_what_somebody_known_has_signed_is_always_kept() -> None:
    publisher, strangers = FakePublisher(), Strangers(QUEUE, clock=lambda: 0.0)

    async def refuse(_: Delivery) -> None:
        raise ContractError("it does not fit")

    for _ in range(3):
        await consumed(FakeMessage(), publisher, refuse, strangers=strangers)
    assert len(publisher.sent) == 3


@pytest.mark.parametrize(
    ("error", "logged"),
    [(UnauthenticatedError("nobody signed it", kind="unsigned"), 1), (ContractError("unfit"), 3)],
)
def test_of_broadcasts_that_nobody_signed_one_a_second_is_logged(
    error: ContractError, logged: int, caplog: pytest.LogCaptureFixture
) -> None:
    strangers, before = Strangers(QUEUE, clock=lambda: 0.0), counted("unsigned")

    def refuse(_: bytes) -> None:
        raise error

    for _ in range(3):
        hear(b"", refuse, strangers)
    assert caplog.messages == ["broadcast ignored"] * logged
    assert counted("unsigned") - before == (3 if logged == 1 else 0)


@pytest.mark.parametrize("step_s", [0.4, 1.0])
def test_an_allowance_takes_one_a_second_however_often_it_is_asked(step_s: float) -> None:
    times = [i * step_s for i in range(10)]
    clock = iter([0.0, *times])
    allowance = OneASecond(lambda: next(clock))
    taken = [now for now in times if allowance.takes()]
    assert taken[0] == 0.0
    assert all(later - earlier >= 1 for earlier, later in pairwise(taken))
