from __future__ import annotations

from pathlib import Path

import pytest

from tests.topology.trees import FLOW, MEMBERS, problems, read, spoiled, tree
from topology.files import declared
from topology.model import Binding, Members, Policy, Queue
from topology.problems import InvalidTopologyError


def test_good_files_have_no_problems(tmp_path: Path) -> None:
    assert problems(tmp_path) == []


def test_for_each_makes_one_queue_and_one_binding_per_member(tmp_path: Path) -> None:
    topology = read(tmp_path)
    assert [queue.name for queue in topology.queues] == ["box.p-2", "box.p1", "dead", "jobs"]
    assert Binding(source="work", destination="box.p-2", key="box.p-2") in topology.bindings


def test_ids_that_differ_in_a_dash_stay_two_queues(tmp_path: Path) -> None:
    topology = read(tmp_path, members=Members(parties=("svc-a", "svc_a", "Svc-a")))
    names = {queue.name for queue in topology.queues}
    assert {"box.svc-a", "box.svc_a", "box.Svc-a"} <= names


def test_no_members_are_no_problem_for_a_policy_that_waits_for_them(tmp_path: Path) -> None:
    assert problems(tmp_path, members="parties: []\n") == []


def test_a_pattern_covers_its_names_and_nothing_that_only_looks_like_them(tmp_path: Path) -> None:
    policy = next(one for one in read(tmp_path).policies if one.name == "work")
    for name in ("jobs", "box.p1", "box.svc-a", "box.svc_a", f"box.{'x' * 64}"):
        assert policy.covers(Queue(name=name)), name
    for name in ("jobs2", "my.jobs", "boxXp1", "box.", "box.p.1", "box.p 1", f"box.{'x' * 65}"):
        assert not policy.covers(Queue(name=name)), name


