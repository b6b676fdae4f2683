"""What each role may have at most, whatever the files say.

It stands here a second time on purpose: files in which a role has more do not pass `check`. To give
a role more, both have to be changed, and somebody sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

DEFAULT_EXCHANGE: Final = "amq.default"
"""What permissions call the exchange without a name, which leads to every queue."""

Keys: TypeAlias = tuple[str, ...]
_LISTS: Final = "warren.lists.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """By which keys, at one topic exchange. `read` is for binding queues to it."""

    write: Keys = ()
    read: Keys = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    Attributes:
        group: Whose members have a user each; none: the role has one user.
        configure, write, read: Names of exchanges and queues alike, as in the files.
        binds: The declared exchanges whose messages it may lead into whatever it may write, queues
            and exchanges alike: to lead one there it reads the one and writes the other.
        tags: What it may be at the management API.
    """

    group: str | None = None
    configure: Keys = ()
    write: Keys = ()
    read: Keys = ()
    topics: Mapping[str, Topic] = field(default_factory=dict)
    binds: Keys = ()
    tags: tuple[str, ...] = ()


def _asking(group: str, *more: str) -> Role:
    """A client: its own requests in, its own results out; and who is a party."""
    words = ("keygen", "reshare", "signing", "cancel", "query", *more)
    keys = tuple(f"mpc.{word}_request.{{client}}" for word in words)
    return Role(
        group=group,
        write=("warren.requests",),
        read=("warren.results.{client}", _LISTS),
        topics={"warren.requests": Topic(write=keys)},
    )


_FOR_MANY: Final = ("join", "account", "api_key")
_LANES: Final = ("keygen", "signing", "control")
_REQUESTS: Final = tuple(f"warren.requests.{lane}" for lane in _LANES)
_REQUESTS_OF_ANY: Final = tuple(f"{queue}.{{id}}" for queue in _REQUESTS)
_OF_PARTY: Final = tuple(f"warren.{lane}.{{party}}" for lane in ("inbox", "keygen", "presigning"))
_OF_ANY_CLIENT: Final = (*_REQUESTS_OF_ANY, "warren.results.{id}")
_OWN_CANCELS: Final = "warren.cancel.{party}.{id}"
_COORDINATORS_CANCELS: Final = "warren.cancel.coordinator.{id}"

ROLES: Final[Mapping[str, Role]] = {
    "client": _asking("clients"),
    "tenant_client": _asking("tenant_clients", *_FOR_MANY),
    "gateway": _asking("gateways", *_FOR_MANY),
    "legacy_client": Role(
        group="legacy_clients",
        write=("warren.requests",),
        read=("warren.legacy-results",),
        topics={
            "warren.requests": Topic(
                write=tuple(
                    f"mpc.{word}_request"
                    for word in ("keygen", "reshare", "signing", "cancel", "query", *_FOR_MANY)
                )
            )
        },
    ),
    "coordinator": Role(
        configure=(_COORDINATORS_CANCELS,),
        write=(
            "warren.sessions",
            "warren.keygen",
            "warren.presigning",
            "warren.results",
            "warren.cancel",
            "warren.dead",
            _COORDINATORS_CANCELS,
        ),
        read=(
            *_REQUESTS,
            *_REQUESTS_OF_ANY,
            "warren.reports",
            "warren.cancel",
            _COORDINATORS_CANCELS,
            _LISTS,
        ),
        topics={
            "warren.results": Topic(write=("mpc.{id}.{id}", "mpc.{id}.{id}.{id}")),
            # What it refuses, by the queue in which that was.
            "warren.dead": Topic(write=(*_REQUESTS, *_REQUESTS_OF_ANY, "warren.reports")),
            # The exchange has the name of its queue; nothing of it is for binding.
            "warren.reports": Topic(),
        },
        binds=("warren.cancel",),
    ),
    "party": Role(
        group="parties",
        configure=(_OWN_CANCELS,),
        write=(
            "warren.rounds",
            "warren.keygen",
            "warren.presigning",
            "warren.reports",
            "warren.dead",
            _OWN_CANCELS,
        ),
        read=(*_OF_PARTY, "warren.cancel", _OWN_CANCELS, _LISTS),
        topics={
            "warren.reports": Topic(write=("{id}.{party}",)),
            "warren.dead": Topic(write=_OF_PARTY),
        },
        binds=("warren.cancel",),
    ),
    # Publishes what operators have signed. For users and queues of clients it takes an
    # administrator: RabbitMQ has no smaller right that makes a user. See registrar.py.
    "registrar": Role(write=("warren.lists",), read=(_LISTS,)),
    # Looks at the whole broker by the management API.
    "monitor": Role(tags=("monitoring",)),
    # Sees to dead letters: takes them out, and sends them where they came from.
    "operator": Role(
        write=(
            DEFAULT_EXCHANGE,
            "warren.requests",
            "warren.sessions",
            "warren.rounds",
            "warren.keygen",
            "warren.presigning",
            "warren.reports",
            "warren.results",
        ),
        read=("warren.dead", "warren.unclaimed"),
        topics={
            "warren.requests": Topic(write=("#",)),
            "warren.reports": Topic(write=("#",)),
            "warren.results": Topic(write=("#",)),
            "warren.dead": Topic(),
        },
        # The exchange has the name of its queue, which it reads, and a fanout asks for no key.
        binds=("warren.unclaimed",),
        tags=("management",),
    ),
}
