"""Users, permissions and limits at the management API: read what is there, make one change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from topology.management import Management
from topology.model import (
    Access,
    PasswordHash,
    Permission,
    Resource,
    Table,
    TopicPermission,
    User,
    UserLimits,
    VhostLimits,
    table,
)
from topology.names import NOTHING
from topology.passwords import SHA256, InMemory, Owner, hashed

_EVERYTHING: Final = "administrator"


@dataclass(slots=True)
class Credentials:
    """
    Attributes:
        kept: The passwords that are kept elsewhere, by user.
        owner: Who is handed those that are made.
    """

    kept: dict[str, str] = field(default_factory=dict, repr=False)
    owner: Owner = field(default_factory=InMemory)

    def of(self, user: str) -> str:
        """The password to give the user; it may be a new one."""
        return self.kept.get(user) or self.owner.password_of(user)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundAccess:
    """Who may do what in the vhost, but for whoever asks.

    Attributes:
        elsewhere: In which other vhosts they may do something: (user, vhost).
    """

    resources: tuple[Resource, ...]
    hashes: dict[str, PasswordHash] = field(repr=False)
    elsewhere: tuple[tuple[str, str], ...]


async def found_access(
    management: Management, vhost: str, known: Iterable[str], *, vhost_exists: bool = True
) -> FoundAccess:
    """Users with all that they may do in the vhost.

    That is those who may do something in it, those who may do anything anywhere, and those `known`
    by name. Not the user who asks: an administrator, who has to be there before the files are.
    """
    users = {user["name"]: user for user in await management.get("users")}
    everywhere = await management.get("permissions")
    inside: list[Access] = []
    limits: list[VhostLimits] = []
    if vhost_exists:
        inside += map(_permission, await management.get("vhosts/{}/permissions", vhost))
        inside += map(_topic, await management.get("vhosts/{}/topic-permissions", vhost))
        limits += _vhost_limits(vhost, await management.get("vhost-limits/{}", vhost))
    relevant = {one.user for one in inside} | set(known)
    relevant |= {name for name, user in users.items() if _EVERYTHING in _tags(user)}
    relevant = (relevant & users.keys()) - {management.user}
    inside += _user_limits(await management.get("user-limits"))
    return FoundAccess(
        resources=(
            *limits,
            *(_user(users[name]) for name in sorted(relevant)),
            *(one for one in inside if one.user in relevant),
        ),
        hashes={name: _hash(users[name]) for name in relevant},
        elsewhere=tuple(
            (told["user"], told["vhost"])
            for told in everywhere
            if told["user"] in relevant and told["vhost"] != vhost
        ),
    )


def _user(found: dict[str, Any]) -> User:
    return User(
        name=found["name"],
        tags=tuple(sorted(_tags(found))),
        has_password=bool(found.get("password_hash")),
    )


def _tags(found: dict[str, Any]) -> list[str]:
    """A list since 3.9, before that one text."""
    told = found.get("tags") or []
    return [tag for tag in told.split(",") if tag] if isinstance(told, str) else list(told)


def _hash(found: dict[str, Any]) -> PasswordHash:
    algorithm = found.get("hashing_algorithm") or SHA256
    return PasswordHash(algorithm, found.get("password_hash") or "")


def _permission(found: dict[str, Any]) -> Permission:
    return Permission(
        user=found["user"],
        configure=found["configure"] or NOTHING,
        write=found["write"] or NOTHING,
        read=found["read"] or NOTHING,
    )


def _topic(found: dict[str, Any]) -> TopicPermission:
    return TopicPermission(
        user=found["user"],
        exchange=found["exchange"],
        write=found["write"] or NOTHING,
        read=found["read"] or NOTHING,
    )


def _vhost_limits(vhost: str, found: list[dict[str, Any]]) -> Iterator[VhostLimits]:
    for told in found:
        if told["value"]:
            yield VhostLimits(vhost=vhost, limits=table(told["value"]))


def _user_limits(found: list[dict[str, Any]]) -> Iterator[UserLimits]:
    for told in found:
        if told["value"]:
            yield UserLimits(user=told["user"], limits=table(told["value"]))


###
### Changes
###


async def make_user(management: Management, user: User, credentials: Credentials) -> None:
    """Make it, or give it other tags or another password."""
    kept: PasswordHash
    if user.new_password:
        kept = hashed(credentials.of(user.name))
    elif user.has_password:
        # Without a hash, RabbitMQ would take the password away.
        kept = _hash(await management.get("users/{}", user.name))
    else:
        kept = PasswordHash(SHA256, "")
    body = {
        "password_hash": kept.value,
        "hashing_algorithm": kept.algorithm,
        "tags": ",".join(user.tags),
    }
    await management.send("PUT", "users/{}", user.name, body=body)
    if user.new_password:
        credentials.owner.arrived(user.name)


async def make_access(management: Management, vhost: str, target: Access, before: object) -> None:
    """Let a user do this, and no more."""
    match target:
        case Permission():
            body: dict[str, object] = {
                "configure": target.configure,
                "write": target.write,
                "read": target.read,
            }
            await management.send("PUT", "permissions/{}/{}", vhost, target.user, body=body)
        case TopicPermission():
            body = {"exchange": target.exchange, "write": target.write, "read": target.read}
            await management.send("PUT", "topic-permissions/{}/{}", vhost, target.user, body=body)
        case UserLimits():
            old = before.limits if isinstance(before, UserLimits) else ()
            path = ("user-limits/{}/{}", target.user)
            await _limit(management, path, old=old, new=target.limits)


async def delete_access(management: Management, vhost: str, target: Access) -> None:
    """Take it away. Of a user that is gone there is nothing left to take."""
    match target:
        case Permission():
            await management.send("DELETE", "permissions/{}/{}", vhost, target.user)
        case TopicPermission():
            path = "topic-permissions/{}/{}/{}"
            await management.send("DELETE", path, vhost, target.user, target.exchange)
        case UserLimits():
            path_of_user = ("user-limits/{}/{}", target.user)
            await _limit(management, path_of_user, old=target.limits, new=())


async def limit_vhost(management: Management, vhost: str, limits: Table, before: object) -> None:
    """Set these limits of the vhost, and no others."""
    old = before.limits if isinstance(before, VhostLimits) else ()
    await _limit(management, ("vhost-limits/{}/{}", vhost), old=old, new=limits)


async def _limit(management: Management, path: tuple[str, str], *, old: Table, new: Table) -> None:
    where, name = path
    wanted = dict(new)
    for limit, value in wanted.items():
        await management.send("PUT", where, name, limit, body={"value": value})
    for limit in dict(old).keys() - wanted.keys():
        await management.send("DELETE", where, name, limit)
