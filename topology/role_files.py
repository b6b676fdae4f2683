"""From a file's ``roles`` to users, permissions and limits: one user for each member."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from topology.definitions import TAGS, USER_LIMITS, VHOST_LIMITS
from topology.model import (
    GROUPS,
    Members,
    Permission,
    Resource,
    Secret,
    Table,
    TopicPermission,
    User,
    UserLimits,
    VhostLimits,
    table,
)
from topology.names import ANY_KEY, is_key, is_name, pattern
from topology.passwords import SOURCES
from topology.problems import did_you_mean
from topology.roles import ROLES
from topology.source import Entry

Lists = dict[str, list[Entry]]
_VERBS: Final = ("configure", "write", "read")
_FIELDS: Final = ("for_each", "user", *_VERBS, "topics", "limits", "tags", "password")
_NONE: Final = "none"


@dataclass(slots=True, kw_only=True)
class RoleSource:
    """Where everything of a role stands, for problems that show only in the whole.

    Attributes:
        lists: The names under ``configure``, ``write``, ``read``.
        topics: The keys under ``write`` and ``read`` of each exchange.
    """

    entry: Entry
    lists: Lists = field(default_factory=dict)
    topics: dict[str, Lists] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Member:
    """What is filled in for one user.

    Attributes:
        login: Which of the member's users it is.
    """

    vhost: str
    placeholder: str
    id: str
    login: int = 1

    def fill(self, text: str) -> str:
        told = text.replace("{vhost}", self.vhost)
        return told.replace(self.placeholder, self.id) if self.placeholder else told


@dataclass(slots=True)
class RoleReader:
    """
    Attributes:
        add: Takes what is declared, with its place.
        sources: By role.
    """

    members: Members
    vhost: str
    add: Callable[[Resource, Entry], None]
    sources: dict[str, RoleSource] = field(default_factory=dict)

    def read_vhost(self, entry: Entry) -> None:
        """What is declared of the vhost itself."""
        values = entry.fields(("limits",))
        if "limits" in values and (limits := _limits(values["limits"], VHOST_LIMITS)):
            self.add(VhostLimits(vhost=self.vhost, limits=limits), values["limits"])

    def read_role(self, role: str, entry: Entry) -> None:
        """One role, for all of its members."""
        values = entry.fields(_FIELDS)
        if role not in ROLES:
            entry.problem(f'nobody knows a role "{role}"{did_you_mean(role, ROLES)}')
            return
        if role in self.sources:
            entry.problem(f"stands a second time, after {self.sources[role].entry.place}")
            return
        source = self.sources[role] = RoleSource(
            entry=entry,
            lists={verb: values[verb].items() for verb in _VERBS if verb in values},
            topics=_topics(values["topics"]) if "topics" in values else {},
        )
        for member in self._members(role, values.get("for_each"), entry):
            self._add_user(role, member, values, source)

    def _members(self, role: str, for_each: Entry | None, entry: Entry) -> Iterator[_Member]:
        group = for_each.text() if for_each is not None else None
        wanted = ROLES[role].group
        if group != wanted:
            words = f"for_each: {wanted}" if wanted else "no for_each: it is one user"
            (for_each or entry).problem(f"this role has {words}")
        elif wanted is None:
            yield _Member(self.vhost, "", "")
        else:
            for member in self.members.of(wanted):
                for login in self.members.logins_of(wanted, member):
                    yield _Member(self.vhost, GROUPS[wanted], member, login)

    def _add_user(
        self, role: str, member: _Member, values: dict[str, Entry], source: RoleSource
    ) -> None:
        parts = (member.vhost, role.replace("_", "-"), member.id)
        name = ".".join(part for part in parts if part)
        if "user" in values:
            name = member.fill(values["user"].text())
            if "{" in name or not 0 < len(name) <= 255:
                values["user"].problem(f'"{name}" is no name of a user')
        name = name if member.login == 1 else f"{name}.{member.login}"
        secret = _secret(values["password"], member) if "password" in values else None
        user = User(
            name=name,
            tags=tuple(sorted(_tags(values["tags"]))) if "tags" in values else (),
            has_password=secret != _NONE,
            role=role,
            member=member.id,
            secret=secret if isinstance(secret, Secret) else None,
        )
        self.add(user, source.entry)
        named = {verb: _filled(source.lists.get(verb, []), member) for verb in _VERBS}
        if source.lists:  # empty ones, too: then it may open the vhost, and no more
            regexes = {verb: pattern(names) for verb, names in named.items()}
            self.add(Permission(user=name, **regexes), source.entry)
        for exchange, keys in source.topics.items():
            topic = TopicPermission(
                user=name,
                exchange=exchange,
                write=pattern(_filled(keys.get("write", []), member, is_key)),
                read=pattern(_filled(keys.get("read", []), member, is_key)),
            )
            self.add(topic, source.entry)
        if "limits" in values and (limits := _limits(values["limits"], USER_LIMITS)):
            self.add(UserLimits(user=name, limits=limits), values["limits"])


def _topics(entry: Entry) -> dict[str, Lists]:
    return {
        exchange: {key: value.items() for key, value in keys.fields(("write", "read")).items()}
        for exchange, keys in entry.named("topics: {}").items()
    }


def _filled(
    listed: list[Entry], member: _Member, is_right: Callable[[str], bool] = is_name
) -> tuple[str, ...]:
    return tuple(name for item in listed if (name := _name(item, member, is_right)))


def _name(item: Entry, member: _Member, is_right: Callable[[str], bool]) -> str:
    """Empty, and a problem noted, if it is none."""
    name = member.fill(item.text())
    if name == ANY_KEY or is_right(name):
        return name
    if name:
        item.problem(
            f'"{name}" is no name: it has A-Z, a-z, 0-9, _, -, ., and {{id}} for any one id'
        )
    return ""


def _tags(entry: Entry) -> Iterator[str]:
    for item in entry.items():
        if (tag := item.text()) in TAGS:
            yield tag
        elif tag:
            item.problem(f'"{tag}" is none of {", ".join(TAGS)}{did_you_mean(tag, TAGS)}')


def _secret(entry: Entry, member: _Member) -> Secret | str | None:
    """A reference, or `_NONE`; None, and a problem noted, if it is neither."""
    if entry.is_text():
        if entry.text() != _NONE:
            # Not repeated: it may be one.
            entry.problem(
                "a password never stands in a file: say environment, file or command, or none"
            )
        return _NONE
    values = entry.fields(SOURCES)
    if len(values) != 1:
        entry.problem(f"needs one of {', '.join(SOURCES)}")
        return None
    ((source, value),) = values.items()
    words = [item.text() for item in value.items()] if source == "command" else [value.text()]
    if not words:
        value.problem("needs the words of a command")
    if not all(words):
        return None  # the problem is noted
    return Secret(source=source, words=tuple(map(member.fill, words)))


def _limits(entry: Entry, known: tuple[str, ...]) -> Table:
    limits: dict[str, object] = {}
    for name, value in entry.fields(known).items():
        limits[name] = number = value.integer()
        if number < 0:
            value.problem("must not be negative")
    return table(limits)
