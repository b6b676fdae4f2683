"""From the YAML files to a `Topology`: members expanded, names as patterns, places kept.

What one value must look like is checked here; what values must be to each other, in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from topology import role_rules, rules
from topology.definitions import (
    ARGUMENTS,
    EXCHANGE_TYPES,
    KEYS,
    POLICY_ONLY_ARGUMENTS,
    PRIORITY,
    QUEUE_TYPES,
)
from topology.model import (
    GROUPS,
    ID_IN_WORDS,
    MAX_LOGIN,
    SHARING_IDS,
    VHOST,
    Binding,
    Exchange,
    Members,
    Policy,
    Queue,
    Ref,
    Resource,
    Table,
    Topology,
    is_id,
    table,
)
from topology.names import pattern
from topology.problems import Place, Problems, did_you_mean
from topology.role_files import RoleReader
from topology.source import Entry, read

MEMBERS_FILE: Final = "members.yaml"
_LOGINS: Final = "logins"
_NOT_A_PARTY: Final = "coordinator"
"""Its queues for cancellations would be the coordinator's."""


def declared(
    members: Members | Traversable | None = None,
    directory: Traversable | None = None,
    *,
    overlays: Iterable[Traversable] = (),
    vhost: str = VHOST,
) -> Topology:
    """What the broker should have.

    Args:
        members: The parties and clients, or a file that lists them; else the directory's own.
        directory: Where the files are; else those that come with the package.
        overlays: Files of the same form, such as that of an environment, whose values stand instead
            of the directory's; of several, the last one's.
        vhost: For which; users are not a vhost's own, so their names begin with it.

    Raises:
        InvalidTopologyError: with every problem of every file.
    """
    where = package_files("topology") if directory is None else directory
    problems = Problems()
    if not isinstance(members, Members):
        members = read_members(where / MEMBERS_FILE if members is None else members, problems)
    draft = _Draft(members, problems, vhost)
    for file in overlays:
        if (entry := read(file, problems, name=_shown(file))) is not None:
            draft.lay_over(entry)
    for name, file in _flow_files(where, problems):
        if (entry := read(file, problems, name=name)) is not None:
            draft.add_file(entry)
    draft.add_overlays_own()
    topology = draft.topology()
    rules.check(topology, draft.patterns, draft.places, problems)
    role_rules.check(topology, draft.roles.sources, problems)
    problems.raise_if_any()
    return topology


def read_members(file: Traversable, problems: Problems) -> Members:
    """The ids of a members file, those that are none left out and recorded."""
    entry = read(file, problems, name=_shown(file))
    values = entry.fields((*GROUPS, _LOGINS)) if entry else {}
    logins = values.pop(_LOGINS, None)
    ids: dict[str, list[str]] = {group: [] for group in GROUPS}
    taken: dict[tuple[str, str], str] = {}
    for group, listed in values.items():
        for item in listed.items():
            text = item.text()
            # Whoever has an id has queues of that name; legacy clients share theirs.
            key = (text, "" if group in SHARING_IDS else group)
            if text and not is_id(text):
                item.problem(f'"{text}" is no id: {ID_IN_WORDS}')
            elif key in taken:
                also = "" if taken[key] == group else f", first among {taken[key]}"
                item.problem(f'"{text}" is listed twice{also}')
            elif group == "parties" and text == _NOT_A_PARTY:
                item.problem(f'no party may be called "{text}": its cancellations are another\'s')
            elif text:
                taken[key] = group
                ids[group].append(text)
    known = {each for group in SHARING_IDS for each in ids[group]}
    return Members.in_groups(ids, {} if logins is None else dict(_logins(logins, known)))


