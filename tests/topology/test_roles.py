"""No role may do more than its list: on the files, and on what would be sent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology import declared
from topology.model import GROUPS, Members, Permission, Secret, TopicPermission, Topology, User
from topology.names import ANY_KEY, covers, matches, names_of, pattern
from topology.problems import InvalidTopologyError
from topology.role_rules import excesses
from topology.roles import ROLES
from topology.who import UnknownNameError, who

MEMBERS = Members(
    parties=("p1", "p-2"),
    clients=("svcA", "svc-a"),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)
NAMES = st.lists(
    st.from_regex(r"\A(?:[A-Za-z0-9_.-]|\{id\}){1,20}\Z"), min_size=1, max_size=4, unique=True
)
SHIPPED = declared(MEMBERS)
USERS = {(user.role, user.member): user for user in SHIPPED.users}


def changed(old: Permission | TopicPermission, new: Permission | TopicPermission) -> Topology:
    others = [one for one in SHIPPED.resources() if one != old]
    return Topology.of([*others, new])


def found(topology: Topology) -> list[str]:
    return [f"{user.name}: {excess.text}" for user, excess in excesses(topology)]


def permission(user: User) -> Permission:
    return next(one for one in SHIPPED.permissions if one.user == user.name)


###
### Names
###


@given(names=NAMES)
def test_names_come_back_from_their_pattern(names: list[str]) -> None:
    assert names_of(pattern(names)) == tuple(names)


@given(names=NAMES, other=st.text("abx.-_+^$", min_size=1, max_size=8))
def test_a_pattern_is_for_its_names_and_for_no_other(names: list[str], other: str) -> None:
    regex = pattern(names)
    assert all(matches(regex, name.replace("{id}", "x_-9")) for name in names)
    if matches(regex, other):
        assert covers(names, other)


@pytest.mark.parametrize(
    "regex",
    [
        ".*",
        "",
        "^$",
        "^warren",
        r"warren\.reports$",
        r"^warren\.reports$",
        r"^(?:warren.reports)$",
        r"^(?:warren\.reports|.*)$",
        r"^(?:warren\.reports)",
        r"^(?:warren\.reports)$|^x",
        r"^(?:a)|(?:b)$",
        r"^(?:warren\.[a-z]+)$",
        r"^(?:\w)$",
    ],
)
def test_what_is_no_escaped_and_anchored_list_is_none(regex: str) -> None:
    assert names_of(regex) == (() if regex in ("", "^$") else None)


def test_what_rabbitmq_alone_can_read_is_taken_for_everything() -> None:
    assert matches("(", "anything")


###
### What is shipped
###


def test_the_shipped_files_give_everybody_a_user_and_nobody_too_much() -> None:
    assert found(SHIPPED) == []
    assert {(user.role, user.member) for user in SHIPPED.users} == {
        *(
            (role, member)
            for role, most in ROLES.items()
            for member in (MEMBERS.of(most.group) if most.group else ("",))
        )
    }


def test_no_role_but_the_operator_may_use_the_default_exchange_and_none_may_make_names() -> None:
    for user in SHIPPED.users:
        own = permission(user)
        writes = matches(own.write, "amq.default")
        assert writes == (user.role == "operator"), user.name
        for name in ("amq.gen-x", "amq.topic", "x", "warren", "warrenXreports"):
            assert not any(matches(getattr(own, verb), name) for verb in ("configure", "write"))


def test_each_user_is_named_after_its_vhost() -> None:
    elsewhere = declared(MEMBERS, vhost="other")
    assert {user.name.partition(".")[0] for user in elsewhere.users} == {"other"}
    assert not {user.name for user in elsewhere.users} & {user.name for user in SHIPPED.users}


###
### Widened
###


def _additions() -> Iterator[tuple[str, str, str]]:
    """(role, right, name) of everything that a role has not, one member's instead of another's
    included."""
    everything = {one.name for one in SHIPPED.governed()} | {"amq.default", "amq.gen-x", "{id}"}
    everything |= {"warren.{id}", "warren.{id}.{id}", "warren.cancel.p-2.{id}", ANY_KEY}
    for (role, member), user in USERS.items():
        if member in ("p-2", "svc-a"):
            continue
        for right in ("configure", "write", "read"):
            own = names_of(getattr(permission(user), right)) or ()
            yield from ((role, right, name) for name in sorted(everything) if not covers(own, name))


def _member(role: str) -> str:
    group = ROLES[role].group
    return MEMBERS.of(group)[0] if group else ""


@pytest.mark.parametrize("role", list(ROLES))
def test_whatever_a_role_is_given_beyond_its_list_is_refused(role: str) -> None:
    user = USERS[role, _member(role)]
    tried = [(right, name) for who_, right, name in _additions() if who_ == role]
    assert len(tried) > 50
    for right, name in tried:
        old = permission(user)
        names = names_of(getattr(old, right)) or ()
        new = replace(old, **{right: pattern([*names, name])})
        assert found(changed(old, new)), (right, name)


@pytest.mark.parametrize("right", ["configure", "write", "read"])
@pytest.mark.parametrize("regex", [".*", r"^warren\.requests", r"^warren.requests$"])
@pytest.mark.parametrize("role", list(ROLES))
def test_a_pattern_that_is_not_escaped_and_anchored_is_refused(
    role: str, right: str, regex: str
) -> None:
    old = permission(USERS[role, _member(role)])
    said = found(changed(old, replace(old, **{right: regex})))
    assert any(f"{right} is no anchored list of escaped names" in one for one in said)


def test_a_topic_permission_that_is_missing_is_refused_as_it_means_everything() -> None:
    for one in SHIPPED.topic_permissions:
        rest = Topology.of(each for each in SHIPPED.resources() if each != one)
        said = [text for text in found(rest) if text.startswith(f"{one.user}: ")]
        assert len(said) == 1
        assert f'no topic permission for exchange "{one.exchange}"' in said[0]


@pytest.mark.parametrize("key", [ANY_KEY, "{id}", "{id}.{id}", "mpc.{id}.svc-a", "x.p-9"])
def test_more_routing_keys_are_refused(key: str) -> None:
    for one in SHIPPED.topic_permissions:
        role = next(user.role for user in SHIPPED.users if user.name == one.user)
        for right in ("write", "read"):
            most = getattr(ROLES[role].topics[one.exchange], right)
            if ANY_KEY in most or covers(most, key):
                continue
            new = replace(one, **{right: pattern([key])})
            assert found(changed(one, new)), (one.user, one.exchange, right)


@pytest.mark.parametrize("tag", ["management", "policymaker", "monitoring", "administrator"])
def test_more_tags_are_refused(tag: str) -> None:
    for user in SHIPPED.users:
        if tag not in ROLES[user.role].tags:
            others = [one for one in SHIPPED.resources() if one != user]
            said = found(Topology.of([*others, replace(user, tags=(tag,))]))
            assert said == [f'{user.name}: the tag "{tag}" is more than it may have']


###
### In the files
###


CLIENT = "  client:\n    for_each: clients\n"


def spoiled(folder: Path, old: str, new: str) -> list[str]:
    """The problems of the shipped files with one passage of roles.yaml replaced."""
    try:
        edited(folder, old, new)
    except InvalidTopologyError as error:
        return [str(problem).removeprefix(f"{folder}/") for problem in error.problems]
    return []


def edited(folder: Path, old: str, new: str) -> Topology:
    for file in files("topology").iterdir():
        if file.name.endswith(".yaml"):
            (folder / file.name).write_text(file.read_text())
    text = (folder / "roles.yaml").read_text()
    assert old in text
    (folder / "roles.yaml").write_text(text.replace(old, new, 1))
    return declared(MEMBERS, folder)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            '- "warren.results.{client}"',
            '- "warren.results.{id}"',
            'roles.yaml:27: role "client": read: "warren.results.{id}" is more than it may have',
        ),
        (
            '- "warren.results.{client}"',
            '- "warren.results.svc-a"',
            'role "client": read: "warren.results.svc-a" is more than it may have',
        ),
        (
            "write: [warren.requests]",
            "write: [warren.requests, warren.reports]",
            'role "client": write: "warren.reports" is more than it may have',
        ),
        (
            "write: [warren.requests]",
            "write: [warren.request]",
            '"warren.request" is more than it may have',
        ),
        (
            "- mpc.keygen_request.{client}",
            "- mpc.keygen_request.{id}",
            'topics: warren.requests: write: "mpc.keygen_request.{id}" is more than it may have',
        ),
        (
            "tags: [monitoring]",
            "tags: [monitoring, administrator]",
            'role "monitor": the tag "administrator" is more than it may have',
        ),
        ("tags: [monitoring]", "tags: [monitor]", 'did you mean "monitoring"?'),
        ("  monitor:", "  looker:", 'nobody knows a role "looker"'),
        ("for_each: parties", "for_each: clients", "this role has for_each: parties"),
        ("      warren.reports: {}\n", "", 'no topic permission for exchange "warren.reports"'),
        (
            "      warren.reports: {}\n",
            "      warren.reports: {}\n      warren.cancel: {}\n",
            'exchange "warren.cancel" is fanout, where nobody looks at the keys',
        ),
        (
            '- "warren.results.{client}"',
            '- "warren.results.{party}"',
            "no name: it has A-Z, a-z, 0-9, _, -, ., and {id} for any one id",
        ),
        (
            '- "warren.results.{client}"',
            '- "^warren.*$"',
            '"^warren.*$" is no name',
        ),
        (
            "tags: [monitoring]",
            "password: hunter2",
            "a password never stands in a file: say environment, file or command, or none",
        ),
        ("tags: [monitoring]", "password: {vault: x}", 'unknown key "vault"'),
        ("max-channels: 1000", "max-channels: -1", "max-channels: must not be negative"),
        ("max-channels: 1000", "max-queues: 1", 'unknown key "max-queues"'),
    ],
)
def test_a_mistake_is_named_with_its_line(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    said = spoiled(tmp_path, old, new)
    assert any(expected in one for one in said), said
    assert not any("hunter2" in one for one in said)


@pytest.mark.parametrize(
    ("password", "secret"),
    [
        ("{environment: PW_OF_X}", Secret(source="environment", words=("PW_OF_X",))),
        ("{file: /run/{client}}", Secret(source="file", words=("/run/svcA",))),
        ("{command: [vault, '{client}']}", Secret(source="command", words=("vault", "svcA"))),
    ],
)
def test_a_password_is_named_and_not_given(tmp_path: Path, password: str, secret: Secret) -> None:
    quoted = password.replace("/run/{client}", "'/run/{client}'")
    topology = edited(tmp_path, CLIENT, f"{CLIENT}    password: {quoted}\n")
    user = topology.user_of("client", "svcA")
    assert (user.secret, user.has_password) == (secret, True)
    assert topology.user_of("tenant_client", "shop").secret is None


def test_a_user_may_have_another_name_and_no_password(tmp_path: Path) -> None:
    more = f'{CLIENT}    user: "{{client}}@{{vhost}}"\n    password: none\n'
    user = edited(tmp_path, CLIENT, more).user_of("client", "svcA")
    assert (user.name, user.has_password) == ("svcA@warren", False)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ('    user: "{party}"\n', '"{party}" is no name of a user'),
        ("    user: one\n", "user one is already declared"),
        ("    password: {}\n", "needs one of environment, file, command"),
        ("    password: {command: []}\n", "needs the words of a command"),
        ("    password: {file: a, environment: b}\n", "needs one of environment, file, command"),
    ],
)
def test_what_a_user_cannot_be(tmp_path: Path, more: str, expected: str) -> None:
    said = spoiled(tmp_path, CLIENT, f"{CLIENT}{more}")
    assert any(expected in one for one in said), said


def test_a_role_stands_in_one_place(tmp_path: Path) -> None:
    (tmp_path / "zz.yaml").write_text("roles:\n  monitor:\n    tags: [monitoring]\n")
    said = spoiled(tmp_path, CLIENT, CLIENT)
    assert any("stands a second time, after" in one for one in said), said


def test_less_than_the_list_is_allowed(tmp_path: Path) -> None:
    assert spoiled(tmp_path, "          - mpc.keygen_request.{client}\n", "") == []


def test_a_party_that_would_have_the_coordinators_queues_is_refused(tmp_path: Path) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("parties: [coordinator]\n")
    with pytest.raises(InvalidTopologyError, match="no party may be called"):
        declared(members)


def test_an_id_is_one_clients_alone(tmp_path: Path) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("clients: [svcA]\ngateways: [svcA]\nlegacy_clients: [svcA]\n")
    with pytest.raises(InvalidTopologyError) as caught:
        declared(members)
    assert [one.text for one in caught.value.problems] == [
        'gateways: "svcA" is listed twice, first among clients'
    ]


###
### Who
###


def answers(name: str) -> set[str]:
    return {str(answer) for answer in who(SHIPPED, name)}


def test_who_may_do_what_with_a_queue() -> None:
    assert answers("warren.results.svcA") == {
        "warren.client.svcA: consume, get, purge warren.results.svcA",
        "warren.operator: publish through the default exchange to warren.results.svcA",
    }
    assert answers("warren.inbox.p1") == {
        "warren.party.p1: consume, get, purge warren.inbox.p1",
        "warren.operator: publish through the default exchange to warren.inbox.p1",
    }


def test_who_may_do_what_with_an_exchange() -> None:
    assert "warren.party.p1: publish to warren.reports by {id}.p1" in answers("warren.reports")
    assert "warren.client.svcA: publish to warren.requests by mpc.keygen_request.svcA, " in str(
        sorted(answers("warren.requests"))
    )
    # What the names give beside their purpose, said rather than hidden.
    round_the_keys = "publish through an exchange of its own to warren.reports by every key"
    assert f"warren.party.p1: {round_the_keys}" in answers("warren.reports")
    assert not any("of its own" in one for one in answers("warren.requests"))
    assert "warren.party.p1: bind, unbind warren.reports" in answers("warren.reports")


def test_who_may_make_a_queue_that_is_not_there() -> None:
    assert answers("warren.cancel.p1.x9") == {
        "warren.party.p1: declare, delete warren.cancel.p1.x9",
        "warren.party.p1: consume, get, purge warren.cancel.p1.x9",
        "warren.party.p1: bind, unbind warren.cancel.p1.x9",
    }


def test_what_a_user_may_do() -> None:
    assert answers("warren.monitor") == {"warren.monitor: manage as monitoring"}
    assert "warren.operator: publish to amq.default" in answers("warren.operator")
    assert not any("bind from warren.reports" in each for each in answers("warren.coordinator"))


def test_a_name_that_nobody_knows_has_no_answer() -> None:
    with pytest.raises(UnknownNameError, match=r'did you mean "warren\.reports"'):
        who(SHIPPED, "warren.report")


def test_every_placeholder_belongs_to_a_group() -> None:
    assert set(GROUPS) == set(Members.__dataclass_fields__) - {"logins"}
