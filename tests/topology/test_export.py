"""What is exported declares what was there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from topology import declared
from topology.export import export
from topology.model import Members, Permission, Policy, Topology, User, is_id
from topology.problems import InvalidTopologyError, TopologyError

MANY = Members(
    parties=("p1", "p-2", "p3"),
    clients=("svcA", "svc-a", "warren"),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old", "svcA"),
)


@pytest.mark.parametrize(
    "members",
    [
        MANY,
        Members(parties=("p1",), clients=("p1",)),
        Members(parties=("keygen",), clients=("results", "signing")),
        Members(parties=("p1", "p2")),
        Members(clients=("svcA",)),
        Members(clients=("svcA", "svca", "2"), logins={"svcA": (1, 2), "2": (3,), "svca": (10,)}),
        Members(gateways=("mpc", "requests"), parties=("cancel", "inbox")),
        Members(),
    ],
)
@pytest.mark.parametrize("vhost", ["warren", "an/other.one"])
def test_what_is_exported_declares_the_same(tmp_path: Path, members: Members, vhost: str) -> None:
    wanted = declared(members, vhost=vhost)
    files = export(wanted, vhost)
    assert files.left_out == []
    files.write_to(tmp_path / "files")
    assert declared(None, tmp_path / "files", vhost=vhost) == wanted


def test_what_all_members_have_alike_is_said_once(tmp_path: Path) -> None:
    files = export(declared(MANY), "warren")
    assert files.broker["queues"]["warren.results.{client}"]["for_each"] == [
        "clients",
        "tenant_clients",
        "gateways",
    ]
    assert files.broker["queues"]["warren.inbox.{party}"]["for_each"] == "parties"
    assert not any(is_id(name.rpartition(".")[2]) and "p1" in name for name in files.broker)
    assert files.members["legacy_clients"] == ["old", "svcA"]
    assert "logins" not in files.members


@pytest.mark.parametrize(
    "name", ["warren.client.svcA.01", "warren.client.svcA.x", "warren.party.p1.2"]
)
def test_no_other_name_is_a_further_login(name: str) -> None:
    found = declared(MANY)
    files = export(Topology.of([*found.resources(), User(name=name)]), "warren")
    assert files.left_out == [f"user {name}: it is not called like the user of a role"]


def test_what_files_cannot_say_is_named() -> None:
    found = declared(MANY)
    odd = Policy(name="odd", pattern="^warren", applies_to="queues", definition=(), priority=0)
    stranger = User(name="guest", tags=("administrator",))
    files = export(Topology.of([*found.resources(), odd, stranger]), "warren")
    assert files.left_out == [
        "user guest: it is not called like the user of a role",
        "policy odd: its pattern ^warren is no list of names",
    ]


def test_a_member_that_may_do_more_than_the_others_is_named(tmp_path: Path) -> None:
    found = declared(MANY)
    (own,) = [one for one in found.permissions if one.user == "warren.party.p3"]
    wide = replace(own, read=".*")
    others = [one for one in found.resources() if one != own]
    files = export(Topology.of([*others, wide]), "warren")
    assert files.left_out == ["user warren.party.p3: it differs from the others of role party"]


def test_what_the_one_member_of_a_role_may_do_too_much_is_refused_as_a_file(
    tmp_path: Path,
) -> None:
    found = declared(MANY)
    (own,) = [one for one in found.permissions if one.user == "warren.tenant-client.shop"]
    wide: Permission = replace(own, read=".*")
    others = [one for one in found.resources() if one != own]
    export(Topology.of([*others, wide]), "warren").write_to(tmp_path / "files")
    with pytest.raises(InvalidTopologyError, match="is no name"):
        declared(None, tmp_path / "files")


def test_files_are_never_written_over(tmp_path: Path) -> None:
    with pytest.raises(TopologyError, match="cannot be written"):
        export(declared(MANY), "warren").write_to(tmp_path)
