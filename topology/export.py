"""From a broker to files: what would declare what is there, as short as it can be said.

What the files cannot say is named rather than left out silently: patterns that are no list of
names, users that are not called like those of a role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from topology.model import (
    GROUPS,
    SHARING_IDS,
    Binding,
    Members,
    Permission,
    Policy,
    Queue,
    TopicPermission,
    Topology,
    is_id,
)
from topology.names import names_of
from topology.problems import TopologyError
from topology.roles import ROLES
from topology.source import write

_VERBS: Final = ("configure", "write", "read")
Yaml = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """
    Attributes:
        members: The content of ``members.yaml``.
        broker, roles: Of the files beside it.
        left_out: What the files cannot say, and why.
    """

    members: Yaml
    broker: Yaml
    roles: Yaml
    left_out: list[str] = field(default_factory=list)

    def write_to(self, directory: Path) -> None:
        """Raises TopologyError if the directory is there already."""
        try:
            directory.mkdir(parents=True)
            write(self.members, directory / "members.yaml")
            write(self.broker, directory / "broker.yaml")
            write(self.roles, directory / "roles.yaml")
        except OSError as error:
            raise TopologyError(f"{directory} cannot be written: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class _Role:
    name: str
    member: str
    login: int = 1


def export(topology: Topology, vhost: str) -> Exported:
    """The files that declare this, for the vhost's own name."""
    left_out: list[str] = []
    owners = dict(_owners(topology, vhost, left_out))
    ids = {group: _members_of(owners.values(), group) for group in GROUPS}
    members = Members.in_groups(ids)
    logins = _logins(owners.values())
    broker: Yaml = {
        "exchanges": {one.name: {"type": one.type} for one in topology.exchanges},
        "queues": dict(_queues(topology, members)),
        "policies": dict(_policies(topology.policies, left_out)),
    }
    roles: Yaml = {"roles": dict(_roles(topology, owners, left_out))}
    for limits in topology.vhost_limits:
        roles["vhost"] = {"limits": dict(limits.limits)}
    return Exported(ids | ({"logins": logins} if logins else {}), broker, roles, left_out)


def _owners(topology: Topology, vhost: str, left_out: list[str]) -> Iterator[tuple[str, _Role]]:
    """Each user's role and member, by the user's name."""
    known = {f"{vhost}.{role.replace('_', '-')}": role for role in ROLES}
    for user in topology.users:
        stem, _, member = user.name.rpartition(".")
        alone = known.get(user.name)
        if alone is not None and ROLES[alone].group is None:
            yield user.name, _Role(alone, "")
        elif (role := known.get(stem)) is not None and ROLES[role].group and is_id(member):
            yield user.name, _Role(role, member)
        elif (second := _further_login(user.name, known)) is not None:
            yield user.name, second
        else:
            left_out.append(f"{user.ref}: it is not called like the user of a role")


def _further_login(user: str, known: Mapping[str, str]) -> _Role | None:
    """Of a client that has or had several: they are numbered."""
    first, _, number = user.rpartition(".")
    stem, _, member = first.rpartition(".")
    role = known.get(stem)
    if role is None or ROLES[role].group not in SHARING_IDS or not is_id(member):
        return None
    if not re.fullmatch("[1-9][0-9]{0,3}", number) or number == "1":
        return None
    return _Role(role, member, int(number))


def _members_of(owners: Iterable[_Role], group: str) -> list[str]:
    return sorted({owner.member for owner in owners if ROLES[owner.name].group == group})


def _logins(owners: Iterable[_Role]) -> dict[str, list[int]]:
    """Of clients that have others than the first one."""
    found: dict[str, list[int]] = {}
    for owner in owners:
        if ROLES[owner.name].group in SHARING_IDS:
            found.setdefault(owner.member, []).append(owner.login)
    return {member: sorted(each) for member, each in found.items() if each != [1]}


###
### Queues and policies
###


def _queues(topology: Topology, members: Members) -> Iterator[tuple[str, Yaml]]:
    """Those that all members of some groups have alike, once; the others as they are."""
    bound: dict[str, list[Binding]] = {}
    for binding in topology.bindings:
        bound.setdefault(binding.destination, []).append(binding)
    folded: set[str] = set()
    by_name = {queue.name: queue for queue in topology.queues}
    for groups in (("parties",), SHARING_IDS):
        ids = [member for group in groups for member in members.of(group)]
        placeholder = GROUPS[groups[0]]
        stems = {name.rpartition(".")[0] for name in by_name if name.rpartition(".")[2] in ids}
        for stem in sorted(stems):
            names = [f"{stem}.{member}" for member in ids]
            if not all(name in by_name and name not in folded for name in names):
                continue
            said = [
                _queue(by_name[name], bound.get(name, []), member, placeholder)
                for name, member in zip(names, ids, strict=True)
            ]
            if all(each == said[0] for each in said):
                for_each: Any = groups[0] if len(groups) == 1 else list(groups)
                yield f"{stem}.{placeholder}", {"for_each": for_each, **said[0]}
                folded.update(names)
    for name, queue in by_name.items():
        if name not in folded:
            yield name, _queue(queue, bound.get(name, []))


