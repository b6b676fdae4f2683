"""RabbitMQ's rules as a function; the matrix holds it to the broker that is here."""

from __future__ import annotations

import pytest

from topology import declared
from topology.model import Members, Topology
from topology.rights import AMQP_VERBS, HTTP_VERBS, Act, Lack, rights

MEMBERS = Members(parties=("p1",), clients=("svcA", "svcB"))
SHIPPED = declared(MEMBERS)
CC = Act(
    verb="publish_cc",
    name="warren.requests",
    key="mpc.signing_request.svcA",
    copies=("mpc.signing_request.svcB",),
)


@pytest.mark.parametrize(
    ("release", "allowed"),
    [((3, 10, 8), True), ((4, 0, 2), True), ((4, 0, 3), False), ((4, 2), False)],
)
def test_keys_in_cc_count_where_the_release_looks_at_them(
    release: tuple[int, ...], allowed: bool
) -> None:
    assert rights(SHIPPED, release)["warren.client.svcA"].may(CC) is allowed


@pytest.mark.parametrize(
    ("release", "own", "others"),
    [
        ((4, 2, 5), True, True),
        ((4, 2, 6), False, False),
        ((4, 3, 0), False, False),
        ((4, 3, 1), True, False),
    ],
)
def test_who_may_look_whether_something_is_there_goes_by_the_release(
    release: tuple[int, ...], own: bool, others: bool
) -> None:
    client = rights(SHIPPED, release)["warren.client.svcA"]
    assert client.may(Act(verb="passive", name="warren.results.svcA")) is own
    assert client.may(Act(verb="passive", name="warren.results.svcB")) is others


def test_what_is_missing_is_named_by_user_right_and_resource() -> None:
    own = rights(SHIPPED)["warren.client.svcA"]
    other = Act(verb="publish", name="warren.requests", key="mpc.signing_request.svcB")
    assert own.lacks(other) == (
        Lack(
            user="warren.client.svcA",
            right="write",
            of="warren.requests",
            key="mpc.signing_request.svcB",
        ),
    )
    tap = Act(verb="bind", name="warren.results.svcA", source="warren.results", key="#")
    assert [str(lack) for lack in own.lacks(tap)] == [
        'user warren.client.svcA lacks write on "warren.results.svcA"',
        'user warren.client.svcA lacks read on "warren.results"',
    ]
    straight = Act(verb="publish", name="", key="warren.inbox.p1")
    assert [lack.of for lack in own.lacks(straight)] == ["amq.default"]


@pytest.mark.parametrize("verb", ["dead_letter_to", "alternate_to"])
def test_no_queue_or_exchange_of_ones_own_leads_through_the_default_exchange(verb: str) -> None:
    own = rights(SHIPPED)["warren.party.p1"]
    assert own.may(Act(verb=verb, name="warren.cancel.p1.x", to="warren.dead"))
    (lack,) = own.lacks(Act(verb=verb, name="warren.cancel.p1.x", to=""))
    assert (lack.right, lack.of) == ("write", "amq.default")


def test_without_a_topic_permission_every_key_is_allowed() -> None:
    user = "warren.client.svcA"
    bare = Topology.of(one for one in SHIPPED.resources() if one not in SHIPPED.topic_permissions)
    any_key = Act(verb="publish", name="warren.requests", key="mpc.signing_request.svcB")
    assert rights(bare)[user].may(any_key)
    assert not rights(SHIPPED)[user].may(any_key)


def test_without_a_permission_the_vhost_is_shut() -> None:
    bare = Topology.of(one for one in SHIPPED.resources() if one not in SHIPPED.permissions)
    own = rights(bare)["warren.operator"]
    for verb in (*AMQP_VERBS, *HTTP_VERBS):
        assert not own.may(Act(verb=verb, name="warren.dead")), verb


def test_a_verb_that_nobody_knows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="nobody knows the verb dance"):
        rights(SHIPPED)["warren.operator"].may(Act(verb="dance"))
