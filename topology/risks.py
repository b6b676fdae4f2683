"""What a change may do to those who use the broker: a level for the eye, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from topology.model import (
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    Table,
    TopicPermission,
    User,
    UserLimits,
    VhostLimits,
)
from topology.names import covers, names_of

if TYPE_CHECKING:
    from topology.plan import Change


class Level(StrEnum):
    """From what nobody notices to what somebody may lose something by."""

    NONE = "none"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True, slots=True)
class Risk:
    """
    Attributes:
        why: Empty where there is none.
    """

    level: Level = Level.NONE
    why: str = ""

    def __str__(self) -> str:
        return f"risk {self.level}{f': {self.why}' if self.why else ''}"


_NO_RISK = Risk()


def risk(change: Change) -> Risk:
    """Of one change."""
    match str(change.action):
        case "create":
            return _of_creation(change)
        case "update":
            return _of_update(change)
        case _:
            return _of_deletion(change)


def _of_creation(change: Change) -> Risk:
    match change.target:
        case Binding():
            return Risk(Level.LOW, "messages go there that did not")
        case TopicPermission():
            return Risk(Level.LOW, "until now every routing key was allowed, from now on these")
        case UserLimits() | VhostLimits():
            return Risk(Level.LOW, "who is above it already gets no more")
        case _:
            return _NO_RISK


def _of_update(change: Change) -> Risk:
    before, after = change.before, change.target
    match after:
        case Policy():
            return Risk(Level.LOW, "holds at once, also for messages that are there")
        case Permission() if isinstance(before, Permission):
            verbs = ("configure", "write", "read")
            return _of_rights([(getattr(before, verb), getattr(after, verb)) for verb in verbs])
        case TopicPermission() if isinstance(before, TopicPermission):
            return _of_rights([(before.write, after.write), (before.read, after.read)])
        case User(new_password=True):
            return Risk(Level.HIGH, "who has the old password only cannot connect any more")
        case User():
            return Risk(Level.LOW, "holds from its next connection on")
        case UserLimits() | VhostLimits():
            return Risk(Level.LOW, "who is above it already gets no more")
        case _:
            return _NO_RISK


def _of_rights(edits: list[tuple[str, str]]) -> Risk:
    """Whoever loses a right may be using it; who gains one, gains it."""
    loses = any(_more(before, after) for before, after in edits)
    gains = any(_more(after, before) for before, after in edits)
    if loses:
        more = ", and may do something new" if gains else ""
        return Risk(Level.HIGH, f"may no longer do what it could, from its next channel on{more}")
    return Risk(Level.LOW, "may do more than it could")


def _more(one: str, other: str) -> bool:
    """Whether the first names something that the second does not, as far as can be told."""
    if one == other:
        return False
    names, others = names_of(one), names_of(other)
    if names is None or others is None:
        return True
    return any(not covers(others, name) for name in names)


def _of_deletion(change: Change) -> Risk:
    match change.target:
        case Binding():
            return Risk(Level.LOW, "messages of this key go there no more")
        case Queue() if change.loses:
            return Risk(Level.HIGH, "its messages go with it, as was said")
        case Queue():
            return Risk(Level.HIGH, "only if it is empty and unused, which is looked at once more")
        case Exchange():
            return Risk(Level.HIGH, "who still publishes to it is refused")
        case Policy():
            return Risk(Level.LOW, "its limits hold for nothing more")
        case User():
            return Risk(Level.HIGH, "closes its connections, and it gets no new ones")
        case Permission():
            return Risk(
                Level.HIGH,
                "refused from its next channel on; it keeps its connections",
            )
        case TopicPermission():
            return Risk(
                Level.LOW, "every routing key is allowed, where its user may publish at all"
            )
        case _:
            return _NO_RISK


def changed(before: Table, after: Table) -> list[str]:
    """What differs between two tables, for people."""
    old, new = dict(before), dict(after)
    return [
        f"{key} {old.get(key, 'unset')} -> {new.get(key, 'unset')}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
