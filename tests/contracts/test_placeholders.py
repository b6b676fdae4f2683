"""Secrets that stand in examples."""

from __future__ import annotations

import secrets

import pytest

from contracts import hosts
from contracts.hosts import AddressError
from contracts.placeholders import has_placeholder_password, is_placeholder


@pytest.mark.parametrize(
    "secret",
    [
        "...",
        "Password",
        "change-me",
        "CHANGE_ME_IN_PRODUCTION",
        "changeit",
        "your-api-key",
        "my-super-secret: your secret key",
        "<password>",
        "${PASSWORD}",
        " placeholder ",
        "replace-me",
    ],
)
def test_what_asks_to_be_replaced_is_a_placeholder(secret: str) -> None:
    assert is_placeholder(secret)
    assert has_placeholder_password(f"amqp://svcA:{secret.replace(' ', '')}@broker/warren")


def test_what_was_made_for_somebody_is_none() -> None:
    for _ in range(1000):
        assert not is_placeholder(secrets.token_urlsafe(32))
        assert not is_placeholder(secrets.token_hex(16))
    for address in (
        "amqp://broker/vhost",
        "amqp://svcA@broker",
        "sqlite:///your-key.db",
        "amqp://password:h82hf@b",
        "postgresql://p1:Sup3r[Other]@host/db",
    ):
        assert not has_placeholder_password(address)


@pytest.mark.parametrize(
    "address", ["amqps://svcA:...@broker/warren", "amqp://user:password@host1:5672,host2:5672/v"]
)
def test_the_addresses_of_the_examples_are_refused_as_they_stand(address: str) -> None:
    with pytest.raises(AddressError, match="placeholder of an example"):
        hosts.check(address)
