"""The files that come with the package, held to what README.md promises."""

from __future__ import annotations

from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import addresses
from contracts.operations import OPERATIONS
from topology import declared
from topology.model import Members, Queue, Topology

MEMBERS = Members(parties=("p1", "p-2"), clients=("svcA", "svc-a", "svc_a", "legacy-results"))
IDS = st.text("ABab01_-", min_size=1, max_size=64)


def matches(pattern: str, key: str) -> bool:
    """A topic exchange's rule: ``*`` is one word, ``#`` any number, also none."""
    return _matches(pattern.split("."), key.split("."))


def _matches(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_matches(pattern[1:], words[skip:]) for skip in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _matches(pattern[1:], words[1:])


def routed(topology: Topology, exchange: str, key: str) -> list[str]:
    kind = next(one.type for one in topology.exchanges if one.name == exchange)
    return sorted(
        {
            binding.destination
            for binding in topology.bindings
            if binding.source == exchange
            and (
                kind == "fanout"
                or (kind == "direct" and binding.key == key)
                or (kind == "topic" and matches(binding.key, key))
            )
        }
    )


def definition(topology: Topology, queue: str) -> dict[str, object]:
    (policy,) = [one for one in topology.policies if one.covers(Queue(name=queue))]
    return dict(policy.definition)


@pytest.fixture(scope="module")
def shipped() -> Topology:
    return declared(MEMBERS)


def test_the_default_members_are_three_parties_and_no_client() -> None:
    names = {queue.name for queue in declared().queues}
    assert {f"warren.inbox.party-{number}" for number in (1, 2, 3)} <= names
    assert not any(name.startswith("warren.results.") for name in names)


def test_the_exchanges_are_those_of_the_architecture(shipped: Topology) -> None:
    assert {one.name: one.type for one in shipped.exchanges} == {
        "warren.requests": "topic",
        "warren.sessions": "direct",
        "warren.rounds": "direct",
        "warren.keygen": "direct",
        "warren.presigning": "direct",
        "warren.reports": "topic",
        "warren.results": "topic",
        "warren.unclaimed": "fanout",
        "warren.cancel": "fanout",
        "warren.dead": "topic",
        "warren.lists": "fanout",
    }


def test_every_queue_is_a_durable_quorum_queue_without_arguments(shipped: Topology) -> None:
    kinds = {one.name: (one.type, one.durable, one.arguments) for one in shipped.queues}
    assert kinds.pop("warren.lists.log") == ("stream", True, ())
    assert set(kinds.values()) == {("quorum", True, ())}


def test_what_operators_sign_is_kept_and_bounded(shipped: Topology) -> None:
    assert routed(shipped, "warren.lists", "") == ["warren.lists.log"]
    assert definition(shipped, "warren.lists.log") == {"max-length-bytes": 2**30}


@pytest.mark.parametrize(
    ("exchange", "key", "queues"),
    [
        ("warren.requests", "mpc.keygen_request", ["warren.requests.keygen"]),
        ("warren.requests", "mpc.signing_request", ["warren.requests.signing"]),
        ("warren.requests", "mpc.cancel_request", ["warren.requests.control"]),
        ("warren.requests", "mpc.query_request", ["warren.requests.control"]),
        ("warren.requests", "mpc.join_request", ["warren.requests.control"]),
        ("warren.requests", "mpc.account_request", ["warren.requests.control"]),
        ("warren.requests", "mpc.api_key_request", ["warren.requests.control"]),
        ("warren.requests", "mpc.other_request", []),
        ("warren.requests", "mpc.keygen_request.svc-a", ["warren.requests.keygen.svc-a"]),
        ("warren.requests", "mpc.signing_request.svc_a", ["warren.requests.signing.svc_a"]),
        ("warren.requests", "mpc.cancel_request.svc-a", ["warren.requests.control.svc-a"]),
        ("warren.requests", "mpc.query_request.svc-a", ["warren.requests.control.svc-a"]),
        ("warren.requests", "mpc.join_request.svc-a", ["warren.requests.control.svc-a"]),
        ("warren.requests", "mpc.account_request.svc-a", ["warren.requests.control.svc-a"]),
        ("warren.requests", "mpc.api_key_request.svc-a", ["warren.requests.control.svc-a"]),
        ("warren.requests", "mpc.signing_request.svca", []),
        ("warren.requests", "mpc.signing_request.svc-a.more", []),
        ("warren.sessions", "p1", ["warren.inbox.p1"]),
        ("warren.rounds", "p-2", ["warren.inbox.p-2"]),
        ("warren.keygen", "p-2", ["warren.keygen.p-2"]),
        ("warren.presigning", "p-2", ["warren.presigning.p-2"]),
        ("warren.reports", "completed.p1", ["warren.reports"]),
        ("warren.dead", "mpc.keygen_request", ["warren.dead"]),
        ("warren.unclaimed", "mpc.mpc_keygen_result.x.y", ["warren.unclaimed"]),
        ("warren.results", "mpc.mpc_signing_result.complete", ["warren.legacy-results"]),
        ("warren.results", "mpc.mpc_signing_result.svc-a.complete", ["warren.results.svc-a"]),
        ("warren.results", "mpc.mpc_signing_result.svc_a.complete", ["warren.results.svc_a"]),
        ("warren.results", "mpc.mpc_signing_result.svca.complete", []),
        ("warren.results", "mpc.mpc_keygen_result.svcA", ["warren.legacy-results"]),
    ],
)
def test_a_message_goes_where_the_architecture_says(
    shipped: Topology, exchange: str, key: str, queues: list[str]
) -> None:
    assert routed(shipped, exchange, key) == queues


@pytest.mark.long
@settings(max_examples=25)
@given(clients=st.sets(IDS, min_size=1, max_size=4), key_id=IDS)
def test_clients_and_legacy_clients_never_get_each_others_results(
    clients: set[str], key_id: str
) -> None:
    topology = declared(Members(clients=tuple(sorted(clients))))
    for kind in ("mpc_keygen_result", "mpc_signing_result", "mpc_reshare_result"):
        assert routed(topology, "warren.results", f"mpc.{kind}.{key_id}") == [
            "warren.legacy-results"
        ]
        for client in clients:
            assert routed(topology, "warren.results", f"mpc.{kind}.{client}.{key_id}") == [
                f"warren.results.{client}"
            ]


def test_what_matters_is_dead_lettered_at_least_once_and_bounded(shipped: Topology) -> None:
    ends = {"warren.dead", "warren.unclaimed"}
    for queue in shipped.queues:
        policy = definition(shipped, queue.name)
        if queue.type == "stream":
            continue  # nothing is taken out of it, so nothing dies
        assert "max-length" in policy, queue.name
        assert "delivery-limit" in policy, queue.name
        if queue.name not in ends:
            # A result that changes hands among producers is no poison, however often it does.
            handed_back = queue.name.startswith(("warren.results.", "warren.legacy-results"))
            assert policy["delivery-limit"] == (1_000_000 if handed_back else 10), queue.name
            assert policy["dead-letter-exchange"] == "warren.dead", queue.name
            assert policy["dead-letter-strategy"] == "at-least-once", queue.name
            assert policy["overflow"] == "reject-publish", queue.name


@pytest.mark.parametrize("queue", ["warren.dead", "warren.unclaimed"])
def test_the_last_queues_dead_letter_nowhere_and_never_refuse(
    shipped: Topology, queue: str
) -> None:
    policy = definition(shipped, queue)
    assert "dead-letter-exchange" not in policy
    assert policy["overflow"] == "drop-head"


def test_only_results_expire_and_no_queue_does(shipped: Topology) -> None:
    expiring = {
        one.name for one in shipped.queues if "message-ttl" in definition(shipped, one.name)
    }
    results = {f"warren.results.{client}" for client in MEMBERS.clients}
    assert expiring == {*results, "warren.legacy-results"}
    assert not any("expires" in definition(shipped, one.name) for one in shipped.queues)


def test_unrouted_results_have_somewhere_to_go(shipped: Topology) -> None:
    (results,) = [one for one in shipped.exchanges if one.name == "warren.results"]
    (policy,) = [one for one in shipped.policies if one.covers(results)]
    assert dict(policy.definition) == {"alternate-exchange": "warren.unclaimed"}


def test_a_workers_cancel_queue_is_bounded(shipped: Topology) -> None:
    assert "max-length" in definition(shipped, "warren.cancel.party-1.x9_-Z")
    assert "max-length" in definition(shipped, "warren.cancel.coordinator.x9")
    assert "max-length-bytes" in definition(shipped, "warren.cancel.party-1.x9_-Z")


def test_the_files_come_with_the_package() -> None:
    names = {file.name for file in files("topology").iterdir()}
    assert {"README.md", "members.yaml", "results.yaml"} <= names


def test_every_address_that_the_contracts_know_leads_to_its_one_queue(shipped: Topology) -> None:
    for operation in OPERATIONS:
        for client in (None, *MEMBERS.clients):
            asked = addresses.request_key(operation, client)
            assert routed(shipped, addresses.REQUESTS, asked) == [
                addresses.request_queue(operation, client)
            ]
            for key_id in (None, "k1"):
                result = addresses.result_key(
                    operation, client_id=client, request_id="r1", key_id=key_id
                )
                assert routed(shipped, addresses.RESULTS, result) == [
                    addresses.results_queue(client)
                ]
    for party in MEMBERS.parties:
        for exchange in (addresses.SESSIONS, addresses.ROUNDS):
            assert routed(shipped, exchange, party) == [addresses.inbox_queue(party)]
        made = routed(shipped, addresses.KEYGEN, party)
        assert made == [addresses.keygen_queue(party)]
        ahead = routed(shipped, addresses.PRESIGNING, party)
        assert ahead == [addresses.presigning_queue(party)]
        report = addresses.report_key("joined", party)
        assert routed(shipped, addresses.REPORTS, report) == [addresses.REPORTS_QUEUE]


def test_every_name_that_the_contracts_know_is_declared(shipped: Topology) -> None:
    exchanges = {one.name for one in shipped.exchanges}
    assert exchanges == {
        addresses.REQUESTS,
        addresses.SESSIONS,
        addresses.ROUNDS,
        addresses.KEYGEN,
        addresses.PRESIGNING,
        addresses.REPORTS,
        addresses.RESULTS,
        addresses.CANCEL,
        addresses.DEAD,
        addresses.UNCLAIMED,
        addresses.LISTS,
    }
    assert {
        *addresses.REQUEST_QUEUES,
        *addresses.request_queues("svc-a"),
        addresses.REPORTS_QUEUE,
        addresses.DEAD_QUEUE,
        addresses.LEGACY_RESULTS_QUEUE,
        addresses.LISTS_QUEUE,
    } <= {one.name for one in shipped.queues}
