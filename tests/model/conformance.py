"""Holds a real store against the model: random walks of what one party's transactions can be asked.

A store is held against it by an adapter, `Held`, of a few lines. What it answers has to be what the
model answers, at every step. Of time it is told, in the model's units; the adapter knows how many
milliseconds one is, and configures tolerance, lifetime and memory as `party` has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Protocol

from .interleavings import Design
from .party import (
    NOBODY_SAYS,
    TOLERANCE,
    Body,
    Cancel,
    Kept,
    Statement,
    Verdict,
    commit_cancellation,
    commit_share,
    crash,
    purge,
    restore,
    statement,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """Attributes: statement: Of `Verdict.STATED`."""

    verdict: Verdict
    statement: Statement | None = None


class Held(Protocol):
    """A store of one party, for one owner and request id, with all that is asked before it: the
    rules of time are a handler's, or a transaction's; here they count once."""

    async def commit_share(self, body: Body, session: int, now: int) -> Answer:
        """COMMITTED, or why not. A session in which it was committed before is not asked again."""

    async def cancel(self, cancel: Cancel, now: int) -> Answer:
        """STATED, or why not."""

    async def purge(self, now: int) -> None: ...

    async def copy(self) -> None:
        """Make a copy of the database, in place of the one before."""

    async def restore(self, now: int) -> None:
        """Put the copy in the database's place, and open it again: memory is lost."""

    async def crash(self, now: int) -> None:
        """Lose what is not logged, and open it again."""


class Model:
    """The model itself as a store; the measure of the others."""

    def __init__(self, design: Design | None = None) -> None:
        self._design = design or Design()
        self._kept = Kept()
        self._copy = Kept()

    async def commit_share(self, body: Body, session: int, now: int) -> Answer:
        refused = self._design.refusal(self._kept, (body, session), now, early=False)
        if refused is not None:
            return Answer(refused)
        self._kept = commit_share(self._kept, body, session, now)
        return Answer(Verdict.COMMITTED)

    async def cancel(self, cancel: Cancel, now: int) -> Answer:
        refused = self._design.refusal(self._kept, cancel, now, early=False)
        if refused is not None:
            return Answer(refused)
        self._kept = commit_cancellation(self._kept, cancel)
        stated = statement(self._kept, now)
        if not self._design.names_beginning:
            stated = stated._replace(since=NOBODY_SAYS)
        return Answer(Verdict.STATED, stated)

    async def purge(self, now: int) -> None:
        self._kept = purge(self._kept, now)

    async def copy(self) -> None:
        self._copy = self._kept

    async def restore(self, now: int) -> None:
        self._kept = restore(self._kept, self._copy, now)

    async def crash(self, now: int) -> None:
        self._kept = crash(self._kept, now)


@dataclass(frozen=True, slots=True)
class Step:
    """
    Attributes:
        what: A share, a cancel, or one of `purge`, `copy`, `restore`, `crash`.
    """

    now: int
    what: tuple[Body, int] | Cancel | str


def walk(seed: int, steps: int) -> Iterator[Step]:
    """Requests and cancels of about now, and seldom something worse."""
    random, now, session, copied = Random(seed), TOLERANCE + 1, 0, False
    body = Body(f"a of {now}", now)
    for _ in range(steps):
        now += random.choice((0, 0, 1))
        match random.choices(("share", "cancel", "purge", "trouble"), (6, 3, 2, 1))[0]:
            case "share":
                if random.random() < 0.4:
                    issued_at = now + random.randint(-4, 2)
                    body = Body(f"{random.choice('ab')} of {issued_at}", issued_at)
                session += 1
                yield Step(now, (body, session))
            case "cancel":
                target = random.choice((body.issued_at, None))
                yield Step(now, Cancel(now + random.randint(-1, 2), target))
            case "purge":
                yield Step(now, "purge")
            case _:
                what = random.choice(("copy", "restore", "crash") if copied else ("copy", "crash"))
                copied = copied or what == "copy"
                yield Step(now, what)


async def disagreement(
    store: Held, walked: Iterator[Step], design: Design | None = None
) -> str | None:
    """The first step at which the store says something else than the model of this design."""
    model, done = Model(design), []
    for step in walked:
        expected, found = await _take(model, step), await _take(store, step)
        done.append(f"{step}: {expected}")
        if expected != found:
            return "\n".join([*done, f"but the store says {found}"])
    return None


async def _take(store: Held, step: Step) -> Answer | None:
    match step.what:
        case Cancel() as cancel:
            return await store.cancel(cancel, step.now)
        case (Body() as body, int(session)):
            return await store.commit_share(body, session, step.now)
        case "purge":
            await store.purge(step.now)
        case "copy":
            await store.copy()
        case "restore":
            await store.restore(step.now)
        case "crash":
            await store.crash(step.now)
        case _:
            raise AssertionError(step)
    return None