@pytest.mark.parametrize(
    ("flow", "expected"),
    [
        (
            spoiled("  jobs:\n", "  jobs:\n    durabel: true\n"),
            'flow.yaml:9: queue "jobs": unknown key "durabel"',
        ),
        (
            spoiled("for_each: parties", "for_eech: parties"),
            'flow.yaml:13: queue "box.{party}": unknown key "for_eech" (did you mean "for_each"?)',
        ),
        (
            spoiled("queues:\n  jobs:", "qeues:\n  jobs:"),
            'flow.yaml:7: unknown key "qeues" (did you mean "queues"?)',
        ),
        (
            spoiled("type: topic", "type: topc"),
            'flow.yaml:3: exchange "work": type: "topc" is none of direct, fanout, topic'
            ' (did you mean "topic"?)',
        ),
        (
            spoiled("    type: topic\n", "    {}\n"),
            'flow.yaml:2: exchange "work": type is missing: one of direct, fanout, topic',
        ),
        (
            spoiled("type: topic", "type: x-local-random"),
            'flow.yaml:3: exchange "work": type: "x-local-random" is none of direct, fanout, topic',
        ),
        (
            spoiled("key: job.*", "key: 7"),
            'flow.yaml:11: queue "jobs": bindings: key: has to be a text, but 7 is a number;'
            " put it in quotes",
        ),
        (
            spoiled("      - exchange: work\n        key: job.*", "      - key: job.*"),
            'flow.yaml:10: queue "jobs": bindings: exchange is missing',
        ),
        (
            spoiled("    for_each: parties\n", ""),
            'flow.yaml:12: queue "box.{party}": names have 1 to 255 of A-Z, a-z, 0-9, _, - and .;'
            " without for_each there is nothing to put for {...}",
        ),
        (
            spoiled("box.{party}:", "box:"),
            'flow.yaml:12: queue "box": for_each: parties needs {party} in the name, or all share'
            " one",
        ),
        (
            spoiled("key: box.{party}", "key: box.{client}"),
            'flow.yaml:15: queue "box.{party}": bindings: key "box.{client}" has a placeholder'
            " that for_each does not fill",
        ),
        (
            spoiled("for_each: parties", "for_each: party"),
            'flow.yaml:13: queue "box.{party}": for_each: "party" is none of parties, clients,'
            ' tenant_clients, gateways, legacy_clients (did you mean "parties"?)',
        ),
        (
            spoiled("  jobs:\n", "  amq.jobs:\n"),
            'flow.yaml:8: queue "amq.jobs": names that begin with amq. belong to the broker',
        ),
        (
            spoiled("  jobs:\n", "  jobs:\n    arguments: {x-message-ttl: 5}\n"),
            'flow.yaml:9: queue "jobs": arguments: x-message-ttl: belongs in a policy as'
            " message-ttl; an argument can never be changed",
        ),
        (
            spoiled("  jobs:\n", "  jobs:\n    arguments: {x-queue-type: quorum}\n"),
            'flow.yaml:9: queue "jobs": arguments: x-queue-type: is written as type, beside'
            " arguments",
        ),
        (
            spoiled("  jobs:\n", "  jobs:\n    arguments: {x-single-active-consumers: true}\n"),
            'flow.yaml:9: queue "jobs": arguments: x-single-active-consumers: no argument that'
            ' Warren uses (did you mean "x-single-active-consumer"?)',
        ),
        (
            spoiled("delivery-limit: 10\n", "delivery-limit: ten\n"),
            'flow.yaml:27: policy "work": definition: delivery-limit: has to be a whole number,'
            " but ten is a text",
        ),
        (
            spoiled("delivery-limit: 10\n", "delivery-limit: -1\n"),
            'flow.yaml:27: policy "work": definition: delivery-limit: must not be negative',
        ),
        (
            spoiled("overflow: reject-publish", "overflow: reject-publsh"),
            'flow.yaml:30: policy "work": definition: overflow: "reject-publsh" is none of'
            ' drop-head, reject-publish (did you mean "reject-publish"?)',
        ),
        (
            spoiled("overflow: reject-publish", "overflow: reject-publish\n      expires: 9"),
            'flow.yaml:31: policy "work": definition: unknown key "expires"',
        ),
        (
            spoiled("    queues:\n      - dead\n", ""),
            'flow.yaml:32: policy "dead": needs either queues or exchanges: the names it is for',
        ),
        (
            spoiled("    queues:\n      - dead\n", "    queues: []\n"),
            'flow.yaml:32: policy "dead": queues: at least one name is needed',
        ),
        (
            spoiled("  dead:\n    type: fanout\n", "  work:\n    type: fanout\n"),
            'flow.yaml:4: exchanges: key "work" stands here twice, first in line 2',
        ),
        (spoiled("  jobs:\n", "  7:\n"), "flow.yaml:8: queues: every key has to be a text"),
        (spoiled("  dead:\n    type: fanout", "  dead: fanout"), "but fanout is a text"),
        ("queues: [\n", "flow.yaml:2: not YAML:"),
        ("", "flow.yaml:1: the file is empty"),
        ("- a\n", "flow.yaml:1: has to be a mapping, but is a list"),
    ],
)
def test_a_mistake_is_named_with_its_file_and_line(
    tmp_path: Path, flow: str, expected: str
) -> None:
    found = problems(tmp_path, flow)
    assert any(expected in problem for problem in found), found


@pytest.mark.long
@pytest.mark.usefixtures("usual_recursion")
def test_what_is_nested_too_deeply_is_named_with_its_file(tmp_path: Path) -> None:
    found = problems(tmp_path, "queues: " + 5_000 * "[")
    assert any("flow.yaml:1: is nested too deeply" in problem for problem in found), found


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ("parties: [1, 2]", "members.yaml:1: parties: has to be a text, but 1 is a number"),
        ("parties:\n  - p1\n  - a.b", 'members.yaml:3: parties: "a.b" is no id: an id has 1 to 64'),
        ("clients: ['a b']", 'members.yaml:1: clients: "a b" is no id'),
        (f"clients: [{'x' * 65}]", "is no id"),
        ("clients: ['*']", '"*" is no id'),
        ("clients: ['{party}']", '"{party}" is no id'),
        ('clients: ["a\\n"]', "is no id"),
        ("parties: [p1, p1]", 'members.yaml:1: parties: "p1" is listed twice'),
        ("party: [p1]", 'members.yaml:1: unknown key "party" (did you mean "parties"?)'),
        ("parties: p1", "members.yaml:1: parties: has to be a list, but p1 is a text"),
    ],
)
def test_a_bad_member_is_named_with_its_line(tmp_path: Path, members: str, expected: str) -> None:
    found = problems(tmp_path, members=members)
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("type: topic", "type: topc"),
        ("type: topic", "type: 7"),
        ("    type: topic\n", "    {}\n"),
        ("for_each: parties", "for_each: party"),
        ("overflow: reject-publish", "overflow: reject-publsh"),
        ("dead-letter-exchange: dead", "dead-letter-exchange: 7"),
        ("dead-letter-strategy: at-least-once", "dead-letter-strategy: once"),
        ("- exchange: dead", "- exchange: 7"),
        ("delivery-limit: 10\n", "delivery-limit: ten\n"),
    ],
)
def test_one_mistake_is_told_once_and_not_by_its_consequences(
    tmp_path: Path, old: str, new: str
) -> None:
    assert len(problems(tmp_path, spoiled(old, new))) == 1


