"""What is made at the broker in the name of one party, and nothing else."""

from __future__ import annotations

from importlib.resources.abc import Traversable

import pytest

from topology.files import declared
from topology.model import Members, Queue, Topology, User
from topology.registrar import NotAClientsError, Part, part_of_party, parties_only
from topology.roles import ROLES

MEMBERS = Members(parties=("party-1", "party-2"), clients=("svcA",))


def part(party: str) -> Part:
    return part_of_party(MEMBERS, party, vhost="warren")


def test_a_party_has_three_queues_and_one_login_and_no_client_is_touched() -> None:
    own = part("party-2")
    assert set(own.queues) == {
        "warren.inbox.party-2",
        "warren.keygen.party-2",
        "warren.presigning.party-2",
    }
    assert [user.name for user in own.users] == ["warren.party.party-2"]
    assert not any("svcA" in str(ref) or "party-1" in str(ref) for ref in own.resources)
    assert parties_only(MEMBERS).clients == ()


def test_files_that_make_more_of_a_party_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def more(members: Members, directory: Traversable | None, *, vhost: str) -> Topology:
        found = declared(members, directory, vhost=vhost)
        if "party-2" not in members.parties:
            return found
        stray = Queue(name="warren.results.svcA")
        return Topology.of([*found.resources(), stray])

    monkeypatch.setattr("topology.registrar.declared", more)
    with pytest.raises(NotAClientsError, match="not party party-2's own"):
        part("party-2")


def test_the_login_of_a_party_is_of_its_role() -> None:
    assert ROLES["party"].group == "parties"
    assert all(isinstance(user, User) and user.role == "party" for user in part("party-1").users)
