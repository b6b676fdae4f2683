"""Queues: read by somebody, with room in them, and what has come to the end of its way."""

from __future__ import annotations

from collections import Counter

from contracts import addresses
from ops.configurations import Role
from ops.deadletters.handling import Place, survey
from ops.doctor.checks import Check, OfAll, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Queue, Subject, Surroundings
from topology import model
from topology.model import Policy

NEAR = 0.8
"""Of what a queue takes: then it is time to look."""
FULL = 0.95
LOOKED_AT = 1000
REASONS = 5


async def read(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Those of a worker's own."""
    connection = await surroundings.connected(subject)
    troubles = []
    for name in _own(subject):
        queue = await surroundings.queue(connection, name)
        if queue is None:
            troubles.append(Trouble(f"{name} is missing", todo="`warren topology apply`"))
        elif not queue.consumers:
            troubles.append(Trouble(f"nobody reads {name}, {queue.messages} messages wait"))
    return troubles


async def room(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Of a worker's own queues, and a client's."""
    connection = await surroundings.connected(subject)
    policies = surroundings.policies().policies
    troubles = []
    for name in (*_own(subject), *_results(subject)):
        queue = await surroundings.queue(connection, name)
        limit = _limit(name, policies)
        if queue is not None and limit is not None and queue.messages >= NEAR * limit:
            text = f"{name} has {queue.messages} of {limit} messages"
            full = queue.messages >= FULL * limit
            troubles.append(Trouble(text) if full else warning(text))
    return troubles


async def all_room(surroundings: Surroundings) -> list[Trouble]:
    """Of every queue, as the broker counted a few seconds ago."""
    topology, found = await surroundings.found()
    troubles = []
    for name, depth in sorted(found.depths.items()):
        definition = _definition(name, topology.policies)
        for key, has in (("max-length", depth.messages), ("max-length-bytes", depth.bytes)):
            limit = definition.get(key)
            if isinstance(limit, int) and name not in _ROLLING and has >= NEAR * limit:
                unit = "bytes" if key.endswith("bytes") else "messages"
                text = f"{name} has {has} of {limit} {unit}"
                troubles.append(Trouble(text) if has >= FULL * limit else warning(text))
    return troubles


_ROLLING = frozenset({addresses.LISTS_QUEUE})
"""A stream keeps what was read."""


async def dead_letters(surroundings: Surroundings) -> list[Trouble]:
    """With the operator's login by their reasons: each is taken into the hand, and put back."""
    if surroundings.operator_url is None:
        count = await _counted(surroundings, addresses.DEAD_QUEUE)
        return [warning(f"{_letters(count)} in {addresses.DEAD_QUEUE}")] if count else []
    place = Place(url=surroundings.operator_url, queue=addresses.DEAD_QUEUE, most=LOOKED_AT)
    found = await survey(place)
    reasons = Counter((entry.source or "-", entry.reason) for entry in found.entries)
    troubles = [
        warning(f"{_letters(count)} from {source}: {_printable(reason)}")
        for (source, reason), count in reasons.most_common(REASONS)
    ]
    rest = sum(reasons.values()) - sum(count for _, count in reasons.most_common(REASONS))
    if rest + found.beyond:
        troubles.append(warning(f"{_letters(rest + found.beyond)} more"))
    return troubles


async def unclaimed(surroundings: Surroundings) -> list[Trouble]:
    """For clients that were never declared."""
    count = await _counted(surroundings, addresses.UNCLAIMED)
    return [warning(f"{count} results in {addresses.UNCLAIMED}")] if count else []


async def unread(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """Where a process of the client runs, it takes them itself."""
    connection = await surroundings.connected(subject)
    (name,) = _results(subject)
    queue = await surroundings.queue(connection, name)
    if queue is None:
        return [Trouble(f"{name} is missing", todo="`warren topology apply`")]
    if queue.messages and not queue.consumers:
        return [warning(f"{queue.messages} results in {name}, and no process reads it")]
    return []


async def _counted(surroundings: Surroundings, name: str) -> int:
    """By anybody's login, for each sees how full a queue is; else by the management API."""
    for subject in surroundings.subjects:
        if subject.settings is None:
            continue
        try:
            connection = await surroundings.connected(subject)
        except NotLookedError:
            continue
        queue = await surroundings.queue(connection, name)
        return (queue or Queue(0, 0)).messages
    _, found = await surroundings.found()
    depth = found.depths.get(name)
    return 0 if depth is None else depth.messages


def _own(subject: Subject) -> tuple[str, ...]:
    match subject.role:
        case Role.PARTY:
            name = subject.party.party_id
            of = (addresses.inbox_queue, addresses.keygen_queue, addresses.presigning_queue)
            return tuple(each(name) for each in of)
        case Role.COORDINATOR:
            ids = sorted({each.client_id for each in subject.coordinator.clients if each.client_id})
            own = (queue for name in ids for queue in addresses.request_queues(name))
            return (*addresses.REQUEST_QUEUES, addresses.REPORTS_QUEUE, *own)
        case Role.GATEWAY:
            return _results(subject)
        case Role.CLIENT:
            return ()


def _results(subject: Subject) -> tuple[str, ...]:
    if subject.role is Role.CLIENT:
        return (addresses.results_queue(subject.client.client_id),)
    if subject.role is Role.GATEWAY:
        return (addresses.results_queue(subject.client.client_id),)
    return ()


def _limit(name: str, policies: tuple[Policy, ...]) -> int | None:
    limit = _definition(name, policies).get("max-length")
    return limit if isinstance(limit, int) else None


def _definition(name: str, policies: tuple[Policy, ...]) -> dict[str, object]:
    for policy in policies:
        if policy.covers(model.Queue(name=name)):
            return dict(policy.definition)
    return {}


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _printable(text: str) -> str:
    """Somebody else wrote it: it must not talk to the terminal, nor fill it."""
    plain = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return plain if len(plain) <= 160 else f"{plain[:159]}…"


WORKERS = frozenset({Role.PARTY, Role.COORDINATOR, Role.GATEWAY})
CLIENTS = frozenset({Role.CLIENT})

CHECKS: tuple[Check, ...] = (
    OfFile(
        group=Group.QUEUES,
        name="read",
        must="Each queue of its own is there, and some process reads it",
        todo="start its processes: `warren party run`, `warren coordinator run`, "
        "`warren gateway run`; each lane of a party needs one",
        runbook="upgrade.md",
        roles=WORKERS,
        look=read,
    ),
    OfFile(
        group=Group.QUEUES,
        name="room",
        must="Its own queues have room",
        todo="see why nobody keeps up with it, and start more processes; of a client: "
        "`warren results list`",
        roles=frozenset(Role),
        look=room,
    ),
    OfAll(
        group=Group.QUEUES,
        name="all_room",
        must="Every queue of the broker has room",
        todo="see why nobody keeps up with it: `rabbitmqctl list_queues name messages consumers`; "
        "of a client: `warren results list`",
        look=all_room,
    ),
    OfAll(
        group=Group.QUEUES,
        name="dead_letters",
        must="There are no dead letters",
        todo="look with `warren dead-letters list`, mend the cause, then replay or discard them",
        runbook="dead-letters.md",
        look=dead_letters,
    ),
    OfAll(
        group=Group.QUEUES,
        name="unclaimed",
        must="Every result finds its client's queue",
        todo="look with `warren dead-letters list --queue unclaimed`",
        runbook="dead-letters.md",
        look=unclaimed,
    ),
    OfFile(
        group=Group.QUEUES,
        name="unread",
        must="The client's results are read",
        todo="start the client, or look with `warren results list`",
        roles=CLIENTS,
        look=unread,
    ),
)
