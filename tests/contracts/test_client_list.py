"""Whom a list of clients lets in, and what it must not say."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.admission import ClientPolicy, Policies
from contracts.client_list import Action, ClientKey, ClientList, KnownClients
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.numbered_lists import ListError, ListOperator, SignedEntry

OPERATOR = Identity.generate()
KEYS = [Identity.generate().public for _ in range(6)]
HOUR = 3_600_000


def empty() -> ClientList:
    return ClientList([ListOperator(OPERATOR.public)])


def say(listed: ClientList, **content: Any) -> None:
    assert listed.take(listed.signed(OPERATOR, issued_at=1, **content))


def put(listed: ClientList, client_id: str, *keys: ClientKey | PublicIdentity, **more: Any) -> None:
    made = tuple(
        key if isinstance(key, ClientKey) else ClientKey(public_key=key.der) for key in keys
    )
    say(listed, action=Action.PUT, client_id=client_id, keys=made, **more)


def remove(listed: ClientList, client_id: str) -> None:
    say(listed, action=Action.REMOVE, client_id=client_id)


def policy(client_id: str | None, key: PublicIdentity, **more: Any) -> ClientPolicy:
    return ClientPolicy(identity=key, client_id=client_id, **more)


def known(listed: ClientList, *base: ClientPolicy, now: int = 0, **more: Any) -> KnownClients:
    return KnownClients(base, listed, clock=lambda: now, **more)


def test_who_is_put_is_known_and_who_is_removed_is_not() -> None:
    listed = empty()
    clients = known(listed)
    put(listed, "svcA", KEYS[0], operations=("sign",))
    assert clients.of(KEYS[0].der) == (policy("svcA", KEYS[0], operations=frozenset({"sign"})),)
    assert clients.ids == {"svcA"}
    remove(listed, "svcA")
    assert clients.of(KEYS[0].der) == ()
    assert clients.ids == frozenset()


def test_for_who_is_in_the_list_the_list_alone_decides_and_for_others_the_configuration() -> None:
    listed = empty()
    base = [policy("svcA", KEYS[0]), policy("svcB", KEYS[1]), policy(None, KEYS[2])]
    clients = known(listed, *base)
    assert list(clients) == base
    put(listed, "svcA", KEYS[3])
    assert list(clients) == [*base[1:], policy("svcA", KEYS[3])]
    remove(listed, "svcB")
    assert list(clients) == [base[2], policy("svcA", KEYS[3])]


def test_no_list_takes_an_operator_away_or_makes_one() -> None:
    listed = empty()
    operator = policy("ops", KEYS[0], operator=True)
    clients = known(listed, operator, policy("ops", KEYS[1]))
    remove(listed, "ops")
    assert list(clients) == [operator]
    put(listed, "ops", KEYS[2], again=True)
    assert [each.operator for each in clients] == [True, False]


def test_a_key_ends_when_its_entry_says_by_the_clock_of_whoever_checks() -> None:
    listed = empty()
    now = 0
    clients = KnownClients([], listed, clock=lambda: now)
    lenient = KnownClients([], listed, clock=lambda: now, lenience_ms=500)
    put(listed, "svcA", ClientKey(public_key=KEYS[0].der, valid_until=HOUR), KEYS[1])
    assert [each.identity for each in clients] == KEYS[:2]
    now = HOUR - 1
    assert [each.identity for each in clients] == KEYS[:2]
    now = HOUR
    assert [each.identity for each in clients] == [KEYS[1]]
    assert clients.of(KEYS[0].der) == ()
    assert [each.identity for each in lenient] == KEYS[:2]
    now = HOUR + 500
    assert [each.identity for each in lenient] == [KEYS[1]]


@pytest.mark.parametrize(
    ("one", "other"), [("svcA", "svca"), ("svc-A", "svc_A"), ("svcA", "svcA-"), ("svcA", "svcB")]
)
def test_ids_that_differ_in_one_character_or_case_stay_apart(one: str, other: str) -> None:
    listed = empty()
    clients = known(listed, policy(other, KEYS[1]))
    put(listed, one, KEYS[0])
    assert clients.of(KEYS[0].der) == (policy(one, KEYS[0]),)
    assert clients.of(KEYS[1].der) == (policy(other, KEYS[1]),)
    remove(listed, one)
    assert list(clients) == [policy(other, KEYS[1])]
    assert not listed.removed(other)
    put(listed, other, KEYS[2])
    remove(listed, other)
    assert list(clients) == []


def must_not(listed: ClientList, match: str, **content: Any) -> None:
    before = listed.number
    with pytest.raises(ListError, match=match) as raised:
        say(listed, **content)
    assert (raised.value.kind, listed.number) == ("content", before)


def test_a_removed_id_comes_back_only_where_that_is_said() -> None:
    listed = empty()
    put(listed, "svcA", KEYS[0])
    remove(listed, "svcA")
    keys = (ClientKey(public_key=KEYS[1].der),)
    must_not(listed, "was removed", action=Action.PUT, client_id="svcA", keys=keys)
    must_not(listed, "was removed", action=Action.REMOVE, client_id="svcA")
    put(listed, "svcA", KEYS[1], again=True)
    assert [each.identity for each in known(listed)] == [KEYS[1]]
    assert not listed.removed("svcA")
    put(listed, "svcA", KEYS[2])
    remove(listed, "svcA")


def test_no_two_clients_ever_have_the_same_key() -> None:
    listed = empty()
    put(listed, "svcA", KEYS[0])
    put(listed, "svcA", KEYS[1])
    for former in KEYS[:2]:
        keys = (ClientKey(public_key=former.der),)
        must_not(listed, "the key of svcA", action=Action.PUT, client_id="svcB", keys=keys)
    remove(listed, "svcA")
    must_not(listed, "the key of svcA", action=Action.PUT, client_id="svcB", keys=keys)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"action": Action.PUT}, "put needs keys"),
        ({"action": Action.PUT, "keys": ()}, "keys"),
        ({"action": Action.REMOVE, "keys": (ClientKey(public_key=KEYS[0].der),)}, "has no keys"),
        ({"action": Action.REMOVE, "operations": ("sign",)}, "has no operations"),
        ({"action": Action.REMOVE, "again": True}, "is not again"),
        (
            {"action": Action.PUT, "keys": tuple(ClientKey(public_key=each.der) for each in KEYS)},
            "keys",
        ),
        ({"action": Action.PUT, "keys": (ClientKey(public_key=KEYS[0].der),) * 2}, "twice"),
        (
            {
                "action": Action.PUT,
                "keys": (ClientKey(public_key=KEYS[0].der),),
                "operations": ("fly",),
            },
            "no right to 'fly'",
        ),
        (
            {
                "action": Action.PUT,
                "keys": (ClientKey(public_key=KEYS[0].der),),
                "operations": ("sign", "rehearse"),
            },
            "no right to 'rehearse', which goes with 'reshare': name only that",
        ),
    ],
)
def test_an_entry_has_the_fields_of_its_action(content: dict[str, Any], match: str) -> None:
    with pytest.raises(ContractError, match=match):
        say(empty(), client_id="svcA", **content)


def test_a_right_that_was_signed_when_it_could_be_named_is_read_and_left_out() -> None:
    listed = empty()
    put(listed, "svcA", KEYS[0], operations=("sign",))
    now = listed.client("svcA")
    assert now is not None
    links = {"number": 2, "previous": listed.head}
    before = now.model_copy(update=links | {"operations": ("rehearse", "sign", "reshare")})
    assert listed.take(SignedEntry.of(before, OPERATOR))
    entry = listed.client("svcA")
    assert entry is not None
    assert entry.operations == ("sign", "reshare")
    # What is made of it goes on without.
    put(listed, "svcA", KEYS[1], operations=entry.operations)
    nothing = {"operations": ("fly",), "number": 4, "previous": listed.head}
    with pytest.raises(ContractError, match="no right to 'fly'"):
        listed.take(SignedEntry.of(now.model_copy(update=nothing), OPERATOR))


def test_a_key_is_a_key() -> None:
    with pytest.raises(ValueError, match="SubjectPublicKeyInfo"):
        ClientKey(public_key=b"no key")


def test_policies_are_found_by_their_key_in_their_order() -> None:
    both = [policy("svcA", KEYS[0]), policy("svcB", KEYS[0]), policy("svcB", KEYS[1])]
    policies = Policies(both)
    assert list(policies) == both
    assert policies.of(KEYS[0].der) == tuple(both[:2])
    assert policies.of(KEYS[2].der) == ()
