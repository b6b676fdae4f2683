"""Junk that anybody at the broker can send: counted, and one a second is kept."""

from __future__ import annotations

from itertools import pairwise

import pytest

from contracts.allowances import Allowance, Flood
from contracts.errors import ContractError, UnauthenticatedError
from tests.patience import until
from tests.workers.delivery.test_deliveries import QUEUE, consumed
from tests.workers.doubles import FakeMessage, FakePublisher
from workers.delivery.consuming import hear
from workers.delivery.deliveries import Delivery
from workers.delivery.strangers import (
    FLOOD,
    KNOWN_A_SECOND,
    REFUSED,
    UNAUTHENTICATED,
    UNFIT,
    Strangers,
)


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


async def test_of_what_somebody_known_has_signed_so_many_a_second_are_kept() -> None:
    """Or whoever has a key fills the dead letters, and hides those of others."""
    seconds = [0.0]
    publisher, strangers = FakePublisher(), Strangers(QUEUE, clock=lambda: seconds[0])
    before = refused(UNFIT, "kept"), refused(UNFIT, "dropped")

    async def refuse(_: Delivery) -> None:
        raise ContractError("it does not fit")

    for expected in (KNOWN_A_SECOND, 2 * KNOWN_A_SECOND):
        for _ in range(100):
            message = FakeMessage()
            await consumed(message, publisher, refuse, strangers=strangers)
            assert message.endings == ["ack"]
        assert len(publisher.sent) == expected
        seconds[0] += 60  # and nothing is saved up
    assert refused(UNFIT, "kept") - before[0] == 2 * KNOWN_A_SECOND
    assert refused(UNFIT, "dropped") - before[1] == 200 - 2 * KNOWN_A_SECOND


def test_one_kind_does_not_hide_another() -> None:
    strangers = Strangers(QUEUE, clock=lambda: 0.0)
    kinds = ("unsigned", "stranger", "unsigned", "wrong_signature", "stranger")
    errors = [UnauthenticatedError("no", kind=kind) for kind in kinds]
    kept = [strangers.keeps(error) for error in errors]
    assert kept == [True, True, False, True, False]


def refused(kind: str, letter: str) -> float:
    found: float = REFUSED.labels(QUEUE, kind, letter)._value.get()
    return found


def flooding() -> float:
    found: float = FLOOD.labels(QUEUE)._value.get()
    return found


def test_a_flood_is_told_of_once_at_its_beginning_and_once_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seconds = [0.0]
    strangers = Strangers(QUEUE, clock=lambda: seconds[0])
    error = UnauthenticatedError("no", kind="unsigned")
    for _ in range(Flood.BEGINS_WITH):
        strangers.keeps(error)
    assert (caplog.messages, flooding()) == ([], 0)
    for _ in range(1_000):
        strangers.keeps(error)
        seconds[0] += 1 / 64
    (begun,) = caplog.messages
    assert begun.startswith("a flood of messages that are refused")
    assert flooding() == 1
    seconds[0] += Flood.OVER_AFTER_S - 0.1
    strangers._sampling.look()
    assert len(caplog.messages) == 1
    seconds[0] += 0.2
    strangers._sampling.look()
    assert caplog.messages[1:] == ["the flood of messages that were refused is over"]
    assert flooding() == 0
    (dropped,) = (vars(each)["dropped"] for each in caplog.records if hasattr(each, "dropped"))
    assert dropped == Flood.BEGINS_WITH + 1_000 - 16  # one in each second is a dead letter


def test_a_trickle_is_no_flood(caplog: pytest.LogCaptureFixture) -> None:
    seconds = [0.0]
    strangers = Strangers(QUEUE, clock=lambda: seconds[0])
    for _ in range(1_000):
        strangers.keeps(UnauthenticatedError("no", kind="unsigned"))
        seconds[0] += 0.1
    assert (caplog.messages, flooding()) == ([], 0)


async def test_the_end_of_a_flood_is_told_of_though_nothing_comes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Flood, "OVER_AFTER_S", 0.1)
    strangers = Strangers(QUEUE)
    for _ in range(2 * Flood.BEGINS_WITH):
        strangers.keeps(UnauthenticatedError("no", kind="unsigned"))
    await until(lambda: "the flood of messages that were refused is over" in caplog.messages)


@pytest.mark.parametrize("step_s", [0.4, 1.0])
def test_an_allowance_takes_one_a_second_however_often_it_is_asked(step_s: float) -> None:
    times = [i * step_s for i in range(10)]
    clock = iter([0.0, *times])
    allowance = Allowance(1, lambda: next(clock))
    taken = [now for now in times if allowance.takes()]
    assert taken[0] == 0.0
    assert all(later - earlier >= 1 for earlier, later in pairwise(taken))