def _queue(
    queue: Queue, bindings: Sequence[Binding], member: str = "", placeholder: str = ""
) -> Yaml:
    said: Yaml = {} if queue.type == "quorum" else {"type": queue.type}
    if queue.arguments:
        said["arguments"] = dict(queue.arguments)
    if bindings:
        said["bindings"] = [_binding(one, member, placeholder) for one in bindings]
    return said


def _binding(binding: Binding, member: str, placeholder: str) -> Yaml:
    if not binding.key:
        return {"exchange": binding.source}
    key = _with(binding.key, member, placeholder) if member else binding.key
    return {"exchange": binding.source, "key": key}


def _with(name: str, member: str, placeholder: str) -> str:
    """The name with a placeholder for the member, where a word of it, the last such, is that."""
    words = name.split(".")
    if member not in words:
        return name
    at = len(words) - 1 - words[::-1].index(member)
    return ".".join([*words[:at], placeholder, *words[at + 1 :]])


def _policies(policies: Iterable[Policy], left_out: list[str]) -> Iterator[tuple[str, Yaml]]:
    for policy in policies:
        names = names_of(policy.pattern)
        if names is None or policy.applies_to not in ("queues", "exchanges"):
            left_out.append(f"{policy.ref}: its pattern {policy.pattern} is no list of names")
            continue
        yield (
            policy.name,
            {
                policy.applies_to: list(names),
                "definition": dict(policy.definition),
                "priority": policy.priority,
            },
        )


###
### Roles
###


def _roles(
    topology: Topology, owners: Mapping[str, _Role], left_out: list[str]
) -> Iterator[tuple[str, Yaml]]:
    permissions = {one.user: one for one in topology.permissions}
    limits = {one.user: dict(one.limits) for one in topology.user_limits}
    topics: dict[str, list[TopicPermission]] = {}
    for one in topology.topic_permissions:
        topics.setdefault(one.user, []).append(one)
    said: dict[str, Yaml] = {}
    for user in topology.users:
        if (owner := owners.get(user.name)) is None:
            continue
        group = ROLES[owner.name].group
        templated = _templates(owner)
        role: Yaml = {"for_each": group} if group else {}
        role |= {"tags": list(user.tags)} if user.tags else {}
        role |= {} if user.has_password else {"password": "none"}
        role |= _rights(permissions.get(user.name), topics.get(user.name, []), templated)
        role |= {"limits": limits[user.name]} if user.name in limits else {}
        if said.setdefault(owner.name, role) != role:
            left_out.append(f"{user.ref}: it differs from the others of role {owner.name}")
    yield from sorted(said.items())


Templates = Callable[[str], "list[str]"]


def _templates(owner: _Role) -> Templates:
    """A regular expression -> what the files say for it: as in the role's own list, if it is there,
    for a member's id may be a word of any name."""
    most = ROLES[owner.name]
    placeholder = GROUPS[most.group] if most.group else ""
    known = [*most.configure, *most.write, *most.read]
    known += [key for topic in most.topics.values() for key in (*topic.write, *topic.read)]
    usual = {form.replace(placeholder, owner.member): form for form in known} if placeholder else {}

    def listed(regex: str) -> list[str]:
        names = names_of(regex)
        # One that is no list of names stands as it is, and is refused by whoever reads the file.
        found = (regex,) if names is None else names
        if not placeholder:
            return list(found)
        return [usual.get(name) or _with(name, owner.member, placeholder) for name in found]

    return listed


def _rights(
    permission: Permission | None, topics: Sequence[TopicPermission], listed: Templates
) -> Yaml:
    said: Yaml = {}
    if permission is not None:
        named = {verb: listed(getattr(permission, verb)) for verb in _VERBS}
        said |= {verb: names for verb, names in named.items() if names} or {"read": []}
    if topics:
        said["topics"] = {
            one.exchange: {
                right: keys for right in ("write", "read") if (keys := listed(getattr(one, right)))
            }
            for one in topics
        }
    return said
