"""One client's or party's part of the topology: made, and taken away, and nothing else touched.

To make a user takes an administrator of the broker, who may do everything. So what is done in a
client's name is held to a list before anything is done: queues, bindings and users of this client.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Final, TypeGuard

from topology.access import Credentials
from topology.apply import apply
from topology.broker import Broker
from topology.files import declared
from topology.management import Management
from topology.model import (
    SHARING_IDS,
    Binding,
    Found,
    Members,
    Permission,
    Queue,
    Ref,
    TopicPermission,
    User,
    UserLimits,
)
from topology.plan import Action, Change, Ownership, Plan, difference
from topology.problems import TopologyError

_ROLES: Final = ("client", "tenant_client", "gateway")
_QUEUES: Final = r"warren\.(?:requests\.[a-z]+|results)\."
_PARTY: Final = "party"
_PARTYS_QUEUES: Final = r"warren\.(?:inbox|keygen|presigning)\."


class NotAClientsError(TopologyError):
    """What was to be done for a client is not its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What is there because of one client, and for nobody else."""

    client: str
    resources: Mapping[Ref, object]

    @property
    def queues(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(one.name for one in self.resources.values() if isinstance(one, Queue))

    @property
    def users(self) -> tuple[User, ...]:
        """Its logins."""
        return tuple(one for one in self.resources.values() if isinstance(one, User))


def part_of(
    members: Members, client: str, *, vhost: str, directory: Traversable | None = None
) -> Part:
    """Of a client among the members. Raises NotAClientsError where the files make more of it."""
    alone = only(members, client)
    whole = declared(alone, directory, vhost=vhost).by_ref()
    others = declared(without(alone, client), directory, vhost=vhost).by_ref()
    own = {ref: one for ref, one in whole.items() if ref not in others}
    logins = frozenset(one.name for one in own.values() if _is_login(one, client))
    for ref, one in own.items():
        if not _is_own(one, rf"{_QUEUES}{re.escape(client)}", logins):
            raise NotAClientsError(f"{ref} is not client {client}'s own, and was not touched")
    return Part(client=client, resources=own)


def part_of_party(
    members: Members, party: str, *, vhost: str, directory: Traversable | None = None
) -> Part:
    """The same of a party."""
    alone, others = parties_only(members), parties_only(members, but=party)
    whole = declared(alone, directory, vhost=vhost).by_ref()
    left = declared(others, directory, vhost=vhost).by_ref()
    own = {ref: one for ref, one in whole.items() if ref not in left}
    logins = frozenset(one.name for one in own.values() if _is_partys_login(one, party))
    for ref, one in own.items():
        if not _is_own(one, rf"{_PARTYS_QUEUES}{re.escape(party)}", logins):
            raise NotAClientsError(f"{ref} is not party {party}'s own, and was not touched")
    return Part(client=party, resources=own)


def parties_only(members: Members, *, but: str | None = None) -> Members:
    """What is one party's depends on no client."""
    return Members(parties=tuple(each for each in members.parties if each != but))


def only(members: Members, client: str) -> Members:
    """Of those with an id no other: what is one client's depends on none of the thousands."""
    groups = {group: members.of(group) for group in ("parties", "legacy_clients")}
    groups |= {
        group: tuple(each for each in members.of(group) if each == client) for group in SHARING_IDS
    }
    logins = {each: numbers for each, numbers in members.logins.items() if each == client}
    return Members.in_groups(groups, logins)


def without(members: Members, client: str) -> Members:
    """The others."""
    groups = {group: members.of(group) for group in ("parties", "legacy_clients")}
    groups |= {
        group: tuple(each for each in members.of(group) if each != client) for group in SHARING_IDS
    }
    logins = {each: numbers for each, numbers in members.logins.items() if each != client}
    return Members.in_groups(groups, logins)


def group_of(members: Members, client: str) -> str | None:
    """In which list it stands; None: in none."""
    return next((group for group in SHARING_IDS if client in members.of(group)), None)


def _is_login(resource: object, client: str) -> TypeGuard[User]:
    """One that is called after the client: somebody of another name may be there already, and be
    an administrator."""
    match resource:
        case User(name=name, role=role, member=member, tags=()):
            return role in _ROLES and member == client and client in name
        case _:
            return False


def _is_partys_login(resource: object, party: str) -> TypeGuard[User]:
    match resource:
        case User(name=name, role=role, member=member, tags=()):
            return role == _PARTY and member == party and party in name
        case _:
            return False


