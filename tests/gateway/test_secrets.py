"""Secrets of API keys that everybody knows: not signed, not let in, and no start with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.api_keys import DAY_MS, Action
from contracts.client import SettingsError
from contracts.primitives import Scope
from gateway.authority import Authority, AuthorityError, new_authority, now_ms
from gateway.entry.api_keys import new_secret
from gateway.entry.secrets import EXAMPLES, digest, weakness
from gateway.serving import check_api_keys
from gateway.settings import GatewaySettings
from tests.contracts.chains import Scribe
from tests.gateway.entrance import Coordinator, api_key, opened
from tests.gateway.test_settings import written

KNOWN = "your-secret-api-key"


@pytest.mark.parametrize("secret", EXAMPLES)
def test_no_example_is_strong(secret: str) -> None:
    assert weakness(secret) is not None


@pytest.mark.parametrize(
    "secret",
    [
        "x" * 30,
        "0123456780123456780123456780",
        "your-secret-api-key-change-in-production",
        "YOUR_SECRET_API_KEY_GOES_HERE_123",
        "please-change-me-before-you-go-live-1",
        "insert-your-key-here-0123456789",
        "<the-key-of-the-gateway-0123456789>",
        "${WARREN_GATEWAY_SECRET_API_KEY}",
    ],
)
def test_no_placeholder_is_strong_however_long(secret: str) -> None:
    reason = weakness(secret)
    assert reason is not None
    assert secret not in reason


def test_what_is_made_here_is_strong() -> None:
    for _ in range(1000):
        assert weakness(new_secret()) is None


async def test_a_key_that_was_signed_with_an_example_opens_nothing() -> None:
    keys = [api_key("shop-1", secret=KNOWN), api_key("shop-2", secret="quite another secret")]
    async with opened(coordinator=Coordinator(keys)) as entrance:
        async with entrance.caller(KNOWN) as guesser:
            assert (await guesser.get("/who")).status_code == 401
        async with entrance.caller("quite another secret") as caller:
            assert (await caller.get("/who")).status_code == 200


def test_an_authority_signs_no_example(tmp_path: Path) -> None:
    file = tmp_path / "authority.key"
    new_authority(file, "gateway")
    authority = Authority(file, "gateway")
    fields = {"api_key_id": "shop-1", "holder": "shop", "valid_until": now_ms() + DAY_MS}
    for example in EXAMPLES:
        with pytest.raises(AuthorityError, match="placeholder"):
            authority.sign(
                Action.PUT, key_digest=digest(example.encode()), scopes=[Scope.READ], **fields
            )
    with pytest.raises(AuthorityError, match="scopes"):
        authority.sign(Action.PUT, key_digest=digest(b"strong"), **fields)
    with pytest.raises(AuthorityError, match="scopes"):
        authority.sign(Action.PUT, key_digest=digest(b"strong"), scopes=[], **fields)
    assert authority.chain.number == 0


def test_a_gateway_does_not_start_with_an_example_for_a_key(tmp_path: Path) -> None:
    scribe = Scribe()
    scribe.put("shop-1", secret=KNOWN)
    path = written(tmp_path, '[gateway]\napi_keys_file = "api-keys"')
    settings = GatewaySettings.load(path, {})
    check_api_keys(settings)
    ledger = settings.ledger()
    ledger.go_on(scribe.entries, 0)
    with pytest.raises(SettingsError, match=r"API key shop-1 .*placeholder.*revoke shop-1"):
        check_api_keys(settings)
    ledger.revoke(scribe.revoke("shop-1"))
    check_api_keys(settings)


def test_a_gateway_does_not_start_with_the_examples_password(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("pa55", "..."))
    with pytest.raises(SettingsError, match=r"amqp_url: .*placeholder"):
        GatewaySettings.load(path, {})
    path.write_text(path.read_text().replace('amqp_url = "amqp://u:...@h/v"\n', ""))
    with pytest.raises(SettingsError, match=r"WARREN_AMQP_URL: .*placeholder"):
        GatewaySettings.load(path, {"WARREN_AMQP_URL": "amqp://u:change-me@h/v"})
    with pytest.raises(SettingsError, match="no amqp_url"):
        GatewaySettings.load(path, {})
