"""Who may do what: of one user everything, of one exchange or queue everybody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from topology.model import Permission, TopicPermission, Topology, User
from topology.names import ANY_KEY, covers, names_of
from topology.problems import TopologyError, did_you_mean
from topology.roles import DEFAULT_EXCHANGE


class UnknownNameError(TopologyError):
    """Nothing of that name is declared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    Attributes:
        user: Who.
        does: ``publish to``, ``bind from``, ``consume, get, purge`` and others.
        to: The exchanges or queues, as the files name them.
        keys: By which routing keys; None where nobody asks for them.
    """

    user: str
    does: str
    to: tuple[str, ...]
    keys: tuple[str, ...] | None = None

    def __str__(self) -> str:
        by = f" by {', '.join(map(_key, self.keys))}" if self.keys is not None else ""
        return f"{self.user}: {self.does} {', '.join(self.to)}{by}"

    def as_json(self) -> dict[str, object]:
        """For programs."""
        keys = None if self.keys is None else list(self.keys)
        return {"user": self.user, "does": self.does, "to": list(self.to), "keys": keys}


def who(topology: Topology, name: str) -> tuple[Answer, ...]:
    """
    Arguments:
        name: Of a user, exchange or queue; a name that is only to be, such as that of a process's
            own queue, is one if somebody may make it.

    Raises UnknownNameError.
    """
    users = {user.name: user for user in topology.users}
    answers = _All.of(topology)
    if name in users:
        return tuple(answers.of_user(users[name]))
    found = tuple(answer for user in topology.users for answer in answers.of_user(user, only=name))
    known = _names(topology)
    if not found and name not in known:
        hint = did_you_mean(name, [*known, *users])
        raise UnknownNameError(f'no user, exchange or queue "{name}" is declared{hint}')
    return found


def _names(topology: Topology) -> set[str]:
    return {one.name for one in topology.governed()} | {DEFAULT_EXCHANGE}


@dataclass(frozen=True, slots=True)
class _All:
    exchanges: dict[str, str]
    queues: frozenset[str]
    permissions: dict[str, Permission]
    topics: dict[tuple[str, str], TopicPermission]

    @classmethod
    def of(cls, topology: Topology) -> _All:
        return cls(
            {one.name: one.type for one in topology.exchanges} | {DEFAULT_EXCHANGE: "direct"},
            frozenset(one.name for one in topology.queues),
            {one.user: one for one in topology.permissions},
            {(one.user, one.exchange): one for one in topology.topic_permissions},
        )

    def of_user(self, user: User, *, only: str | None = None) -> Iterator[Answer]:
        permission = self.permissions.get(user.name)
        if only is None and user.tags:
            yield Answer(user=user.name, does="manage as", to=user.tags)
        if permission is None:
            return
        for does, names in (
            ("declare, delete", _listed(permission.configure)),
            ("consume, get, purge", self._queues(_listed(permission.read))),
            ("bind, unbind", self._queues(_listed(permission.write))),
        ):
            if told := _chosen(names, only):
                yield Answer(user=user.name, does=does, to=told)
        for does, right in (("publish to", "write"), ("bind from", "read")):
            for exchange in _chosen(self._exchanges(_listed(getattr(permission, right))), only):
                keys = self._keys(user.name, exchange, right)
                if keys != ():
                    yield Answer(user=user.name, does=does, to=(exchange,), keys=keys)
        if only in self.queues and covers(_listed(permission.write), DEFAULT_EXCHANGE):
            does = "publish through the default exchange to"
            yield Answer(user=user.name, does=does, to=(only,))
        if _makes_exchanges(permission):
            does = "publish through an exchange of its own to"
            for exchange in _chosen(self._exchanges(_listed(permission.write)), only):
                if self.exchanges[exchange] == "topic":
                    yield Answer(user=user.name, does=does, to=(exchange,), keys=(ANY_KEY,))

    def _queues(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in names if name in self.queues or name not in self.exchanges)

    def _exchanges(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(name for name in self.exchanges if covers(names, name))

    def _keys(self, user: str, exchange: str, right: str) -> tuple[str, ...] | None:
        if self.exchanges[exchange] != "topic":
            return None
        entry = self.topics.get((user, exchange))
        return (ANY_KEY,) if entry is None else _listed(getattr(entry, right))


def _makes_exchanges(permission: Permission) -> bool:
    """Whether it may declare one, publish to it and bind to it: then no keys hold it back."""
    rights = [_listed(each) for each in (permission.write, permission.read)]
    return any(all(covers(names, own) for names in rights) for own in _listed(permission.configure))


def _listed(regex: str) -> tuple[str, ...]:
    """One that is no list of names is shown as it is."""
    names = names_of(regex)
    return (regex,) if names is None else names


def _chosen(names: Sequence[str], only: str | None) -> tuple[str, ...]:
    if only is None:
        return tuple(names)
    return (only,) if covers(names, only) else ()


def _key(key: str) -> str:
    return "every key" if key == ANY_KEY else key
