"""What RabbitMQ lets a user do, as a pure function of what is declared: its rules, written out.

    declare, delete a queue or exchange     configure it
    publish                                 write the exchange, and the key at a topic exchange
    consume, get, purge                     read the queue
    bind, unbind                            write what is bound, read the exchange that it is bound
                                            to, and the key if that is a topic exchange
    declare with a dead-letter or
    alternate exchange                      read what is declared, write that exchange; no key
    look whether something is there         nothing: whoever may open the vhost may; since 4.2.6
                                            some right on it

So whoever may declare exchanges of its own gets round the keys of an exchange to which it may
publish at all: it binds that one to its own, and publishes there by whichever key.

By the headers CC and BCC, RabbitMQ before 4.0.3 asks for no key. Consuming from
`amq.rabbitmq.reply-to` takes no right; answering there takes the default exchange.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from topology.model import Permission, TopicPermission, Topology, User
from topology.names import matches
from topology.roles import DEFAULT_EXCHANGE

CC_CHECKED_SINCE: Final = (4, 0, 3)
"""The release that asks for the keys in CC and BCC as for the routing key (rabbitmq-server's change
12553)."""

PASSIVE_CHECKED_SINCE: Final = (4, 2, 6)
"""The release that tells of a queue or exchange only those who have some right on it
(rabbitmq-server's changes 16085 and 16272)."""
_CONFIGURE_TO_LOOK: Final = ((4, 2, 6), (4, 3, 0))
"""These ask for the right to declare it."""
_RIGHTS: Final = ("configure", "write", "read")

AMQP_VERBS: Final = (
    "connect",
    "passive",
    "declare_queue",
    "delete_queue",
    "purge",
    "consume",
    "get",
    "declare_exchange",
    "delete_exchange",
    "bind",
    "unbind",
    "bind_exchange",
    "detour",
    "dead_letter_to",
    "alternate_to",
    "publish",
    "publish_cc",
    "publish_bcc",
    "publish_as",
    "reply_to",
)
HTTP_VERBS: Final = (
    "look",
    "http_get",
    "http_purge",
    "http_publish",
    "http_bind",
    "http_declare_queue",
    "http_delete_queue",
    "set_policy",
    "set_operator_policy",
    "set_limit",
    "make_user",
    "set_permission",
    "set_topic_permission",
    "take_definitions",
    "make_vhost",
)
"""At the management API. Whoever gets in may do there what AMQP would let it."""
_BY_AMQP: Final = {
    "http_get": "get",
    "http_purge": "purge",
    "http_publish": "publish",
    "http_bind": "bind",
    "http_declare_queue": "declare_queue",
    "http_delete_queue": "delete_queue",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something to try.

    Attributes:
        name: Of the queue or exchange; of `bind`, of what is bound. The default exchange is "".
        source: Of `bind`: the exchange. Of `detour`: that of one's own, through which something is
            published to `name`.
        to: Where what is declared sends its dead letters, or what it cannot route.
        key: The routing key, or that of the binding.
        copies: The keys in CC or BCC.
        user: In whose name something is published.
    """

    verb: str
    name: str = ""
    source: str = ""
    to: str = ""
    key: str = ""
    copies: tuple[str, ...] = ()
    user: str = ""

    def __str__(self) -> str:
        words = [self.verb]
        words += [self.name or '""'] if self.verb != "connect" else []
        words += [f"from {self.source}"] if self.source else []
        if self.verb in ("dead_letter_to", "alternate_to"):
            words += ["to", self.to or '""']
        words += [f"by {self.key}"] if self.key else []
        words += [f"and {copy}" for copy in self.copies]
        words += [f"as {self.user}"] if self.user else []
        return " ".join(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lack:
    """What somebody would need and has not."""

    user: str
    right: str
    of: str
    key: str | None = None

    def __str__(self) -> str:
        key = "" if self.key is None else f' by the key "{self.key}"'
        return f'user {self.user} lacks {self.right} on "{self.of}"{key}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """Of one user in one vhost.

    Attributes:
        topics: By exchange.
        kinds: The type of each exchange there is.
    """

    user: User
    permission: Permission | None
    topics: Mapping[str, TopicPermission]
    kinds: Mapping[str, str]
    release: tuple[int, ...] = (3, 10)

    def lacks(self, act: Act) -> tuple[Lack, ...]:
        """What is missing for it; nothing if the broker does it."""
        if act.verb in HTTP_VERBS:
            return tuple(self._at_the_management_api(act))
        if self.permission is None:
            return (self._lack("any permission", "the vhost"),)
        return tuple(self._by_amqp(act))

    def may(self, act: Act) -> bool:
        """Whether the broker does it."""
        return not self.lacks(act)

    def _by_amqp(self, act: Act) -> Iterator[Lack]:
        match act.verb:
            case "connect" | "reply_to":
                pass
            case "passive":
                yield from self._needs_something(act.name)
            case "declare_queue" | "delete_queue" | "declare_exchange" | "delete_exchange":
                yield from self._needs("configure", act.name)
            case "purge" | "consume" | "get":
                yield from self._needs("read", act.name)
            case "bind" | "unbind" | "bind_exchange":
                yield from self._needs("write", act.name)
                yield from self._needs("read", act.source)
                yield from self._needs_key("read", act.source, act.key)
            case "detour":
                for right in _RIGHTS:
                    yield from self._needs(right, act.source)
                yield from self._needs("write", act.name)
            case "dead_letter_to" | "alternate_to":
                yield from self._needs("configure", act.name)
                yield from self._needs("read", act.name)
                yield from self._needs("write", act.to)
            case "publish" | "publish_cc" | "publish_bcc" | "publish_as":
                yield from self._needs("write", act.name)
                yield from self._needs_key("write", act.name, act.key)
                if self.release >= CC_CHECKED_SINCE:
                    for copy in act.copies:
                        yield from self._needs_key("write", act.name, copy)
                if act.user not in ("", self.user.name):
                    yield self._lack("the name", act.user)
            case other:
                raise ValueError(f"nobody knows the verb {other}")

    def _at_the_management_api(self, act: Act) -> Iterator[Lack]:
        tags = set(self.user.tags)
        inside = bool(tags) and self.permission is not None
        if act.verb == "look":
            # The tag monitoring shows all vhosts in lists, and opens none.
            if not inside:
                yield self._lack("the tag management", "the management API")
        elif act.verb in _BY_AMQP:
            if inside:
                yield from self._by_amqp(replace(act, verb=_BY_AMQP[act.verb]))
            else:
                yield self._lack("the tag management", "the management API")
        elif act.verb == "set_policy":
            if "administrator" not in tags and not ("policymaker" in tags and inside):
                yield self._lack("the tag policymaker", "policies")
        elif "administrator" not in tags:
            yield self._lack("the tag administrator", "users and permissions")

    def _needs(self, right: str, name: str) -> Iterator[Lack]:
        assert self.permission is not None
        if not matches(getattr(self.permission, right), name or DEFAULT_EXCHANGE):
            yield self._lack(right, name or DEFAULT_EXCHANGE)

    def _needs_something(self, name: str) -> Iterator[Lack]:
        """To look whether it is there."""
        if self.release < PASSIVE_CHECKED_SINCE:
            return
        enough = _RIGHTS[:1] if self.release in _CONFIGURE_TO_LOOK else _RIGHTS
        if all(any(self._needs(right, name)) for right in enough):
            yield self._lack("any right" if len(enough) > 1 else enough[0], name)

    def _needs_key(self, right: str, exchange: str, key: str) -> Iterator[Lack]:
        entry = self.topics.get(exchange)
        if self.kinds.get(exchange) != "topic" or entry is None:
            return  # without an entry everything is allowed
        if not matches(getattr(entry, right), key):
            yield self._lack(right, exchange, key)

    def _lack(self, right: str, of: str, key: str | None = None) -> Lack:
        return Lack(user=self.user.name, right=right, of=of, key=key)


def rights(topology: Topology, release: Iterable[int] = (3, 10)) -> dict[str, Rights]:
    """Of every user, by name."""
    kinds = {exchange.name: exchange.type for exchange in topology.exchanges}
    permissions = {one.user: one for one in topology.permissions}
    topics: dict[str, dict[str, TopicPermission]] = {}
    for one in topology.topic_permissions:
        topics.setdefault(one.user, {})[one.exchange] = one
    return {
        user.name: Rights(
            user=user,
            permission=permissions.get(user.name),
            topics=topics.get(user.name, {}),
            kinds=kinds,
            release=tuple(release),
        )
        for user in topology.users
    }
