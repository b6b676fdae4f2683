"""What the harness tells its workers to do wrong: small files, which each worker watches.

Product code knows nothing of this. `worker` is the entry that does.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .faults import Kind

_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """To all workers of one role, for as long as they stand."""

    skew_ms: int = 0
    silent: bool = False
    liar: bool = False
    presigning_liar: bool = False
    equivocator: bool = False
    weather: bool = False
    loss: bool = False
    disk_full: bool = False
    seed: int = 0


class OrderBook:
    """The harness's side."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(mode=0o700, parents=True)

    def give(self, role: str, orders: Orders) -> None:
        _replace(self.directory / f"{role}.json", json.dumps(asdict(orders)))

    def lift(self, role: str) -> None:
        (self.directory / f"{role}.json").unlink(missing_ok=True)

    def crash(self, worker: str, point: Kind) -> None:
        """Once, at the next such point."""
        _replace(self.directory / f"{worker}.crash", point.value)

    def felt(self, role: str) -> int:
        """How often its workers have done wrong by order, so far."""
        path = self.directory / f"{role}.felt"
        return path.stat().st_size if path.exists() else 0

    def stands(self, worker: str) -> bool:
        """Whether an order to crash is still to be carried out."""
        return (self.directory / f"{worker}.crash").exists()

    def pardon(self, worker: str) -> bool:
        """Take the order to crash back. False if it was carried out."""
        try:
            (self.directory / f"{worker}.crash").unlink()
        except FileNotFoundError:
            return False
        return True

    def wire(self, ports: dict[str, int]) -> None:
        """Worker -> the local port through which it is to reach the broker."""
        _replace(self.directory / "wires", json.dumps(ports))


class Obedience:
    """A worker's side: what it is told at the moment."""

    def __init__(self, directory: Path, worker: str) -> None:
        self.worker = worker
        self.role = worker.partition(".")[0]
        self.orders = Orders()
        self._orders = directory / f"{self.role}.json"
        self._crash = directory / f"{worker}.crash"
        self._felt = directory / f"{self.role}.felt"
        self._wires = directory / "wires"
        self._point: str | None = None
        self.look()
        threading.Thread(target=self._watch, daemon=True, name="orders").start()

    def look(self) -> None:
        text = _text(self._orders)
        self.orders = Orders(**json.loads(text)) if text else Orders()
        self._point = _text(self._crash)

    def wire_port(self) -> int | None:
        port: int | None = json.loads(_text(self._wires) or "{}").get(self.worker)
        return port

    def feel(self) -> None:
        """Count that an order was carried out."""
        with self._felt.open("ab") as file:
            file.write(b".")

    def die_at(self, point: Kind) -> None:
        if self._point == point.value:
            # Whoever takes the order away decides: pardoned meanwhile, it lives.
            with contextlib.suppress(FileNotFoundError):
                self._crash.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOK_EVERY_S)
            self.look()


def _replace(path: Path, text: str) -> None:
    """Whole or not at all: a worker may look at any moment."""
    unfinished = path.with_suffix(".new")
    unfinished.write_text(text)
    unfinished.rename(path)


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
