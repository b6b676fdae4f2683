"""What stands around a request's bytes: headers, routing key, properties."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.admission import check_metadata
from contracts.errors import ContractError
from contracts.signing import sign_request, signature_of

from . import samples
from .samples import CLIENT


@pytest.mark.parametrize(
    ("headers", "reason"),
    [({}, "is missing"), ({"signature": b"x"}, "is missing"), ({"signature": "é"}, "not base64")],
)
def test_a_request_without_a_readable_signature_is_refused(
    headers: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ContractError, match=reason):
        signature_of(headers)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("operation", "keygen"),
        ("request_id", "r2"),
        ("client_id", "svcB"),
        ("client_id", None),
        ("client_id", b"svcA"),
        ("operation", 1),
    ],
)
def test_a_header_that_contradicts_the_body_is_refused(name: str, value: Any) -> None:
    signed = sign_request(samples.sign_request(), CLIENT)
    with pytest.raises(ContractError, match=f"header '{name}' contradicts"):
        check_metadata(
            signed,
            headers={**signed.headers(), name: value},
            routing_key="mpc.signing_request",
            message_id="r1",
        )


def test_a_client_id_in_a_header_contradicts_a_body_without_one() -> None:
    signed = sign_request(samples.sign_request(client_id=None), CLIENT)
    assert "client_id" not in signed.headers()
    with pytest.raises(ContractError, match="client_id"):
        check_metadata(
            signed,
            headers={**signed.headers(), "client_id": "svcA"},
            routing_key="mpc.signing_request",
            message_id="r1",
        )


@pytest.mark.parametrize("routing_key", ["mpc.signing_request", "mpc.signing_request.svcA"])
def test_a_request_may_come_by_its_clients_own_queue_or_by_everybodys(routing_key: str) -> None:
    signed = sign_request(samples.sign_request(), CLIENT)
    check_metadata(signed, headers=signed.headers(), routing_key=routing_key, message_id="r1")


def test_who_has_no_id_has_no_queue_of_its_own() -> None:
    signed = sign_request(samples.sign_request(client_id=None), CLIENT)
    with pytest.raises(ContractError, match="routing key"):
        check_metadata(
            signed,
            headers=signed.headers(),
            routing_key="mpc.signing_request.None",
            message_id="r1",
        )


@pytest.mark.parametrize(
    ("routing_key", "message_id", "reason"),
    [
        ("mpc.keygen_request", "r1", "routing key"),
        ("", "r1", "routing key"),
        ("mpc.keygen_request.svcA", "r1", "routing key"),
        ("mpc.signing_request.svcB", "r1", "routing key"),
        ("mpc.signing_request.", "r1", "routing key"),
        ("mpc.signing_request", "r2", "message_id"),
        ("mpc.signing_request", None, "message_id"),
    ],
)
def test_properties_that_contradict_the_body_are_refused(
    routing_key: str, message_id: str | None, reason: str
) -> None:
    signed = sign_request(samples.sign_request(), CLIENT)
    with pytest.raises(ContractError, match=reason):
        check_metadata(
            signed, headers=signed.headers(), routing_key=routing_key, message_id=message_id
        )
