"""What can be wrong with the files, and where. All of it is collected before anybody is told."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A line of a file, printed so that editors and terminals can jump to it."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong with the files, and where."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class Problems:
    """A collector: reading goes on after a mistake, so that one run names all of them."""

    found: list[Problem] = field(default_factory=list)

    def add(self, place: Place, text: str) -> None:
        """Note a problem and go on: all of them are told at once."""
        self.found.append(Problem(place, text))

    def raise_if_any(self) -> None:
        """Raises InvalidTopologyError with all that were found, in the order of their places."""
        if self.found:
            raise InvalidTopologyError(tuple(sorted(set(self.found))))


class TopologyError(Exception):
    """Base of everything this package raises; the text is a sentence for the operator."""

    exit_code: int = 1
    """Of a command that ends with it."""


class InvalidTopologyError(TopologyError):
    """The files contradict themselves or RabbitMQ; nothing was sent to the broker."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean "x"?)`` or nothing, to be appended to a message."""
    close = difflib.get_close_matches(word, sorted(known), n=1)
    return f' (did you mean "{close[0]}"?)' if close else ""
