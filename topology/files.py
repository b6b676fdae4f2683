"""From the YAML files to a `Topology`: members expanded, names as patterns, places kept.

What one value must look like is checked here; what values must be to each other, in `rules`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

from topology import rules
from topology.definitions import (
    ARGUMENTS,
    EXCHANGE_TYPES,
    KEYS,
    POLICY_ONLY_ARGUMENTS,
    PRIORITY,
    QUEUE_TYPES,
)
from topology.model import (
    ID,
    ID_IN_WORDS,
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
from topology.problems import Place, Problems, did_you_mean
from topology.source import Entry, read

MEMBERS_FILE: Final = "members.yaml"
_GROUPS: Final = {"parties": "{party}", "clients": "{client}"}
_ANY_ID: Final = "{id}"


def declared(
    members: Members | Traversable | None = None, directory: Traversable | None = None
) -> Topology:
    """What the broker should have.

    Args:
        members: The parties and clients, or a file that lists them; else the directory's own.
        directory: Where the files are; else those that come with the package.

    Raises:
        InvalidTopologyError: with every problem of every file.
    """
    where = package_files("topology") if directory is None else directory
    problems = Problems()
    if not isinstance(members, Members):
        members = read_members(where / MEMBERS_FILE if members is None else members, problems)
    draft = _Draft(members, problems)
    for name, file in _flow_files(where, problems):
        if (entry := read(file, problems, name=name)) is not None:
            draft.add_file(entry)
    topology = draft.topology()
    rules.check(topology, draft.patterns, draft.places, problems)
    problems.raise_if_any()
    return topology


def read_members(file: Traversable, problems: Problems) -> Members:
    """The ids of a members file, those that are none left out and recorded."""
    entry = read(file, problems, name=_shown(file))
    values = entry.fields(_GROUPS) if entry else {}
    ids: dict[str, list[str]] = {group: [] for group in _GROUPS}
    for group, listed in values.items():
        for item in listed.items():
            text = item.text()
            if text and not is_id(text):
                item.problem(f'"{text}" is no id: {ID_IN_WORDS}')
            elif text in ids[group]:
                item.problem(f'"{text}" is listed twice')
            elif text:
                ids[group].append(text)
    return Members(parties=tuple(ids["parties"]), clients=tuple(ids["clients"]))


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
    """

    members: Members
    problems: Problems
    resources: dict[Ref, Resource] = field(default_factory=dict)
    places: dict[Ref, Place] = field(default_factory=dict)
    patterns: dict[str, list[Entry]] = field(default_factory=dict)

    def topology(self) -> Topology:
        ordered = [self.resources[ref] for ref in sorted(self.resources)]
        return Topology(
            exchanges=tuple(one for one in ordered if isinstance(one, Exchange)),
            queues=tuple(one for one in ordered if isinstance(one, Queue)),
            policies=tuple(one for one in ordered if isinstance(one, Policy)),
            bindings=tuple(one for one in ordered if isinstance(one, Binding)),
        )

    def add_file(self, entry: Entry) -> None:
        sections = entry.fields(("exchanges", "queues", "policies"))
        for section, add, called in (
            ("exchanges", self._add_exchange, "exchange {}"),
            ("queues", self._add_queue, "queue {}"),
            ("policies", self._add_policy, "policy {}"),
        ):
            if section in sections:
                for name, value in sections[section].named(called).items():
                    add(name, value)

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
        group = _one_of(for_each, tuple(_GROUPS))
        if not group:
            return
        placeholder = _GROUPS[group]
        if placeholder not in name:
            entry.problem(f"for_each: {group} needs {placeholder} in the name, or all share one")
            return
        ids = self.members.parties if group == "parties" else self.members.clients
        for member in ids:
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
            pattern=_pattern(listed),
            applies_to=targets[0],
            definition=_definition(values["definition"], targets[0]),
            priority=values["priority"].integer() if "priority" in values else PRIORITY,
        )
        self._add(policy, entry)


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


def _pattern(names: list[Entry]) -> str:
    """A regular expression for exactly these names, ``{id}`` standing for any one id."""
    each = [ID.join(re.escape(part) for part in name.text().split(_ANY_ID)) for name in names]
    return f"^(?:{'|'.join(each)})$"


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