def test_all_problems_of_all_files_are_told_at_once(tmp_path: Path) -> None:
    where = tree(
        tmp_path,
        {
            "a.yaml": spoiled("type: topic", "typ: topic"),
            "b.yaml": "queues:\n  q:\n    type: quorom\n",
            "members.yaml": "parties: [a.b]\n",
        },
    )
    with pytest.raises(InvalidTopologyError) as caught:
        declared(None, where)
    files = {Path(problem.place.file).name for problem in caught.value.problems}
    assert files == {"a.yaml", "b.yaml", "members.yaml"}


def test_a_name_declared_in_two_files_is_told_with_both_places(tmp_path: Path) -> None:
    where = tree(tmp_path, {"a.yaml": FLOW, "b.yaml": "exchanges:\n  work:\n    type: topic\n"})
    with pytest.raises(InvalidTopologyError, match=r"b\.yaml:2: .*already declared at .*a\.yaml:2"):
        declared(Members(), where)


def test_a_client_whose_queue_is_declared_by_hand_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, spoiled("  jobs:\n", "  box.p1: {}\n  jobs:\n"))
    assert any("queue box.p1 is already declared at" in problem for problem in found), found


@pytest.mark.parametrize("name", ["members.yaml", "flow.yaml"])
def test_a_file_that_is_no_utf8_is_named(tmp_path: Path, name: str) -> None:
    where = tree(tmp_path, {"flow.yaml": FLOW, "members.yaml": MEMBERS})
    (where / name).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidTopologyError, match=f"{name}:1: not YAML in UTF-8"):
        declared(None, where)


def test_a_missing_members_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidTopologyError, match=r"nobody\.yaml:1: cannot be read"):
        declared(tmp_path / "nobody.yaml")


def test_a_number_without_end_is_a_problem_of_its_line(tmp_path: Path) -> None:
    found = problems(tmp_path, spoiled("delivery-limit: 10\n", f"delivery-limit: {5000 * '9'}\n"))
    assert any("delivery-limit: has to be a whole number" in problem for problem in found), found


def test_a_directory_without_files_is_a_problem_and_not_an_empty_broker(tmp_path: Path) -> None:
    with pytest.raises(InvalidTopologyError, match=r"no \*\.yaml files here"):
        declared(Members(), tmp_path)


@pytest.mark.parametrize("bad", [("a.b",), ("",), ("a", "a"), ("x" * 65,)])
def test_members_made_in_code_are_held_to_the_same_rule(bad: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"is no id|listed twice"):
        Members(clients=bad)


def test_a_policy_with_a_foreign_kind_of_expression_counts_as_covering_everything() -> None:
    # Possessive groups and named recursion are the broker's, not Python's.
    policy = Policy(name="x", pattern="^(?R)?$", applies_to="queues", definition=(), priority=0)
    assert policy.covers(Queue(name="q"))


@pytest.mark.parametrize(
    ("applies_to", "covered"),
    [
        ("all", True),
        ("queues", True),
        ("quorum_queues", True),
        ("classic_queues", False),
        ("streams", False),
        ("exchanges", False),
    ],
)
def test_a_policy_covers_the_kinds_it_is_for(applies_to: str, covered: bool) -> None:
    policy = Policy(name="x", pattern="", applies_to=applies_to, definition=(), priority=0)
    assert policy.covers(Queue(name="q", type="quorum")) is covered
