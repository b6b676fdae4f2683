"""`python -m ops.chaos.worker ORDERS party run ...`: a worker that does wrong when told to."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .orders import Obedience


def main(change: Callable[[], None] = lambda: None) -> None:
    """Arguments: change: What else is to be different about this worker."""
    obedience = Obedience(Path(sys.argv.pop(1)), worker_name())
    bend_time(obedience)  # before anybody could have taken the true clock for himself
    from ops.cli.main import main as warren

    from . import lying, wrapping

    wrapping.wrap(obedience)
    lying.wrap(obedience)
    change()
    warren()


def worker_name() -> str:
    """As the supervisor calls us."""
    return Path(os.environ["WARREN_READY_FILE"]).name.removesuffix(".ready")


def bend_time(obedience: Obedience) -> None:
    """The wall clock of this whole process, the store's included. The monotonic one stays."""
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + obedience.orders.skew_ms * 1_000_000

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    main()
