"""Whatever one permission of the shipped files is widened by, `check` refuses the files."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from topology import declared, role_rules
from topology.definitions import TAGS
from topology.model import GROUPS, Members
from topology.problems import InvalidTopologyError
from topology.role_rules import excesses
from topology.roles import ROLES
from topology.source import write

pytestmark = pytest.mark.long

MEMBERS = Members(
    parties=("p1",),
    clients=("svcA",),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)
SHIPPED: dict[str, Any] = YAML(typ="safe").load((files("topology") / "roles.yaml").read_text())
RIGHTS = ("configure", "write", "read")
NOT_FOR_ALL = ("amq.default", "amq.gen-x", "warren.rounds.{id}", "{id}", "#")

Edit = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for file in files("topology").iterdir():
        if file.name.endswith(".yaml"):
            (folder / file.name).write_text(file.read_text())
    return folder


def refused(tree: Path, role: str, edit: Edit) -> list[str]:
    """The problems of the files once a role is edited."""
    content = copy.deepcopy(SHIPPED)
    edit(content["roles"][role])
    write(content, tree / "roles.yaml")
    try:
        declared(MEMBERS, tree)
    except InvalidTopologyError as error:
        return [problem.text for problem in error.problems]
    return []


def widened(names: list[str], placeholder: str) -> Iterator[list[str]]:
    """The list with each name as that of any member, and with something more."""
    for position, name in enumerate(names):
        wider = name.replace(placeholder, "{id}") if placeholder else name
        if wider != name:
            yield [*names[:position], wider, *names[position + 1 :]]
    yield from ([*names, more] for more in NOT_FOR_ALL if more not in names)


def wideners(role: str) -> Iterator[tuple[str, Edit]]:
    """What could be edited, with words for it."""
    group = ROLES[role].group
    placeholder = GROUPS[group] if group else ""
    has = SHIPPED["roles"][role]
    for right in RIGHTS:
        for names in widened(has.get(right, []), placeholder):
            yield f"{right}: {names[-1]}", setting(names, right)
    for exchange, keys in has.get("topics", {}).items():
        yield f"no {exchange}", without_topic(exchange)
        for right in ("write", "read"):
            for names in widened(keys.get(right, []), placeholder):
                said = f"{exchange}: {right}: {names[-1]}"
                yield said, setting(names, "topics", exchange, right)
    for tag in TAGS:
        if tag not in has.get("tags", []):
            yield tag, setting([*has.get("tags", []), tag], "tags")


def setting(names: list[str], *path: str) -> Edit:
    def edit(role: dict[str, Any]) -> None:
        for word in path[:-1]:
            role = role[word]
        role[path[-1]] = names

    return edit


def without_topic(exchange: str) -> Edit:
    def edit(role: dict[str, Any]) -> None:
        del role["topics"][exchange]

    return edit


@pytest.mark.parametrize("role", list(ROLES))
def test_files_with_one_permission_widened_are_refused(tree: Path, role: str) -> None:
    assert refused(tree, role, lambda _: None) == []
    tried = list(wideners(role))
    assert len(tried) >= len(RIGHTS) * len(NOT_FOR_ALL)
    for said, edit in tried:
        found = refused(tree, role, edit)
        # What a list of keys says of "#" that the role may use anyway is no excess.
        if said.endswith(": #") and _has_all(role, said):
            continue
        assert any(f'role "{role}"' in text for text in found), said


def _has_all(role: str, said: str) -> bool:
    exchange, _, rest = said.partition(": ")
    topic = ROLES[role].topics.get(exchange)
    return topic is not None and "#" in getattr(topic, rest.partition(":")[0], ())


@pytest.mark.parametrize("role", list(ROLES))
def test_every_permission_of_the_shipped_files_is_widened_by_some_edit(role: str) -> None:
    """So the test above can miss none."""
    group, has = ROLES[role].group, SHIPPED["roles"][role]
    placeholder = GROUPS[group] if group else ""
    edited: list[dict[str, Any]] = []
    for _, edit in wideners(role):
        edited.append(copy.deepcopy(has))
        edit(edited[-1])
    for right in RIGHTS:
        own = has.get(right, [])
        made = [one[right] for one in edited if one.get(right, []) != own]
        named = [name for name in own if placeholder and placeholder in name]
        wider = {name.replace(placeholder, "{id}") for name in named}
        assert wider - {*own} <= {name for names in made for name in names}
        assert {*NOT_FOR_ALL} - {*own} <= {name for names in made for name in names}
    for exchange, keys in has.get("topics", {}).items():
        assert any(exchange not in one["topics"] for one in edited)
        for right in ("write", "read"):
            others = [one["topics"].get(exchange, {}).get(right, []) for one in edited]
            assert any(each not in ([], keys.get(right, [])) for each in others), (exchange, right)
    assert {tag for one in edited for tag in one.get("tags", [])} == {*TAGS}


def test_every_role_is_in_the_shipped_files() -> None:
    assert set(SHIPPED["roles"]) == set(ROLES)


def test_an_exchange_that_gets_the_name_of_a_queue_may_not_be_tapped_by_its_readers(
    tree: Path,
) -> None:
    write(SHIPPED, tree / "roles.yaml")
    more = tree / "more.yaml"
    more.write_text("exchanges:\n  warren.legacy-results:\n    type: fanout\n", encoding="utf-8")
    try:
        with pytest.raises(InvalidTopologyError) as caught:
            declared(MEMBERS, tree)
    finally:
        more.unlink()
    assert [problem.text for problem in caught.value.problems] == [
        'role "legacy_client": read: it may bind what it writes to the exchange '
        '"warren.legacy-results", which it must not; where that is the name of a queue that it '
        "reads, say under topics {}, or give the two names of their own"
    ]


@pytest.mark.parametrize("role", ["party", "coordinator", "operator"])
def test_what_a_role_may_bind_from_is_what_its_list_says(
    monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    shipped = declared(MEMBERS)
    assert list(excesses(shipped)) == []
    assert ROLES[role].binds
    for exchange in ROLES[role].binds:
        fewer = tuple(one for one in ROLES[role].binds if one != exchange)
        less = {**ROLES, role: replace(ROLES[role], binds=fewer)}
        monkeypatch.setattr(role_rules, "ROLES", less)
        found = [(user.role, excess.at, excess.text) for user, excess in excesses(shipped)]
        assert {(who, at) for who, at, _ in found} == {(role, ("read",))}
        assert all(f'"{exchange}"' in text for _, _, text in found)