def _is_own(resource: object, own: str, logins: Collection[str]) -> bool:
    """Arguments: own: What a queue's name has to match."""
    match resource:
        case Queue(name=name) | Binding(destination=name, destination_type="queue"):
            return re.fullmatch(own, name) is not None
        case (
            User(name=user)
            | Permission(user=user)
            | TopicPermission(user=user)
            | UserLimits(user=user)
        ):
            return user in logins
        case _:
            return False


class Registrar:
    """
    Arguments:
        directory: Of the topology's files; those that come with the package unless given.
    """

    def __init__(
        self,
        management: Management,
        *,
        vhost: str,
        credentials: Credentials | None = None,
        directory: Traversable | None = None,
    ) -> None:
        self._management = management
        self._vhost = vhost
        self._credentials = credentials or Credentials()
        self._directory = directory
        self._broker = Broker(management, vhost=vhost, credentials=self._credentials)

    async def admit(
        self, members: Members, client: str, *, made: Callable[[Change], None] = lambda _: None
    ) -> Part:
        """Make what one of the members needs. Running it again is safe.

        Raises BlockedError, TopologyError.
        """
        part = part_of(members, client, vhost=self._vhost, directory=self._directory)
        await self._make(part, only(members, client), made)
        return part

    async def admit_party(
        self, members: Members, party: str, *, made: Callable[[Change], None] = lambda _: None
    ) -> Part:
        """Make what a party needs. Running it again is safe.

        Raises BlockedError, TopologyError.
        """
        part = part_of_party(members, party, vhost=self._vhost, directory=self._directory)
        await self._make(part, parties_only(members), made)
        return part

    async def _make(self, part: Part, members: Members, made: Callable[[Change], None]) -> None:
        found = await self._broker.found(user.name for user in part.users)
        wanted = declared(members, self._directory, vhost=self._vhost)
        plan = difference(wanted, found, passwords=self._credentials.kept)
        _require_applied(plan, part)
        await apply(_only(plan, part, found), self._broker, made=made)

    async def expel(self, user: User) -> None:
        """Delete a login, which closes its connections."""
        await self._broker.make(Change(action=Action.DELETE, target=user))

    async def waiting(self, queue: str) -> int:
        """How many messages a queue holds, in the hands of those who consume it included: by the
        broker's statistics, which are up to ten seconds old. 0 for one that is gone."""
        told = await self._management.get("queues/{}/{}", self._vhost, queue, missing_ok=True)
        return 0 if told is None else int(told.get("messages", 0))

    async def delete_queue(self, queue: str) -> None:
        """Whatever it holds. Does nothing if it is gone."""
        await self._management.send("DELETE", "queues/{}/{}", self._vhost, queue)

    async def disown(self, refs: Iterable[Ref]) -> None:
        """Take what is gone out of the broker's record of what is ours."""
        owned = (await self._broker.found()).owned
        left = Ownership(vhost=self._vhost, refs=owned - frozenset(refs))
        if left.refs != owned:
            await self._broker.make(Change(action=Action.UPDATE, target=left))


def _require_applied(plan: Plan, part: Part) -> None:
    """What all clients need is made by `apply`, and not in one client's name."""
    for change in plan.changes:
        target = change.target
        if change.action is not Action.CREATE or target.ref in part.resources:
            continue
        if target.ref.kind in ("vhost", "exchange", "policy"):
            raise TopologyError(
                f"{target.ref} is missing from the broker: `warren topology apply` first"
            )


def _only(plan: Plan, part: Part, found: Found) -> Plan:
    """Of a plan, what is the client's."""
    changes = list(_changes(plan, part))
    owned = found.owned | part.resources.keys()
    if owned != found.owned:
        changes.append(
            Change(
                action=Action.UPDATE,
                target=Ownership(vhost=found.vhost, refs=frozenset(owned)),
                before=Ownership(vhost=found.vhost, refs=found.owned),
            )
        )
    conflicts = tuple(one for one in plan.conflicts if one.ref in part.resources)
    return Plan(changes=tuple(changes), conflicts=conflicts)


def _changes(plan: Plan, part: Part) -> Iterator[Change]:
    names = {user.name for user in part.users}
    for change in plan.changes:
        target = change.target
        if target.ref in part.resources:
            yield change
        elif isinstance(target, Permission | TopicPermission | UserLimits) and target.user in names:
            yield change  # what one of its logins has too much is taken away, as by `apply`
