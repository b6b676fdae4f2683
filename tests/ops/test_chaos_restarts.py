"""A machine that dies while it starts is started again, a few times."""

from __future__ import annotations

from typing import Any

import pytest

from ops.chaos import injector
from ops.stack.errors import ChildDiedError


class Frail:
    """Dies at so many of its first starts."""

    def __init__(self, deaths: int) -> None:
        self.deaths = deaths
        self.starts = 0

    def start(self) -> None:
        self.starts += 1

    def wait_ready(self) -> None:
        if self.starts <= self.deaths:
            raise ChildDiedError("it found another node incompatible")


@pytest.mark.parametrize("deaths", [0, 1, injector.STARTS - 1])
async def test_it_is_started_until_it_stays(deaths: int) -> None:
    machine: Any = Frail(deaths)
    await injector._up(machine)
    assert machine.starts == deaths + 1


async def test_one_that_never_stays_is_an_error() -> None:
    machine: Any = Frail(injector.STARTS)
    with pytest.raises(ChildDiedError):
        await injector._up(machine)
    assert machine.starts == injector.STARTS
