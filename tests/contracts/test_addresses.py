"""Results of one client are never another's, whatever the two are called."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.addresses import (
    LEGACY_RESULTS_QUEUE,
    REQUEST_KEYS,
    announcement_key,
    inbox_queue,
    report_key,
    request_key,
    request_queues,
    result_key,
    results_queue,
)

AWKWARD = ["complete", "mpc", "mpc_signing_result", "legacy-results", "unclaimed", "-", "_", "0"]
IDS = st.sampled_from(AWKWARD) | st.text(
    string.ascii_letters + string.digits + "_-", min_size=1, max_size=64
)
OPERATIONS = st.sampled_from(sorted(REQUEST_KEYS))


def matches(pattern: str, key: str) -> bool:
    """A topic exchange's rule for patterns without ``#``: a star is exactly one word."""
    wanted, words = pattern.split("."), key.split(".")
    return len(wanted) == len(words) and all(
        want in {"*", word} for want, word in zip(wanted, words, strict=True)
    )


@given(OPERATIONS, IDS, IDS, IDS, IDS)
@example("sign", "svcA", "complete", "complete", "complete")
@example("keygen", "a", "b", "mpc", "a")
def test_a_clients_result_reaches_its_queue_and_no_other(
    operation: str, client: str, other: str, request_id: str, key_id: str
) -> None:
    key = result_key(operation, client_id=client, request_id=request_id, key_id=key_id)
    assert matches(f"mpc.*.{client}.*", key)
    assert matches(f"mpc.*.{other}.*", key) == (other == client)
    assert not matches("mpc.*.*", key)


@given(OPERATIONS, IDS, IDS, IDS)
@example("sign", "complete", "r", "k")
def test_a_legacy_result_reaches_the_legacy_queue_only(
    operation: str, client: str, request_id: str, key_id: str
) -> None:
    key = result_key(operation, client_id=None, request_id=request_id, key_id=key_id)
    assert matches("mpc.*.*", key)
    assert not matches(f"mpc.*.{client}.*", key)


@given(IDS, IDS)
def test_queues_of_two_names_are_two(one: str, other: str) -> None:
    assert (results_queue(one) == results_queue(other)) == (one == other)
    assert (inbox_queue(one) == inbox_queue(other)) == (one == other)
    assert results_queue(one) not in {LEGACY_RESULTS_QUEUE, "warren.unclaimed", inbox_queue(other)}
    assert report_key("party_joined", one) == f"party_joined.{one}"


@pytest.mark.parametrize(
    ("operation", "legacy", "own"),
    [
        ("keygen", "mpc.mpc_keygen_result.K", "mpc.mpc_keygen_result.svcA.K"),
        ("sign", "mpc.mpc_signing_result.complete", "mpc.mpc_signing_result.svcA.complete"),
        ("cancel", "mpc.mpc_cancel_result.R", "mpc.mpc_cancel_result.svcA.R"),
        ("query_keys", "mpc.mpc_query_result.R", "mpc.mpc_query_result.svcA.R"),
        ("query_session", "mpc.mpc_query_result.R", "mpc.mpc_query_result.svcA.R"),
        ("join_session", "mpc.mpc_join_result.R", "mpc.mpc_join_result.svcA.R"),
        ("put_api_key", "mpc.mpc_api_key_result.R", "mpc.mpc_api_key_result.svcA.R"),
        ("configure_account", "mpc.mpc_account_result.R", "mpc.mpc_account_result.svcA.R"),
    ],
)
def test_the_routing_keys_that_clients_know(operation: str, legacy: str, own: str) -> None:
    for client_id, key in ((None, legacy), ("svcA", own)):
        assert result_key(operation, client_id=client_id, request_id="R", key_id="K") == key


def test_a_keygen_without_a_usable_key_id_is_answered_under_its_request_id() -> None:
    assert result_key("keygen", client_id=None, request_id="R") == "mpc.mpc_keygen_result.R"


def test_every_operation_has_a_routing_key_of_its_kind() -> None:
    assert {request_key(operation) for operation in REQUEST_KEYS} == {
        "mpc.keygen_request",
        "mpc.reshare_request",
        "mpc.signing_request",
        "mpc.cancel_request",
        "mpc.query_request",
        "mpc.join_request",
        "mpc.account_request",
        "mpc.api_key_request",
    }


def test_a_client_has_a_routing_key_and_three_queues_of_its_own() -> None:
    assert request_key("sign", "svcA") == "mpc.signing_request.svcA"
    assert request_queues("svcA") == (
        "warren.requests.keygen.svcA",
        "warren.requests.signing.svcA",
        "warren.requests.control.svcA",
    )


@given(IDS, IDS, IDS)
def test_an_announcement_reaches_the_queue_of_the_result(
    client: str, other: str, request_id: str
) -> None:
    key = announcement_key(client, request_id)
    assert matches(f"mpc.*.{client}.*", key)
    assert matches(f"mpc.*.{other}.*", key) == (other == client)
    assert not matches("mpc.*.*", key)
    assert matches("mpc.*.*", announcement_key(None, request_id))
    assert key not in {
        result_key(operation, client_id=client, request_id=request_id) for operation in REQUEST_KEYS
    }
