"""What logins may do at the broker: what their roles have, no less and no more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from contracts import addresses
from ops.configurations import Role
from ops.doctor.broker import alarms
from ops.doctor.checks import Check, OfAll, OfFile, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings
from ops.doctor.topology import changes, limited
from topology.problems import TopologyError
from topology.roles import ROLES
from workers.delivery.permissions import (
    ForbiddenError,
    Way,
    coordinators_ways,
    partys_ways,
    require_writing,
)
from workers.delivery.publisher import NOBODY

CLIENT_ROLES = ("client", "tenant_client", "gateway")
"""Of one of them is the login of a client; they write to the same exchange."""


async def declared(surroundings: Surroundings) -> list[Trouble]:
    """Of all users, by the administrator's eyes."""
    plan = await surroundings.plan()
    elsewhere = [ref for ref in plan.drift if ref.kind == "permission"]
    troubles = [*changes(plan, of_users=True)]
    return limited(troubles + [warning(f"{ref} is given to nobody here") for ref in elsewhere])


async def enough(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """As each worker tries when it starts, see `workers.delivery.permissions`."""
    await _require_taking(surroundings, subject)
    try:
        await require_writing(subject.amqp_url, _own_ways(subject))
    except ForbiddenError as error:
        return [Trouble(str(error))]
    return []


async def no_more(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """The same, where the role may not. The broker's log has a line for each refusal."""
    await _require_taking(surroundings, subject)
    exchanges = [exchange.name for exchange in surroundings.policies().exchanges]
    troubles = []
    for way in _forbidden(subject, exchanges):
        try:
            await require_writing(subject.amqp_url, (way,))
        except ForbiddenError:
            continue
        troubles.append(Trouble(_too_much(way)))
    return troubles


async def _require_taking(surroundings: Surroundings, subject: Subject) -> None:
    """Raises NotLookedError where whoever publishes would wait for ever."""
    await surroundings.connected(subject)
    try:
        short = surroundings.management is not None and await alarms(surroundings)
    except TopologyError:
        return  # nobody knows, and the check's time ends
    if short:
        raise NotLookedError("the broker takes no messages: see broker.alarms")


def _own_ways(subject: Subject) -> tuple[Way, ...]:
    match subject.role:
        case Role.PARTY:
            return partys_ways(subject.party.party_id)
        case Role.COORDINATOR:
            return coordinators_ways()
        case _:
            client_id = subject.client.client_id
            key = addresses.request_key("query_keys", client_id)
            return (Way(addresses.REQUESTS, key),)


def _forbidden(subject: Subject, exchanges: Iterable[str]) -> Iterator[Way]:
    names = {
        Role.PARTY: ("party",),
        Role.COORDINATOR: ("coordinator",),
    }.get(subject.role, CLIENT_ROLES)
    own = {exchange for name in names for exchange in ROLES[name].write}
    yield Way("", NOBODY)  # which leads to every queue
    for exchange in exchanges:
        if exchange not in own:
            yield Way(exchange, NOBODY)
    match subject.role:
        case Role.PARTY:
            yield Way(addresses.REPORTS, addresses.report_key("party_alive", NOBODY))
        case Role.GATEWAY | Role.CLIENT:
            yield Way(addresses.REQUESTS, addresses.request_key("query_keys", NOBODY))
        case Role.COORDINATOR:
            pass


def _too_much(way: Way) -> str:
    if not way.exchange:
        return "its login may publish to any queue (the default exchange)"
    by = "" if way.routing_key == NOBODY else f" by the key {way.routing_key}"
    return f"its login may publish to {way.exchange}{by}"


CHECKS: tuple[Check, ...] = (
    OfAll(
        group=Group.PERMISSIONS,
        name="declared",
        must="Users may do what their roles declare, no less and no more",
        todo="look with `warren topology plan`, then `warren topology apply`",
        runbook="broker-login.md",
        look=declared,
    ),
    OfFile(
        group=Group.PERMISSIONS,
        name="enough",
        must="The login may publish where its role has to",
        todo="have the administrator run `warren topology apply`",
        runbook="broker-login.md",
        roles=frozenset(Role),
        look=enough,
    ),
    OfFile(
        group=Group.PERMISSIONS,
        name="no_more",
        must="The login may publish nowhere else",
        todo="give the process the login of its role, or take the right away: "
        "`warren topology plan`, `warren topology apply`",
        runbook="broker-login.md",
        roles=frozenset(Role),
        look=no_more,
    ),
)
