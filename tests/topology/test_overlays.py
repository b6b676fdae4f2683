"""What an environment says differently, in a file of the same form."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.topology.trees import FLOW, MEMBERS, tree
from topology import declared
from topology.model import Members, Topology
from topology.problems import InvalidTopologyError


def laid(folder: Path, *overlays: str) -> Topology:
    tree(folder, {"flow.yaml": FLOW, "members.yaml": MEMBERS})
    files = []
    for number, text in enumerate(overlays):
        (folder / "environments").mkdir(exist_ok=True)
        files.append(folder / "environments" / f"{number}.yaml")
        files[-1].write_text(text, encoding="utf-8")
    return declared(None, folder, overlays=files)


def problems(folder: Path, *overlays: str) -> list[str]:
    try:
        laid(folder, *overlays)
    except InvalidTopologyError as error:
        return [str(problem).removeprefix(f"{folder}/") for problem in error.problems]
    return []


def definition(topology: Topology, policy: str) -> dict[str, object]:
    return next(dict(one.definition) for one in topology.policies if one.name == policy)


def test_one_value_is_another_and_all_else_stays(tmp_path: Path) -> None:
    plain = laid(tmp_path)
    over = laid(tmp_path, "policies:\n  work:\n    definition:\n      max-length: 7\n")
    assert definition(over, "work") == {**definition(plain, "work"), "max-length": 7}
    assert {one for one in over.resources() if one not in plain.resources()} == {
        one for one in over.policies if one.name == "work"
    }


def test_the_last_of_several_has_the_last_word(tmp_path: Path) -> None:
    first = "policies:\n  work:\n    definition:\n      max-length: 7\n      delivery-limit: 3\n"
    second = "policies:\n  work:\n    definition:\n      max-length: 8\n    priority: 4\n"
    over = laid(tmp_path, first, second)
    told = definition(over, "work")
    assert (told["max-length"], told["delivery-limit"]) == (8, 3)
    assert next(one.priority for one in over.policies if one.name == "work") == 4


def test_a_list_is_another_as_a_whole(tmp_path: Path) -> None:
    over = laid(tmp_path, "queues:\n  jobs:\n    bindings:\n      - {exchange: work, key: x.*}\n")
    assert [one.key for one in over.bindings if one.destination == "jobs"] == ["x.*"]


def test_something_new_is_declared_like_everywhere(tmp_path: Path) -> None:
    more = (
        "queues:\n  more:\n    bindings:\n      - {exchange: work, key: more}\n"
        "policies:\n  more:\n    queues: [more]\n"
        "    definition: {delivery-limit: 1, max-length: 1}\n"
    )
    assert "more" in {queue.name for queue in laid(tmp_path, more).queues}


@pytest.mark.parametrize(
    ("overlay", "expected"),
    [
        (
            "policies:\n  work:\n    definition:\n      max-lenght: 7\n",
            'environments/0.yaml:4: policy "work": definition: unknown key "max-lenght" '
            '(did you mean "max-length"?)',
        ),
        (
            "policies:\n  wrok:\n    definition:\n      max-length: 7\n",
            'environments/0.yaml:2: policy "wrok": needs either queues or exchanges: the names it '
            "is for",
        ),
        (
            "policies:\n  work:\n    definition:\n      max-length: many\n",
            'environments/0.yaml:4: policy "work": definition: max-length: has to be a whole '
            "number, but many is a text",
        ),
        ("quueues: {}\n", 'environments/0.yaml:1: unknown key "quueues" (did you mean "queues"?)'),
        (
            "policies: 1\n",
            "environments/0.yaml:1: policies: has to be a mapping, but 1 is a number",
        ),
    ],
)
def test_a_mistake_is_named_with_the_overlays_line(
    tmp_path: Path, overlay: str, expected: str
) -> None:
    assert expected in problems(tmp_path, overlay)


def test_an_overlay_gives_no_role_too_much(tmp_path: Path) -> None:
    overlay = tmp_path / "wide.yaml"
    overlay.write_text("roles:\n  client:\n    read: [warren.reports]\n", encoding="utf-8")
    with pytest.raises(InvalidTopologyError, match=r'wide\.yaml:3: role "client": read: "warren'):
        declared(Members(clients=("svcA",)), overlays=[overlay])


def test_a_roles_limits_may_be_an_environments_own(tmp_path: Path) -> None:
    overlay = tmp_path / "small.yaml"
    text = (
        "roles:\n  client:\n    limits:\n      max-connections: 3\n"
        "vhost:\n  limits:\n    max-queues: 9\n"
    )
    overlay.write_text(text, encoding="utf-8")
    plain = declared(Members(clients=("svcA",)))
    over = declared(Members(clients=("svcA",)), overlays=[overlay])
    (own,) = [one for one in over.user_limits if one.user == "warren.client.svcA"]
    assert dict(own.limits) == {"max-connections": 3, "max-channels": 1000}
    assert dict(over.vhost_limits[0].limits) == {"max-connections": 50000, "max-queues": 9}
    assert over.permissions == plain.permissions


@pytest.mark.parametrize("name", ["development"])
def test_the_environments_that_come_with_warren_are_right(name: str) -> None:
    folder = Path(__file__).parents[2] / "topology" / "environments"
    over = declared(Members(parties=("p1",)), overlays=[folder / f"{name}.yaml"])
    assert over != declared(Members(parties=("p1",)))


def test_every_environment_is_tested() -> None:
    folder = Path(__file__).parents[2] / "topology" / "environments"
    assert [file.stem for file in folder.glob("*.yaml")] == ["development"]
