"""All that can happen to a party, breadth first, and what an attacker has of it in the end.

The attacker is the coordinator and the broker: it delivers anything at any time to any worker, and
keeps what comes out. Parties do not see each other, so what can happen to three of them is what can
happen to each, in every combination; one party's states are enumerated and the combinations are
counted over what was got from each. The two workers are alike, so their order does not count.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import NamedTuple

from .party import (
    CANCEL_RULES,
    SHARE_RULES,
    TOLERANCE,
    TRIES,
    Body,
    Cancel,
    Kept,
    Statement,
    Verdict,
    Wanted,
    commit_cancellation,
    commit_share,
    crash,
    purge,
    restore,
    statement,
)

WORKERS = 2


class Doing(NamedTuple):
    """A worker between its reading and its transaction."""

    wanted: Wanted
    incarnation: int


class Spoils(NamedTuple):
    """What an attacker has of the party.

    Attributes:
        unbroken: Shares of which the party has a memory.
    """

    shares: frozenset[tuple[Body, int]] = frozenset()
    statements: frozenset[Statement] = frozenset()
    unbroken: frozenset[tuple[Body, int]] = frozenset()


class World(NamedTuple):
    now: int = 1
    kept: Kept = Kept()
    copy: Kept | None = None
    doing: tuple[Doing, ...] = ()
    spoils: Spoils = Spoils()


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """The rules, and each of them to be switched off.

    Attributes:
        off: Rules that are not asked.
        early: Rules that are asked when a worker reads, and not again in its transaction.
        sends_first: A share goes out before its transaction.
        states_first: A statement goes out before its transaction.
        unfenced: A worker that read before memory was lost still commits.
        forgets_sharp: Answers are kept no longer than statements look back.
        names_beginning: Statements say since when, and clients heed it.
        logged: Cancellations survive a crash.
    """

    off: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    sends_first: bool = False
    states_first: bool = False
    unfenced: bool = False
    forgets_sharp: bool = False
    names_beginning: bool = True
    logged: bool = True

    def refusal(self, kept: Kept, wanted: Wanted, now: int, *, early: bool) -> Verdict | None:
        rules = CANCEL_RULES if isinstance(wanted, Cancel) else SHARE_RULES
        for name, rule in rules.items():
            if name not in self.off and (name in self.early) == early:
                verdict = rule(kept, wanted, now)
                if verdict is not None:
                    return verdict
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """How much can happen."""

    bodies: tuple[Body, ...]
    cancels: tuple[Cancel, ...]
    sessions: int = 1
    ends: int = 11
    losses: int = 1

    def wishes(self) -> Iterator[Wanted]:
        yield from product(self.bodies, range(self.sessions))
        yield from self.cancels


@dataclass(slots=True)
class Found:
    """
    Attributes:
        trace: What led to the first state that breaks a promise; empty if none does.
    """

    states: int = 0
    trace: list[str] = field(default_factory=list)


def explore(scene: Scene, design: Design) -> Found:
    """Every state, until a promise is broken."""
    first, found = World(), Found()
    came_from: dict[World, tuple[World, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        world = waiting.popleft()
        found.states += 1
        if broken := breach(world, scene, design):
            found.trace = [*_trace(came_from, world), broken]
            return found
        for what, following in steps(world, scene, design):
            if following not in came_from:
                came_from[following] = (world, what)
                waiting.append(following)
    return found


def steps(world: World, scene: Scene, design: Design) -> Iterator[tuple[str, World]]:
    now, kept = world.now, world.kept
    if now < scene.ends:
        yield "time passes", world._replace(now=now + 1)
    tolerance = 0 if design.forgets_sharp else TOLERANCE
    if (left := purge(kept, now, tolerance=tolerance)) != kept:
        spoils = world.spoils
        if left.answers is None:
            spoils = spoils._replace(unbroken=frozenset())
        yield "old rows go", world._replace(kept=left, spoils=spoils)
    if world.copy is None and kept.cancelled is None and scene.losses:
        yield "a copy is made", world._replace(copy=kept)
    if kept.incarnation < scene.losses:
        fresh = world.spoils._replace(unbroken=frozenset())
        crashed = crash(kept, now)
        if not design.logged:
            crashed = crashed._replace(cancelled=None)
        yield "crash", world._replace(kept=crashed, spoils=fresh)
        if world.copy is not None:
            restored = restore(kept, world.copy, now)
            yield "restore", world._replace(kept=restored, spoils=fresh)
    if len(world.doing) < WORKERS:
        for wanted in scene.wishes():
            yield from _begin(world, wanted, design)
    for place, doing in enumerate(world.doing):
        rest = world.doing[:place] + world.doing[place + 1 :]
        yield "a worker dies", world._replace(doing=rest)
        yield from _finish(world._replace(doing=rest), doing, design)


def _begin(world: World, wanted: Wanted, design: Design) -> Iterator[tuple[str, World]]:
    now, kept, spoils = world.now, world.kept, world.spoils
    if design.refusal(kept, wanted, now, early=True) is not None:
        return
    if (design.sends_first and not isinstance(wanted, Cancel)) or (
        design.states_first and isinstance(wanted, Cancel)
    ):
        if design.refusal(kept, wanted, now, early=False) is not None:
            return
        spoils = _gained(spoils, wanted, kept, now)
    doing = tuple(sorted((*world.doing, Doing(wanted, kept.incarnation)), key=_name))
    yield f"at {now} a worker reads for {wanted}", world._replace(doing=doing, spoils=spoils)


@functools.cache
def _name(doing: Doing) -> str:
    return repr(doing)


def _finish(world: World, doing: Doing, design: Design) -> Iterator[tuple[str, World]]:
    now, kept, wanted = world.now, world.kept, doing.wanted
    if doing.incarnation != kept.incarnation and not design.unfenced:
        return
    if design.refusal(kept, wanted, now, early=False) is not None:
        return
    if isinstance(wanted, Cancel):
        after = commit_cancellation(kept, wanted)
    else:
        after = commit_share(kept, *wanted, now)
    yield (
        f"at {now} it commits {wanted}",
        world._replace(kept=after, spoils=_gained(world.spoils, wanted, after, now)),
    )


def _gained(spoils: Spoils, wanted: Wanted, kept: Kept, now: int) -> Spoils:
    if isinstance(wanted, Cancel):
        stated = statement(commit_cancellation(kept, wanted), now)
        return spoils._replace(statements=spoils.statements | {stated})
    return spoils._replace(shares=spoils.shares | {wanted}, unbroken=spoils.unbroken | {wanted})


###
### Promises
###


def breach(world: World, scene: Scene, design: Design) -> str | None:
    """Which promise this state breaks."""
    remembered = world.spoils.unbroken
    countable = remembered if world.kept.incarnation else world.spoils.shares
    for body in scene.bodies:
        stated, signed = standing(world.spoils, body, design)
        if stated and signed:
            return f"{body} is signed, and stated not to be"
        if len({session for each, session in countable if each == body}) > TRIES:
            return f"{body} is signed in more sessions than it has tries"
    answers = world.kept.answers
    if answers is not None and any(body.digest != answers.digest for body, _ in remembered):
        return "two bodies of one id are signed"
    return None


def standing(spoils: Spoils, body: Body, design: Design) -> tuple[bool, bool]:
    """Whether a client counts this party among those who have not signed, and whether it has."""
    stated = any(
        each.covers(body, names_beginning=design.names_beginning) for each in spoils.statements
    )
    return stated, any(each == body for each, _ in spoils.shares)


def false_finals(
    standings: Iterable[tuple[bool, bool]], *, parties: int, threshold: int
) -> Iterator[tuple[int, int]]:
    """How many liars a client is told to be safe from, and how many there were: of every
    combination of honest parties and liars with which a signature exists all the same.

    Liars state anything and sign anything.
    """
    seen = set(standings)
    for liars in range(threshold):
        for honest in product(seen, repeat=parties - liars):
            stated = liars + sum(each[0] for each in honest)
            signed = liars + sum(each[1] for each in honest)
            tolerated = stated - (parties - threshold) - 1
            if tolerated >= liars and signed >= threshold:
                yield tolerated, liars


def _trace(came_from: dict[World, tuple[World, str] | None], world: World) -> list[str]:
    told = []
    while (step := came_from[world]) is not None:
        world, what = step
        told.append(what)
    return told[::-1]
