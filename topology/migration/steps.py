"""The steps of a migration, in their order, and what each may do to others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from topology.migration.parts import Parts
from topology.risks import Level, Risk

_NO_RISK: Final = Risk()


@dataclass(frozen=True, slots=True)
class Step:
    """
    Attributes:
        name: One word, by which it is recorded.
        text: What happens, for people.
    """

    name: str
    text: str
    risk: Risk = _NO_RISK


PREPARE, LEAD_IN, TURN, EMPTY = "prepare", "lead-in", "turn", "empty"
REPLACE, POUR, JOIN, LEAD_OUT, CLEAR = "replace", "pour", "join", "lead-out", "clear"


def steps(parts: Parts, *, pause: bool) -> Iterator[Step]:
    """Of a migration that has not begun."""
    old, new = parts.old, parts.new
    same = old == new
    yield Step(PREPARE, f"make exchanges and queues {parts.prefix}.*, which lead to {old}")
    yield Step(
        LEAD_IN,
        f"bind {parts.entry} as {old} is bound, then unbind {old}: its messages come by a detour",
    )
    yield Step(
        TURN,
        f"turn the stream to {parts.arriving}, with one binding",
        Risk(Level.LOW, "from now on consumers get nothing new until it is turned again"),
    )
    yield Step(
        EMPTY,
        f"wait until the consumers of {old} have emptied it; without any, move what it has to "
        f"{parts.waiting}",
        Risk(Level.LOW, "as long as a consumer holds a message, everything waits"),
    )
    if same:
        yield Step(
            REPLACE,
            f"delete {old}, which is empty, and make it as declared",
            Risk(Level.HIGH, "its consumers are cut off, and have to come back by themselves"),
        )
    else:
        yield Step(REPLACE, f"make {new} as declared")
    yield Step(POUR, f"move to {new} what {old} had, then what arrived meanwhile")
    yield Step(
        JOIN,
        f"when {parts.arriving} is empty, turn the stream to {new}, with one binding",
        Risk(Level.LOW, "for a moment publishers are refused (nack), and have to send again")
        if pause
        else Risk(Level.LOW, "what is published in this moment may change places"),
    )
    yield Step(LEAD_OUT, f"bind {new} as {old} was bound, then take the detour away")
    yield Step(
        CLEAR,
        f"delete {parts.prefix}.*, after one more look{'' if same else f', and {old}'}",
        Risk() if same else Risk(Level.LOW, f"{old} stays while it has consumers"),
    )
