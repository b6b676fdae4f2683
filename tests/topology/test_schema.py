"""The JSON Schema that editors use: it takes what `check` takes."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from tests.topology.trees import FLOW
from topology import declared, members_file
from topology.export import export
from topology.model import GROUPS, Members
from topology.schema import flow_schema, members_schema

FLOWS = jsonschema_rs.validator_for(flow_schema())
MEMBERS_FILES = jsonschema_rs.validator_for(members_schema())
FOLDER = Path(str(files("topology")))


def loaded(text: str) -> Any:
    return YAML(typ="safe").load(text)


def shipped() -> list[Path]:
    return sorted(file for file in FOLDER.rglob("*.yaml"))


@pytest.mark.parametrize("file", shipped(), ids=lambda file: file.name)
def test_the_shipped_files_are_right_and_name_their_schema(file: Path) -> None:
    schema = MEMBERS_FILES if file.name == "members.yaml" else FLOWS
    schema.validate(loaded(file.read_text()))
    first = file.read_text().splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
    named = json.loads((file.parent / first.partition("=")[2]).read_text())
    assert named == (members_schema() if file.name == "members.yaml" else flow_schema())


def test_what_a_rotation_writes_is_right(tmp_path: Path) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("parties: [p1]\nclients: [svcA]\n")
    members_file.set_logins(members, "svcA", (1, 2))
    MEMBERS_FILES.validate(loaded(members.read_text()))


def test_what_is_exported_is_right() -> None:
    told = export(declared(Members(parties=("p1",), clients=("svcA",))), "warren")
    FLOWS.validate(told.broker)
    FLOWS.validate(told.roles)
    MEMBERS_FILES.validate(told.members)
    FLOWS.validate(loaded(FLOW))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: topic", "type: tropic"),
        ("  work:\n    type: topic", "  work: {}"),
        ("for_each: parties", "for_each: party"),
        ("max-length: 100\n  dead", "max-length: -1\n  dead"),
        ("max-length: 100\n  dead", "max-length: many\n  dead"),
        ("max-length: 100\n  dead", "max-lenght: 1\n  dead"),
        ("overflow: reject-publish", "overflow: refuse"),
        ("      - exchange: work\n        key: job.*", "      - key: job.*"),
        ("queues:\n  jobs:", "quueues:\n  jobs:"),
    ],
)
def test_a_mistake_is_seen_while_it_is_written(old: str, new: str) -> None:
    assert old in FLOW
    assert not FLOWS.is_valid(loaded(FLOW.replace(old, new, 1)))


@pytest.mark.parametrize(
    "role",
    [
        {"looker": {}},
        {"monitor": {"tags": ["monitor"]}},
        {"monitor": {"password": "hunter2"}},
        {"monitor": {"password": {"vault": "x"}}},
        {"monitor": {"password": {"file": "a", "environment": "b"}}},
        {"monitor": {"limits": {"max-queues": 1}}},
        {"party": {"for_each": "clients"}},
        {"party": {"read": ["^warren.*$"]}},
        {"party": {"topics": {"warren.reports": {"reads": []}}}},
    ],
)
def test_a_role_that_check_refuses_is_seen_too(role: dict[str, Any]) -> None:
    assert not FLOWS.is_valid({"roles": role})


@pytest.mark.parametrize("password", ["none", {"file": "/x"}, {"command": ["vault", "read"]}])
def test_a_password_is_named(password: object) -> None:
    assert FLOWS.is_valid({"roles": {"monitor": {"password": password}}})


def test_members_are_ids_of_known_groups() -> None:
    assert MEMBERS_FILES.is_valid({group: ["a-b_1"] for group in GROUPS})
    wrong: list[dict[str, list[object]]] = [
        {"partys": []},
        {"parties": ["a.b"]},
        {"parties": [1]},
        {"parties": ["a", "a"]},
    ]
    assert not any(map(MEMBERS_FILES.is_valid, wrong))
