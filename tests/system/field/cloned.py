"""`python -m tests.system.field.cloned party run ...`: a worker whose randomness comes again.

As of machines that are copies of one another, or one that was put back: what each asks for, it gets
as it got it before. Each party has its own.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from ops.cli.main import main
from workers.party.consumer import PartyConsumer


def always_the_same(count: int) -> bytes:
    return hashlib.shake_256(" ".join(sys.argv).encode()).digest(count)


def clone() -> None:
    anything: Any = PartyConsumer
    make = anything.__init__

    def make_cloned(self: PartyConsumer, *given: object, **named: object) -> None:
        make(self, *given, **{**named, "randomness": always_the_same})

    anything.__init__ = make_cloned


if __name__ == "__main__":
    clone()
    main()
