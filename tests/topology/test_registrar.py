"""One client's part of the topology, and nothing else."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from topology import registrar
from topology.files import declared
from topology.model import SHARING_IDS, Members, Topology
from topology.registrar import NotAClientsError, group_of, part_of, without

MEMBERS = Members(
    parties=("p1", "svcA"),
    clients=("svcA", "svca", "svc_A"),
    tenant_clients=("svc-A",),
    gateways=("gateway",),
    legacy_clients=("svcA",),
    logins={"svcA": (2, 3), "svca": (1, 2)},
)
ASKING = ("svcA", "svca", "svc_A", "svc-A", "gateway")


@pytest.mark.parametrize("client", ASKING)
def test_a_part_is_all_that_is_there_for_a_client_and_for_nobody_else(client: str) -> None:
    part = part_of(MEMBERS, client, vhost="warren")
    assert sorted(part.queues) == [
        f"warren.requests.control.{client}",
        f"warren.requests.keygen.{client}",
        f"warren.requests.signing.{client}",
        f"warren.results.{client}",
    ]
    assert {user.member for user in part.users} == {client}
    assert {user.role for user in part.users} <= {"client", "tenant_client", "gateway"}
    others = declared(without(MEMBERS, client), vhost="warren").by_ref()
    whole = declared(MEMBERS, vhost="warren").by_ref()
    assert {**others, **part.resources} == whole
    assert not others.keys() & part.resources.keys()


def test_each_of_its_logins_is_a_user_with_the_same_rights() -> None:
    part = part_of(MEMBERS, "svcA", vhost="warren")
    assert [user.name for user in part.users] == ["warren.client.svcA.2", "warren.client.svcA.3"]
    topology = declared(MEMBERS, vhost="warren")
    rights = {
        one.user: (one.configure, one.write, one.read)
        for one in topology.permissions
        if one.user.startswith("warren.client.svcA.")
    }
    assert len(rights) == 2
    assert len(set(rights.values())) == 1
    assert "svcA" in str(rights)
    assert "svcA.2" not in str(rights.values())


def test_nothing_of_the_other_clients_is_declared_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Among ten thousand that takes seconds, and each command would do it five times."""
    asked: list[Members] = []

    def counted(members: Members, *rest: Any, **more: Any) -> Topology:
        asked.append(members)
        return declared(members, *rest, **more)

    monkeypatch.setattr(registrar, "declared", counted)
    part_of(MEMBERS, "svc_A", vhost="warren")
    assert {each for members in asked for group in SHARING_IDS for each in members.of(group)} == {
        "svc_A"
    }


def test_groups() -> None:
    assert [group_of(MEMBERS, client) for client in ASKING] == [
        *["clients"] * 3,
        "tenant_clients",
        "gateways",
    ]
    assert group_of(MEMBERS, "p1") is None


def copied(folder: Path) -> None:
    for file in files("topology").iterdir():
        if file.name.endswith(".yaml"):
            (folder / file.name).write_text(file.read_text())


def called(folder: Path, user: str) -> None:
    """The shipped files, but for the name of a client's user."""
    copied(folder)
    roles = folder / "roles.yaml"
    told = roles.read_text()
    role = "  client:\n    for_each: clients\n"
    assert role in told
    roles.write_text(told.replace(role, f"{role}    user: '{user}'\n"))


def test_a_login_may_be_called_otherwise(tmp_path: Path) -> None:
    """As one has to be whose name no certificate can have."""
    called(tmp_path, "{client}@{vhost}")
    part = part_of(MEMBERS, "svcA", vhost="warren", directory=tmp_path)
    assert [user.name for user in part.users] == ["svcA@warren.2", "svcA@warren.3"]


def test_a_login_that_could_be_somebody_elses_is_not_made(tmp_path: Path) -> None:
    called(tmp_path, "administrator")
    one = Members(parties=("p1",), clients=("svcA",))
    with pytest.raises(NotAClientsError, match="user administrator is not client svcA's own"):
        part_of(one, "svcA", vhost="warren", directory=tmp_path)


@pytest.mark.parametrize(
    ("addition", "of_a_client"),
    [
        ("queues:\n  warren.other.{client}:\n    for_each: clients\n", "queue warren.other.svcA"),
    ],
)
def test_files_that_make_more_of_a_client_are_not_applied_in_its_name(
    tmp_path: Path, addition: str, of_a_client: str
) -> None:
    copied(tmp_path)
    name = of_a_client.removeprefix("queue ").replace("svcA", "{id}")
    policy = f"policies:\n  more:\n    queues: ['{name}']\n    definition:\n"
    policy += "      max-length: 1\n      delivery-limit: 1\n"
    (tmp_path / "more.yaml").write_text(addition + policy)
    with pytest.raises(NotAClientsError, match=f"{of_a_client} is not client svcA's own"):
        part_of(MEMBERS, "svcA", vhost="warren", directory=tmp_path)