def _logins(entry: Entry, known: Collection[str]) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Those of the clients whose broker users are others than the first one."""
    for client, listed in entry.named("logins of {}").items():
        numbers = [item.integer() for item in listed.items()]
        if client not in known:
            listed.problem(f"is no client with an id{did_you_mean(client, known)}")
        elif not numbers or len(set(numbers)) != len(numbers):
            listed.problem("needs numbers, each once")
        elif not all(1 <= number <= MAX_LOGIN for number in numbers):
            listed.problem(f"are numbers from 1 to {MAX_LOGIN}")
        else:
            yield client, tuple(sorted(numbers))


def _flow_files(directory: Traversable, problems: Problems) -> Iterator[tuple[str, Traversable]]:
    try:
        found = sorted(
            (_shown(file), file)
            for file in directory.iterdir()
            if file.name.endswith((".yaml", ".yml")) and file.name != MEMBERS_FILE
        )
    except OSError as error:
        problems.add(Place(_shown(directory), 1), f"cannot be read: {error.strerror}")
        return
    if not found:
        problems.add(Place(_shown(directory), 1), "no *.yaml files here")
    yield from found


def _shown(file: Traversable) -> str:
    """A path as the operator would type it."""
    if not isinstance(file, Path):
        return file.name
    absolute = file.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else file)


@dataclass(slots=True)
class _Draft:
    """The topology while files are read into it.

    Attributes:
        places: Where each resource, by reference, was declared.
        patterns: The names and ``{id}`` forms that each policy lists, with their places.
        over: By section and name, what overlays say of it; until it is read.
    """

    members: Members
    problems: Problems
    vhost: str
    resources: dict[Ref, Resource] = field(default_factory=dict)
    places: dict[Ref, Place] = field(default_factory=dict)
    patterns: dict[str, list[Entry]] = field(default_factory=dict)
    over: dict[tuple[str, str], Entry] = field(default_factory=dict)
    roles: RoleReader = field(init=False)

    def __post_init__(self) -> None:
        self.roles = RoleReader(self.members, self.vhost, self._add)

    def topology(self) -> Topology:
        return Topology.of(self.resources.values())

    def lay_over(self, entry: Entry) -> None:
        for at, value in _sections(entry):
            self.over[at] = self.over[at].under(value) if at in self.over else value

    def add_file(self, entry: Entry) -> None:
        for at, value in _sections(entry):
            upper = self.over.pop(at, None)
            self._add_one(*at, value if upper is None else value.under(upper))

    def add_overlays_own(self) -> None:
        """What stands in no other file."""
        for at, value in self.over.items():
            self._add_one(*at, value)

    def _add_one(self, section: str, name: str, entry: Entry) -> None:
        match section:
            case "exchanges":
                self._add_exchange(name, entry)
            case "queues":
                self._add_queue(name, entry)
            case "policies":
                self._add_policy(name, entry)
            case "roles":
                self.roles.read_role(name, entry)
            case _:
                self.roles.read_vhost(entry)

    def _add(self, resource: Resource, entry: Entry) -> None:
        ref = resource.ref
        if ref in self.resources:
            entry.problem(f"{ref} is already declared at {self.places[ref]}")
            return
        self.resources[ref] = resource
        self.places[ref] = entry.place

    def _add_exchange(self, name: str, entry: Entry) -> None:
        values = entry.fields(("type",))
        _check_name(name, entry)
        if "type" not in values:
            entry.problem(f"type is missing: one of {', '.join(EXCHANGE_TYPES)}")
        kind = _one_of(values["type"], EXCHANGE_TYPES) if "type" in values else ""
        self._add(Exchange(name=name, type=kind), entry)

    def _add_queue(self, name: str, entry: Entry) -> None:
        values = entry.fields(("type", "for_each", "arguments", "bindings"))
        kind = _one_of(values["type"], QUEUE_TYPES) if "type" in values else "quorum"
        arguments = _arguments(values["arguments"]) if "arguments" in values else ()
        bound = list(_bindings(values["bindings"])) if "bindings" in values else []
        for placeholder, member in self._each(name, values.get("for_each"), entry):
            queue = name.replace(placeholder, member)
            _check_name(queue, entry)
            self._add(Queue(name=queue, type=kind, arguments=arguments), entry)
            for item, exchange, key in bound:
                key_of_member = key.replace(placeholder, member)
                if "{" in key_of_member:
                    item.problem(f'key "{key}" has a placeholder that for_each does not fill')
                else:
                    binding = Binding(source=exchange, destination=queue, key=key_of_member)
                    self._add(binding, item)

    def _each(self, name: str, for_each: Entry | None, entry: Entry) -> Iterator[tuple[str, str]]:
        """(placeholder, id) of each member; a queue without for_each is its own only one."""
        if for_each is None:
            yield "{}", "{}"
            return
        groups = [
            group
            for each in ([for_each] if for_each.is_text() else for_each.items())
            if (group := _one_of(each, tuple(GROUPS)))
        ]
        placeholders = {GROUPS[group] for group in groups}
        if len(placeholders) > 1:
            for_each.problem("parties and clients are no members of one list")
            return
        for group in groups:
            placeholder = GROUPS[group]
            if placeholder not in name:
                entry.problem(
                    f"for_each: {group} needs {placeholder} in the name, or all share one"
                )
                return
            for member in self.members.of(group):
                yield placeholder, member

    def _add_policy(self, name: str, entry: Entry) -> None:
        values = entry.fields(("exchanges", "queues", "definition", "priority"))
        _check_name(name, entry)
        targets = [target for target in ("exchanges", "queues") if target in values]
        if len(targets) != 1:
            entry.problem("needs either queues or exchanges: the names it is for")
            return
        listed = values[targets[0]].items()
        if not listed:
            entry.problem(f"{targets[0]}: at least one name is needed")
            return
        self.patterns[name] = listed
        if "definition" not in values:
            entry.problem("definition is missing")
            return
        policy = Policy(
            name=name,
            pattern=pattern(name.text() for name in listed),
            applies_to=targets[0],
            definition=_definition(values["definition"], targets[0]),
            priority=values["priority"].integer() if "priority" in values else PRIORITY,
        )
        self._add(policy, entry)


_SECTIONS: Final = {
    "exchanges": "exchange {}",
    "queues": "queue {}",
    "policies": "policy {}",
    "roles": "role {}",
}
_VHOST: Final = "vhost"


def _sections(entry: Entry) -> Iterator[tuple[tuple[str, str], Entry]]:
    """What a file says, each with its section and its name; the vhost has none."""
    sections = entry.fields((*_SECTIONS, _VHOST))
    for section, called in _SECTIONS.items():
        if section in sections:
            for name, value in sections[section].named(called).items():
                yield (section, name), value
    if _VHOST in sections:
        yield (_VHOST, ""), sections[_VHOST]


def _bindings(entry: Entry) -> Iterator[tuple[Entry, str, str]]:
    for item in entry.items():
        values = item.fields(("exchange", "key"))
        if "exchange" not in values:
            item.problem("exchange is missing")
            continue
        yield item, values["exchange"].text(), values["key"].text() if "key" in values else ""


def _arguments(entry: Entry) -> Table:
    values: dict[str, object] = {}
    for key, value in entry.named("{}").items():
        if key in POLICY_ONLY_ARGUMENTS:
            policy_key = key.removeprefix("x-")
            value.problem(f"belongs in a policy as {policy_key}; an argument can never be changed")
        elif key == "x-queue-type":
            value.problem("is written as type, beside arguments")
        elif key not in ARGUMENTS:
            value.problem(f"no argument that Warren uses{did_you_mean(key, ARGUMENTS)}")
        else:
            values[key] = value.scalar()
    return table(values)


def _definition(entry: Entry, target: str) -> Table:
    values: dict[str, object] = {}
    for key, value in entry.fields(KEYS[target]).items():
        wanted = KEYS[target][key]
        if isinstance(wanted, tuple):
            values[key] = _one_of(value, wanted)
        elif wanted is int:
            values[key] = number = value.integer()
            if number < 0:
                value.problem("must not be negative")
        else:
            values[key] = value.text()
    return table(values)


def _one_of(entry: Entry, allowed: tuple[str, ...]) -> str:
    """The text, or "" with a problem recorded, which the rules pass over."""
    text = entry.text()
    if text in allowed:
        return text
    if text:
        entry.problem(f'"{text}" is none of {", ".join(allowed)}{did_you_mean(text, allowed)}')
    return ""


def _check_name(name: str, entry: Entry) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", name):
        hint = "; without for_each there is nothing to put for {...}" if "{" in name else ""
        entry.problem(f"names have 1 to 255 of A-Z, a-z, 0-9, _, - and .{hint}")
    elif name.startswith("amq."):
        entry.problem("names that begin with amq. belong to the broker")
