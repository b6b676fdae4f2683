"""What a broker consists of, as frozen values that compare: the words of files, plan and broker.

The same types describe what is declared and what is found, so a difference is a comparison.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Self, TypeAlias, TypeVar

VHOST = "warren"

ID = r"[A-Za-z0-9_-]{1,64}"
"""What may name a party or a client. Every character of it is literal in a queue's name."""

ID_IN_WORDS = "an id has 1 to 64 of the characters A-Z, a-z, 0-9, _ and -"

Kind: TypeAlias = Literal[
    "vhost",
    "exchange",
    "queue",
    "policy",
    "binding",
    "vhost_limits",
    "user",
    "user_limits",
    "topic_permission",
    "permission",
    "operator_policy",
    "parameter",
    "ownership",
]
Value: TypeAlias = "str | int | float | bool | tuple[Value, ...] | None"
Table: TypeAlias = "tuple[tuple[str, Value], ...]"
"""AMQP arguments or a policy's definition: sorted pairs, hashable and comparable."""


R = TypeVar("R")


class Ref(NamedTuple):
    """The identity of a resource inside its vhost; a binding has five parts, a topic permission
    two, all others one. Of what lies elsewhere the second part says where."""

    kind: Kind
    parts: tuple[str, ...]

    def __str__(self) -> str:
        if self.kind != "binding":
            return f"{self.kind.replace('_', ' ')} {' on '.join(self.parts)}"
        source, destination_type, destination, key, arguments = self.parts
        to = destination if destination_type == "queue" else f"{destination_type} {destination}"
        by = f" by {key}" if key else ""
        return f"binding {source} -> {to}{by}{'' if arguments == '()' else f' {arguments}'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An exchange as the broker knows it."""

    name: str
    type: str
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("exchange", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A queue. `arguments` are without ``x-queue-type``, which is `type`."""

    name: str
    type: str = "quorum"
    durable: bool = True
    auto_delete: bool = False
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("queue", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy: what holds for all queues or exchanges whose names match."""

    name: str
    pattern: str
    applies_to: str
    definition: Table
    priority: int

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("policy", (self.name,))

    def covers(self, resource: Exchange | Queue) -> bool:
        """Whether RabbitMQ would consider this policy for that resource.

        A pattern somebody else wrote may be valid only for the broker's own regular
        expressions; it is then taken to cover everything, the cautious answer.
        """
        # 3.12 and later also know "quorum_queues", "classic_queues" and "streams".
        is_queue = isinstance(resource, Queue)
        if is_queue and self.applies_to.endswith(("_queues", "streams")):
            narrowed = self.applies_to.removesuffix("s").removesuffix("_queue")
            if narrowed != resource.type:
                return False
        elif self.applies_to not in ("all", "queues" if is_queue else "exchanges"):
            return False
        try:
            return re.search(self.pattern, resource.name) is not None
        except re.error:
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Leads messages of one exchange to a queue, or to another exchange."""

    source: str
    destination: str
    key: str = ""
    destination_type: str = "queue"
    arguments: Table = ()

    @property
    def ref(self) -> Ref:
        """All of it: two bindings that differ in anything are two."""
        parts = (self.source, self.destination_type, self.destination, self.key)
        return Ref("binding", (*parts, repr(self.arguments)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """Where a password is to be had. Never the password itself.

    Attributes:
        source: ``environment``, ``file`` or ``command``.
        words: The variable, the path, or the command with its arguments.
    """

    source: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A login of the broker.

    Attributes:
        has_password: Without one it comes in by a certificate alone.
        role, member: Whom it is for; the broker does not know.
        secret: None: `apply` makes a password where there is none yet.
        new_password: Of a change: the password is set, too.
    """

    name: str
    tags: tuple[str, ...] = ()
    has_password: bool = True
    role: str = field(default="", compare=False)
    member: str = field(default="", compare=False)
    secret: Secret | None = field(default=None, compare=False)
    new_password: bool = field(default=False, compare=False)

    @property
    def ref(self) -> Ref:
        """Its name."""
        return Ref("user", (self.name,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What a user may do in the vhost: regular expressions for names of exchanges and queues."""

    user: str
    configure: str
    write: str
    read: str

    @property
    def ref(self) -> Ref:
        """Its user."""
        return Ref("permission", (self.user,))


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicPermission:
    """By which routing keys a user may publish to a topic exchange, or bind queues to it. Without
    one, by all of them."""

    user: str
    exchange: str
    write: str
    read: str

    @property
    def ref(self) -> Ref:
        """Its user and its exchange."""
        return Ref("topic_permission", (self.user, self.exchange))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserLimits:
    """How many connections and channels a user may have at a time."""

    user: str
    limits: Table

    @property
    def ref(self) -> Ref:
        """Its user."""
        return Ref("user_limits", (self.user,))


@dataclass(frozen=True, slots=True, kw_only=True)
class VhostLimits:
    """How many connections and queues the vhost may have."""

    vhost: str
    limits: Table

    @property
    def ref(self) -> Ref:
        """The vhost."""
        return Ref("vhost_limits", (self.vhost,))


Access: TypeAlias = UserLimits | TopicPermission | Permission
"""What belongs to a user, and goes with it."""

Resource: TypeAlias = Exchange | Queue | Policy | Binding | VhostLimits | User | Access


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Everything of one vhost, each tuple in ascending order of reference."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    policies: tuple[Policy, ...] = ()
    bindings: tuple[Binding, ...] = ()
    vhost_limits: tuple[VhostLimits, ...] = ()
    users: tuple[User, ...] = ()
    user_limits: tuple[UserLimits, ...] = ()
    topic_permissions: tuple[TopicPermission, ...] = ()
    permissions: tuple[Permission, ...] = ()

    @classmethod
    def of(cls, resources: Iterable[Resource]) -> Self:
        """Of these, in whichever order they come."""
        sorted_out: dict[type, list[Resource]] = {}
        for resource in sorted(resources, key=lambda one: one.ref):
            sorted_out.setdefault(type(resource), []).append(resource)

        def each(kind: type[R]) -> tuple[R, ...]:
            return tuple(one for one in sorted_out.get(kind, ()) if isinstance(one, kind))

        return cls(
            exchanges=each(Exchange),
            queues=each(Queue),
            policies=each(Policy),
            bindings=each(Binding),
            vhost_limits=each(VhostLimits),
            users=each(User),
            user_limits=each(UserLimits),
            topic_permissions=each(TopicPermission),
            permissions=each(Permission),
        )

    def resources(self) -> Iterator[Resource]:
        """All of them, in the order in which they can be made."""
        yield from self.exchanges
        yield from self.queues
        yield from self.policies
        yield from self.bindings
        yield from self.vhost_limits
        yield from self.users
        yield from self.user_limits
        # Before the permissions: without an entry all routing keys are allowed.
        yield from self.topic_permissions
        yield from self.permissions

    def user_of(self, role: str, member: str = "") -> User:
        """The login of a role's member. Raises LookupError."""
        for user in self.users:
            if (user.role, user.member) == (role, member):
                return user
        raise LookupError(f"no user of role {role} for {member or 'it'} is declared")

    def governed(self) -> Iterator[Exchange | Queue]:
        """What a policy can apply to."""
        yield from self.exchanges
        yield from self.queues

    def by_ref(self) -> dict[Ref, Resource]:
        """Every resource by its identity."""
        return {resource.ref: resource for resource in self.resources()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """How full a queue is, by the broker's statistics: up to ten seconds old."""

    messages: int = 0
    consumers: int = 0
    bytes: int = 0
    """0 beside messages: not known yet."""


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """A password as the broker keeps it: salted, hashed, in base64."""

    algorithm: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the broker has.

    Attributes:
        vhost_exists: False before the first apply; everything else is then empty.
        owned: What an earlier apply made or adopted. Only this is ever deleted.
        depths: By queue name; a queue without statistics is missing.
        hashes: Of the users' passwords, as the broker keeps them, by user.
        elsewhere: In which other vhosts these users may do something: (user, vhost).
        operator_policies: They overrule the limits of policies, and are nobody's but the
            administrator's.
        parameters: Shovels, federation and the like, which no file declares.
    """

    vhost: str
    vhost_exists: bool
    topology: Topology
    owned: frozenset[Ref]
    depths: Mapping[str, Depth]
    hashes: Mapping[str, PasswordHash] = field(default_factory=dict, repr=False)
    elsewhere: tuple[tuple[str, str], ...] = ()
    operator_policies: tuple[Policy, ...] = ()
    parameters: tuple[Ref, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Who gets queues and users of their own. Compared exactly: ``svc-a`` and ``svc_a`` are two.

    Attributes:
        clients: Make keys and sign.
        tenant_clients: Serve many: they may ask what is for such clients, too.
        gateways: The same, over HTTP.
        legacy_clients: Have a user each, and no id at the coordinator: they share their queues.
        logins: Of clients with an id that change theirs: the numbers of their broker users, where
            those are not just the first one. The user of number 2 is called as the first, with .2
            behind it.
    """

    parties: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    tenant_clients: tuple[str, ...] = ()
    gateways: tuple[str, ...] = ()
    legacy_clients: tuple[str, ...] = ()
    logins: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        asking = (*self.clients, *self.tenant_clients, *self.gateways)
        for ids in (self.parties, asking, self.legacy_clients):
            for member in ids:
                if not is_id(member):
                    raise ValueError(f'"{member}" is no id: {ID_IN_WORDS}')
            if len(set(ids)) != len(ids):
                raise ValueError("the same member is listed twice")

    @classmethod
    def in_groups(
        cls,
        groups: Mapping[str, Sequence[str]],
        logins: Mapping[str, tuple[int, ...]] | None = None,
    ) -> Self:
        """By the names that the groups have in a members file."""
        ids: dict[str, Any] = {group: tuple(listed) for group, listed in groups.items()}
        return cls(**ids, logins=logins or {})

    def of(self, group: str) -> tuple[str, ...]:
        """The ids of a group, by its name in a members file."""
        ids: tuple[str, ...] = getattr(self, group)
        return ids

    def logins_of(self, group: str, member: str) -> tuple[int, ...]:
        """The numbers of a member's broker users."""
        return self.logins.get(member, (1,)) if group in SHARING_IDS else (1,)


GROUPS: Mapping[str, str] = {
    "parties": "{party}",
    "clients": "{client}",
    "tenant_clients": "{client}",
    "gateways": "{client}",
    "legacy_clients": "{client}",
}
"""What a members file lists, and what stands for each of them in names."""


SHARING_IDS: tuple[str, ...] = ("clients", "tenant_clients", "gateways")
"""Groups of which no two have the same id: whoever has one has queues of that name."""

MAX_LOGIN = 9999


def is_id(text: str) -> bool:
    """Whether the text may name a party or a client."""
    return re.fullmatch(ID, text) is not None


def table(pairs: Mapping[str, object]) -> Table:
    """JSON from the broker or a file as a sorted, hashable table."""
    return tuple(sorted((key, _frozen(value)) for key, value in pairs.items()))


def _frozen(value: object) -> Value:
    if isinstance(value, Mapping):
        return tuple((str(key), _frozen(inner)) for key, inner in sorted(value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(_frozen(inner) for inner in value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} is no JSON")
