"""Carry a plan out, step by step, and stop where going on could lose something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final, Protocol

from topology.access import Credentials
from topology.broker import Broker, QueueInUseError
from topology.files import declared
from topology.management import Management
from topology.model import VHOST, Members, Queue
from topology.passwords import InMemory, Owner, referenced
from topology.plan import Action, Change, Held, Ownership, Plan, difference
from topology.problems import TopologyError

SETTLE_S: Final = 11.0
"""Between unbinding a queue and deleting it. A message fetched and not yet acknowledged shows in
the statistics alone, which a queue sends every five seconds and the broker collects every five."""


class BlockedError(TopologyError):
    """The plan has conflicts, so nothing was applied."""

    def __init__(self, plan: Plan) -> None:
        super().__init__(
            "\n".join(f"{one.ref}: {one.text}. What to do: {one.remedy}" for one in plan.conflicts)
        )
        self.plan = plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What was done, and what of the plan was left because a queue turned out to be in use."""

    made: tuple[Change, ...]
    held: tuple[Held, ...]


class Maker(Protocol):
    """What carries out changes: a `Broker`, or a test's double."""

    async def make(self, change: Change) -> None:
        """Carry out one change; doing it twice is harmless."""


def _nothing(_: Change) -> None:
    """Nobody wants to hear of each change."""


async def apply(
    plan: Plan,
    broker: Maker,
    *,
    made: Callable[[Change], None] = _nothing,
    settle_s: float = SETTLE_S,
) -> Applied:
    """Carry out `plan`; it may be carried out again after any error.

    Args:
        made: Called after each change.
        settle_s: See `SETTLE_S`.

    Raises:
        BlockedError: The plan has conflicts; nothing was changed.
        TopologyError: The broker failed; the changes up to there are made.
    """
    if plan.conflicts:
        raise BlockedError(plan)
    done: list[Change] = []
    held: list[Held] = []
    settled = False
    for change in plan.changes:
        deletes_queue = change.action is Action.DELETE and isinstance(change.target, Queue)
        if deletes_queue and not settled:
            await asyncio.sleep(settle_s)
            settled = True
        step = change
        if held and isinstance(change.target, Ownership):
            refs = change.target.refs | {one.ref for one in held}
            step = Change(
                action=change.action,
                target=Ownership(vhost=change.target.vhost, refs=refs),
                before=change.before,
            )
        elif held and change.action is Action.DELETE and not deletes_queue:
            # Its exchange and policy serve a queue that is kept after all.
            held.append(Held(ref=change.target.ref, why=f"{held[0].ref} is kept"))
            continue
        try:
            await broker.make(step)
        except QueueInUseError as error:
            held.append(Held(ref=change.target.ref, why=str(error)))
        else:
            done.append(step)
            made(step)
    return Applied(made=tuple(done), held=tuple(held))


async def apply_all(
    management_url: str,
    *,
    members: Members | Traversable | None = None,
    directory: Traversable | None = None,
    vhost: str = VHOST,
    owner: Owner | None = None,
) -> Plan:
    """Make the broker as declared, and return the plan that was carried out.

    Nothing that holds messages is deleted; the vhost is made when it is missing.

    Args:
        owner: Who is handed the passwords of new users; without one nobody is.

    Raises:
        InvalidTopologyError: The files are wrong.
        BlockedError: The broker has something that cannot be changed in place.
        TopologyError: The broker failed, or a password is not where the files say.
    """
    wanted = declared(members, directory, vhost=vhost)
    credentials = Credentials(referenced(wanted.users), owner or InMemory())
    async with Management(management_url) as management:
        broker = Broker(management, vhost=vhost, credentials=credentials)
        found = await broker.found(user.name for user in wanted.users)
        plan = difference(wanted, found, passwords=credentials.kept)
        await apply(plan, broker)
    return plan
