"""The proof that no user can do more than its role's list, made on what would be sent.

It reads the regular expressions back into names, so one that is not escaped, not anchored, or more
clever than a list of names is refused rather than understood.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from topology.model import GROUPS, Permission, TopicPermission, Topology, User
from topology.names import ANY_ID, ANY_KEY, covers, names_of
from topology.problems import Problems, did_you_mean
from topology.role_files import Lists, RoleSource
from topology.roles import DEFAULT_EXCHANGE, ROLES, Role, Topic
from topology.source import Entry

_VERBS = ("configure", "write", "read")


@dataclass(frozen=True, slots=True)
class Excess:
    """What somebody has too much.

    Attributes:
        at: ``configure``, ``write``, ``read``, ``tags``; of an exchange: its name before it.
        position: In the list there, if it is one of several.
    """

    at: tuple[str, ...]
    text: str
    position: int | None = None


def check(topology: Topology, sources: Mapping[str, RoleSource], problems: Problems) -> None:
    """Add a problem for each thing that a role has and its list has not, or that means nothing."""
    for user, excess in excesses(topology):
        source = sources[user.role]
        problems.add(_place(source, excess).place, f'role "{user.role}": {excess.text}')


def excesses(topology: Topology) -> Iterator[tuple[User, Excess]]:
    """All that any user of the topology has too much. Nothing, where the topology is right."""
    permissions = {one.user: one for one in topology.permissions}
    topics: dict[str, list[TopicPermission]] = {}
    for one in topology.topic_permissions:
        topics.setdefault(one.user, []).append(one)
    known = _Known.of(topology)
    for user in topology.users:
        role = _filled(ROLES[user.role], user.member)
        own = permissions.get(user.name)
        for excess in _of_user(user, role, own, topics.get(user.name, []), known):
            yield user, excess


@dataclass(frozen=True, slots=True)
class _Known:
    """What is declared."""

    names: frozenset[str]
    kinds: Mapping[str, str]
    topics: tuple[str, ...]

    @classmethod
    def of(cls, topology: Topology) -> _Known:
        kinds = {exchange.name: exchange.type for exchange in topology.exchanges}
        names = frozenset([*kinds, *(queue.name for queue in topology.queues), DEFAULT_EXCHANGE])
        return cls(names, kinds, tuple(name for name, kind in kinds.items() if kind == "topic"))


def _of_user(
    user: User,
    role: Role,
    permission: Permission | None,
    topics: Sequence[TopicPermission],
    known: _Known,
) -> Iterator[Excess]:
    for tag in user.tags:
        if tag not in role.tags:
            yield Excess(("tags",), f'the tag "{tag}" is more than it may have')
    reached: tuple[str, ...] = ()
    if permission is not None:
        for verb in _VERBS:
            allowed: tuple[str, ...] = getattr(role, verb)
            names = names_of(getattr(permission, verb))
            yield from _of_names((verb,), names, allowed, known)
            if verb != "configure":
                reached += names or ()
    entries = {topic.exchange: topic for topic in topics}
    for exchange in known.topics:
        if exchange not in entries and covers(reached, exchange):
            yield Excess(
                ("topics",),
                f'no topic permission for exchange "{exchange}", so it may use every routing key '
                "there; say under topics which, and if none, {}",
            )
    for topic in topics:
        yield from _of_topic(topic, role.topics.get(topic.exchange, Topic()), known)
    if permission is not None:
        yield from _of_binding(permission, entries, role, known)


def _of_binding(
    permission: Permission,
    topics: Mapping[str, TopicPermission],
    role: Role,
    known: _Known,
) -> Iterator[Excess]:
    """A queue that it may read may have the name of an exchange: then it may tap that, too."""
    read, write = names_of(permission.read), names_of(permission.write)
    for exchange in known.kinds:
        if exchange in role.binds or not write or not covers(read or (), exchange):
            continue
        if exchange not in topics and known.kinds[exchange] == "topic":
            continue  # that it has no entry is said
        if exchange not in topics or names_of(topics[exchange].read) != ():
            yield Excess(
                ("read",),
                f'read: it may bind what it writes to the exchange "{exchange}", which it must '
                "not; where that is the name of a queue that it reads, say under topics {}, or "
                "give the two names of their own",
            )


def _of_names(
    at: tuple[str, ...], names: Sequence[str] | None, allowed: Sequence[str], known: _Known
) -> Iterator[Excess]:
    if names is None:
        yield Excess(at, f"{at[-1]} is no anchored list of escaped names")
        return
    for position, name in enumerate(names):
        if not covers(allowed, name):
            yield Excess(at, f'{at[-1]}: "{name}" is more than it may have', position)
        elif ANY_ID not in name and name not in known.names:
            hint = did_you_mean(name, known.names)
            yield Excess(at, f'{at[-1]}: "{name}" is not declared{hint}', position)


def _of_topic(topic: TopicPermission, allowed: Topic, known: _Known) -> Iterator[Excess]:
    kind = known.kinds.get(topic.exchange)
    if kind is None:
        hint = did_you_mean(topic.exchange, known.kinds)
        text = f'topics: exchange "{topic.exchange}" is not declared{hint}'
        yield Excess(("topics", topic.exchange), text)
    elif kind != "topic":
        text = f'topics: exchange "{topic.exchange}" is {kind}, where nobody looks at the keys'
        yield Excess(("topics", topic.exchange), text)
    for verb, most in (("write", allowed.write), ("read", allowed.read)):
        at = ("topics", topic.exchange, verb)
        keys = names_of(getattr(topic, verb))
        if keys is None:
            yield Excess(at, f"topics: {topic.exchange}: {verb} is no anchored list of keys")
            continue
        for position, key in enumerate(keys):
            if not (ANY_KEY in most or (key != ANY_KEY and covers(most, key))):
                text = f'topics: {topic.exchange}: {verb}: "{key}" is more than it may have'
                yield Excess(at, text, position)


def _filled(role: Role, member: str) -> Role:
    """The role's list for one member."""
    if role.group is None:
        return role
    placeholder = GROUPS[role.group]

    def each(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name.replace(placeholder, member) for name in names)

    return Role(
        group=role.group,
        configure=each(role.configure),
        write=each(role.write),
        read=each(role.read),
        topics={
            exchange: Topic(write=each(topic.write), read=each(topic.read))
            for exchange, topic in role.topics.items()
        },
        binds=role.binds,
        tags=role.tags,
    )


def _place(source: RoleSource, excess: Excess) -> Entry:
    match excess.at:
        case ("topics", exchange, verb):
            lists: Lists = source.topics.get(exchange, {})
        case (verb,):
            lists = source.lists
        case _:
            return source.entry
    listed = lists.get(verb, [])
    at = excess.position
    return listed[at] if at is not None and at < len(listed) else source.entry
