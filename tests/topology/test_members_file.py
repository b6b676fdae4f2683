"""Members files are changed without losing what people wrote there."""

from __future__ import annotations

from pathlib import Path

import pytest

from topology import members_file
from topology.problems import TopologyError

TEXT = """\
# Who is who.
parties: [p1]
clients:
  - svcA  # the shop
  - "1234"
tenant_clients: []
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "members.yaml"
    path.write_text(TEXT)
    path.chmod(0o640)
    return path


def test_a_client_is_added_once_and_the_rest_stays_as_it_was(path: Path) -> None:
    members_file.add(path, "clients", "svcB")
    once = path.read_text()
    members_file.add(path, "clients", "svcB")
    assert path.read_text() == once
    assert "# Who is who." in once
    assert "# the shop" in once
    assert members_file.load(path).clients == ("svcA", "1234", "svcB")
    assert path.stat().st_mode & 0o777 == 0o640


def test_to_a_group_that_is_not_there_and_of_digits(path: Path) -> None:
    members_file.add(path, "gateways", "4321")
    assert members_file.load(path).gateways == ("4321",)


def test_ids_that_differ_in_case_or_one_character_are_others(path: Path) -> None:
    for name in ("svca", "svc_A", "svc-A"):
        members_file.add(path, "clients", name)
    members_file.remove(path, "clients", "svca")
    assert members_file.load(path).clients == ("svcA", "1234", "svc_A", "svc-A")


def test_who_is_removed_goes_with_its_logins(path: Path) -> None:
    members_file.set_logins(path, "svcA", (1, 2))
    assert members_file.load(path).logins == {"svcA": (1, 2)}
    members_file.remove(path, "clients", "svcA")
    members = members_file.load(path)
    assert (members.clients, members.logins) == (("1234",), {})
    before = path.read_text()
    members_file.remove(path, "clients", "svcA")
    assert path.read_text() == before


def test_the_first_login_alone_is_not_said(path: Path) -> None:
    members_file.set_logins(path, "svcA", (1, 2))
    members_file.set_logins(path, "svcA", (2,))
    assert members_file.load(path).logins == {"svcA": (2,)}
    members_file.set_logins(path, "svcA", (1,))
    assert members_file.load(path).logins == {}


def test_what_would_not_be_a_members_file_is_not_written(path: Path) -> None:
    with pytest.raises(TopologyError, match="is no id"):
        members_file.add(path, "clients", "svc.A")
    with pytest.raises(TopologyError, match="listed twice"):
        members_file.add(path, "gateways", "svcA")
    assert path.read_text() == TEXT
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    path.write_text("- a\n- b\n")
    with pytest.raises(TopologyError, match="no members file"):
        members_file.add(path, "clients", "svcB")


@pytest.mark.parametrize(
    ("logins", "problem"),
    [
        ("{nobody: [1]}", 'logins of "nobody": is no client with an id'),
        ("{svcA: []}", "needs numbers, each once"),
        ("{svcA: [2, 2]}", "needs numbers, each once"),
        ("{svcA: [0]}", "are numbers from 1 to 9999"),
        ("{svcA: [x]}", "has to be a whole number"),
        ("[svcA]", "has to be a mapping"),
    ],
)
def test_logins_that_mean_nothing_are_told(path: Path, logins: str, problem: str) -> None:
    path.write_text(f"{TEXT}logins: {logins}\n")
    with pytest.raises(TopologyError, match=problem):
        members_file.load(path)
