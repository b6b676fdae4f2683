from __future__ import annotations

from pathlib import Path

import pytest

from contracts.client import SettingsError
from contracts.identity import Identity
from gateway.settings import GatewaySettings
from tests.contracts.chains import AUTHORITY

OTHERS = [Identity.generate().public.to_base64() for _ in range(2)]


def written(
    folder: Path,
    text: str = "",
    *,
    client: str = 'client_id = "gateway"',
    authority: str = AUTHORITY.public.to_base64(),
) -> Path:
    """Without an authority in the file if that is empty."""
    path = folder / "gateway.toml"
    (folder / "gateway.key").write_text(Identity.generate().to_base64())
    parties = "".join(
        f'[[parties]]\nparty_id = "party-{i}"\npublic_key = "{key}"\n'
        for i, key in enumerate(OTHERS, start=1)
    )
    if authority:
        pin = f'[gateway]\napi_key_authority = "{authority}"'
        text = text.replace("[gateway]", pin) if "[gateway]" in text else f"{pin}\n{text}"
    path.write_text(
        f'{text}\n[client]\n{client}\namqp_url = "amqp://u:pa55@h/v"\n'
        f'private_key_file = "gateway.key"\n'
        f'[[coordinators]]\npublic_key = "{OTHERS[0]}"\n{parties}'
    )
    return path


def allowed(settings: GatewaySettings) -> list[str]:
    return [str(network) for network in settings.door.allowed]


def test_a_file_that_says_nothing_lets_nobody_in_but_loopback(tmp_path: Path) -> None:
    settings = GatewaySettings.load(written(tmp_path), {})
    assert allowed(settings) == ["127.0.0.0/8", "::1/128"]
    assert settings.door.host == "127.0.0.1"
    assert settings.door.proxies == ()
    assert settings.door.cors_origins == []
    assert settings.limits.body_bytes == 262_144
    assert settings.client.client_id == "gateway"


def test_everything_can_be_said_in_one_file(tmp_path: Path) -> None:
    text = """
[gateway]
port = 9000
allowed_ips = ["192.0.2.0/24"]
trusted_proxies = ["10.0.0.1"]
cors_origins = ["https://a.example"]
api_keys_file = "api-keys"
tls_certificate_file = "cert.pem"
tls_key_file = "key.pem"
[limits]
requests = 7
[party_names]
server-party-1 = "party-1"
"""
    settings = GatewaySettings.load(written(tmp_path, text), {})
    assert settings.door.port == 9000
    assert allowed(settings) == ["192.0.2.0/24"]
    assert settings.door.tls_key_file == tmp_path / "key.pem"
    assert settings.door.api_keys_file == tmp_path / "api-keys"
    assert settings.limits.requests == 7
    assert settings.party_names == {"server-party-1": "party-1"}


@pytest.mark.parametrize(
    ("value", "networks"),
    [
        ("192.0.2.1, 2001:db8::/32", ["192.0.2.1/32", "2001:db8::/32"]),
        ("0.0.0.0/0,::/0", ["0.0.0.0/0", "::/0"]),
        ("", ["127.0.0.0/8", "::1/128"]),
        (" , ", ["127.0.0.0/8", "::1/128"]),
    ],
)
def test_the_environment_says_who_may_enter(
    tmp_path: Path, value: str, networks: list[str]
) -> None:
    path = written(tmp_path, '[gateway]\nallowed_ips = ["198.51.100.1"]')
    assert allowed(GatewaySettings.load(path, {"WARREN_ALLOWED_IPS": value})) == networks


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[gateway]\nallowed_ips = ["everybody"]', "everybody"),
        ('[gateway]\ntrusted_proxies = ["10.0.0.1/8"]', "10.0.0.1/8"),
        ('[gateway]\ncors_origins = ["*"]', "origin"),
        ('[gateway]\ncors_origins = ["https://a.example/"]', "origin"),
        ('[gateway]\ntls_key_file = "key.pem"', "tls_certificate_file"),
        ("[gateway]\nport = 70000", "port"),
        ("[gateway]\nhots = 1", "hots"),
        ("[limits]\nrequests = 0", "requests"),
        ('[party_names]\nserver = "party 1"', "party_names"),
        ("[surprise]", "surprise"),
        ("[gateway", "TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said) as refused:
        GatewaySettings.load(written(tmp_path, text), {})
    assert "gateway.toml" in str(refused.value)
    assert "pa55" not in str(refused.value)


def test_a_wrong_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"WARREN_ALLOWED_IPS.*everybody"):
        GatewaySettings.load(written(tmp_path), {"WARREN_ALLOWED_IPS": "everybody"})


def test_a_gateway_without_a_client_id_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="client_id of its own"):
        GatewaySettings.load(written(tmp_path, client=""), {})


def test_the_settings_do_not_show_the_password(tmp_path: Path) -> None:
    assert "pa55" not in repr(GatewaySettings.load(written(tmp_path), {}))


def test_a_gateway_believes_an_authority_that_its_file_names_and_nobody_without(
    tmp_path: Path,
) -> None:
    chain = GatewaySettings.load(written(tmp_path), {}).ledger().chain
    assert (chain.authority, chain.client_id) == (AUTHORITY.public, "gateway")
    for wrong, reason in (("", "authority new FILE"), ("MFkw", "api_key_authority")):
        with pytest.raises(SettingsError, match=reason):
            GatewaySettings.load(written(tmp_path, authority=wrong), {})
