"""What the person at the terminal sees: one line for each step, with its time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Step:
    """A step that was taken, and how long it took."""

    name: str
    """For programs."""
    seconds: float


class Narrator:
    """
    Arguments:
        console: On standard error where standard output is for programs.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self.steps: list[Step] = []

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return round(time.monotonic() - self._began, 3)

    @contextlib.contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Say what is done, while it is done, and how long it took."""
        began = time.monotonic()
        animated = self._console.is_terminal
        with self._console.status(text) if animated else contextlib.nullcontext():
            try:
                yield
            except BaseException:
                self._line("✗", "red", text, time.monotonic() - began)
                raise
        seconds = time.monotonic() - began
        self.steps.append(Step(name, round(seconds, 3)))
        self._line("✓", "green", text, seconds)

    def note(self, text: str) -> None:
        """A detail of the step that is going on."""
        self._console.print(Text(f"  {text}", style="dim"), soft_wrap=True)

    def show(self, what: RenderableType) -> None:
        """Show something between two steps."""
        self._console.print()
        self._console.print(what, soft_wrap=not isinstance(what, Table))

    def _line(self, mark: str, color: str, text: str, seconds: float) -> None:
        line = Text.assemble((f"{mark} ", color), f"{text:<60}", (f"{seconds:8.2f} s", "cyan"))
        self._console.print(line, soft_wrap=True)
