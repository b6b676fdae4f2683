"""Every verb on every resource, own and another's: what there is to try.

Generated from what is declared, so a queue or a role more is a row more. A test tries all of it on
a real broker, and finds each as `rights` has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from topology.definitions import STREAM
from topology.model import Topology, User
from topology.names import ANY_ID, ANY_KEY, names_of
from topology.rights import Act

NEW: Final = ("fresh", "warren", "warrenXreports", "warren.reports.more")
"""Names of what nobody declared; some look like what somebody did."""
SERVER_NAMED: Final = "amq.gen-"
MINE: Final = "mine"
"""What somebody tries to make for itself at the management API: a user, a vhost, a policy."""
_NOT_OF_STREAMS: Final = ("purge", "get", "http_purge", "http_get")
"""RabbitMQ ends the connection of whoever tries: nobody empties a stream."""
_SUFFIX: Final = "x1"
_FRESH: Final = "x2"
_NOBODY: Final = "."
"""A key by which nothing is bound to a direct exchange."""


def temporary_queues(topology: Topology, suffix: str = _SUFFIX) -> tuple[str, ...]:
    """One for each form of a name that somebody may declare, and so may be there."""
    forms = (name for one in topology.permissions for name in names_of(one.configure) or () if name)
    return tuple(sorted({form.replace(ANY_ID, suffix) for form in forms}))


def acts(topology: Topology, user: User, users: Sequence[User]) -> Iterator[Act]:
    """All that the user may try.

    Arguments:
        users: In whose names, beside its own.
    """
    exchanges = [one.name for one in topology.exchanges]
    queues = [*(one.name for one in topology.queues), *temporary_queues(topology)]
    yield Act(verb="connect")
    yield Act(verb="reply_to")
    streams = _streams(topology)
    for queue in queues:
        for verb in ("passive", "purge", "get", "consume", "declare_queue", "delete_queue"):
            if queue not in streams or verb not in _NOT_OF_STREAMS:
                yield Act(verb=verb, name=queue)
    for name in (*NEW, SERVER_NAMED):
        yield Act(verb="declare_queue", name=name)
    for exchange in (*exchanges, *NEW, *temporary_queues(topology)):
        yield Act(verb="declare_exchange", name=exchange)
        yield Act(verb="delete_exchange", name=exchange)
    yield from _bindings(topology, exchanges, queues)
    yield from _own_exchanges(topology, exchanges)
    yield from _publishing(topology, user, users)
    yield from _managing(topology, user, exchanges, queues)


def _streams(topology: Topology) -> set[str]:
    return {one.name for one in topology.queues if one.type == STREAM}


def _bindings(topology: Topology, exchanges: Sequence[str], queues: Sequence[str]) -> Iterator[Act]:
    for source in exchanges:
        for key in _binding_keys(topology, source):
            for verb in ("bind", "unbind"):
                for queue in queues:
                    yield Act(verb=verb, name=queue, source=source, key=key)
            for exchange in exchanges:
                if exchange != source:
                    yield Act(verb="bind_exchange", name=exchange, source=source, key=key)


def _binding_keys(topology: Topology, source: str) -> tuple[str, ...]:
    """One that takes everything, one for each pattern by which somebody may bind, and one more."""
    if next(one.type for one in topology.exchanges if one.name == source) != "topic":
        return ("",)
    read = (one.read for one in topology.topic_permissions if one.exchange == source)
    return (ANY_KEY, *_keys_of(read), keys_at(topology, source)[-1])


def _own_exchanges(topology: Topology, exchanges: Sequence[str]) -> Iterator[Act]:
    """Round the routing keys of an exchange, where one may make exchanges or queues."""
    for name in exchanges:
        for own in temporary_queues(topology):
            yield Act(verb="detour", name=name, source=own, key=keys_at(topology, name)[-1])
    # The default exchange leads to every queue, by its name.
    for to in (*exchanges, ""):
        for fresh in temporary_queues(topology, _FRESH):
            yield Act(verb="dead_letter_to", name=fresh, to=to)
            yield Act(verb="alternate_to", name=fresh, to=to)


def _publishing(topology: Topology, user: User, users: Sequence[User]) -> Iterator[Act]:
    for exchange in topology.exchanges:
        keys = keys_at(topology, exchange.name)
        for key in keys:
            yield Act(verb="publish", name=exchange.name, key=key)
            for name in (user.name, *(one.name for one in users if one != user)):
                yield Act(verb="publish_as", name=exchange.name, key=key, user=name)
        # One's own key, and another's beside it.
        for key, copy in zip(keys, keys[::-1], strict=True):
            for verb in ("publish_cc", "publish_bcc"):
                yield Act(verb=verb, name=exchange.name, key=key, copies=(copy,))
    for queue in (topology.queues[0], topology.queues[-1]):
        yield Act(verb="publish", name="", key=queue.name)


def keys_at(topology: Topology, exchange: str) -> tuple[str, ...]:
    """Routing keys of an exchange: one for each pattern that somebody may use, and one more."""
    kind = next(one.type for one in topology.exchanges if one.name == exchange)
    if kind != "topic":
        return (_NOBODY,) if kind == "direct" else ("",)
    regexes = (
        regex
        for one in topology.topic_permissions
        if one.exchange == exchange
        for regex in (one.write, one.read)
    )
    return (*_keys_of(regexes), "of.nobody")


def _keys_of(regexes: Iterable[str]) -> tuple[str, ...]:
    """One for each pattern."""
    keys = (key for regex in regexes for key in names_of(regex) or () if key != ANY_KEY)
    return tuple(sorted({key.replace(ANY_ID, _SUFFIX) for key in keys}))


def _managing(
    topology: Topology, user: User, exchanges: Sequence[str], queues: Sequence[str]
) -> Iterator[Act]:
    """At the management API."""
    yield Act(verb="look")
    yield Act(verb="take_definitions")
    for verb in ("set_policy", "set_operator_policy", "set_limit", "make_vhost", "make_user"):
        yield Act(verb=verb, name=MINE)
    for verb in ("set_permission", "set_topic_permission"):
        for name in (MINE, user.name):
            yield Act(verb=verb, name=name)
    streams = _streams(topology)
    for queue in queues:
        for verb in ("http_get", "http_purge", "http_declare_queue", "http_delete_queue"):
            if queue not in streams or verb not in _NOT_OF_STREAMS:
                yield Act(verb=verb, name=queue)
    for exchange in exchanges:
        for key in keys_at(topology, exchange):
            yield Act(verb="http_publish", name=exchange, key=key)
        # The same rules as by AMQP, where all keys are tried.
        key = _binding_keys(topology, exchange)[-2:][0]
        for queue in queues:
            yield Act(verb="http_bind", name=queue, source=exchange, key=key)
