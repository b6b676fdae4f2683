from __future__ import annotations

from pathlib import Path

import pytest

from contracts.client import ClientSettings, SettingsError
from contracts.coordinators import result_headers
from contracts.errors import ContractError
from contracts.identity import Identity

from .samples import CLIENT, COORDINATOR, PINNED, STRANGER

PARTIES = "".join(
    f'[[parties]]\nparty_id = "{name}"\npublic_key = "{identity.to_base64()}"\n'
    for name, identity in PINNED.items()
)
FILE = f"""\
[client]
client_id = "svcA"
amqp_url = "amqp://svcA:hunter2@broker/warren"
private_key_file = "svcA.key"

[[coordinators]]
public_key = "{COORDINATOR.public.to_base64()}"

{PARTIES}"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "svcA.key").write_text(CLIENT.to_base64() + "\n")
    return tmp_path / "client.toml"


def test_a_file_says_who_the_client_is_and_whom_it_trusts(path: Path) -> None:
    path.write_text(FILE)
    settings = ClientSettings.load(path, {})
    assert settings.client_id == "svcA"
    assert settings.amqp_url == "amqp://svcA:hunter2@broker/warren"
    assert settings.identity.public == CLIENT.public
    assert settings.parties == PINNED


def test_a_file_that_pins_no_coordinator_says_what_to_add(path: Path) -> None:
    path.write_text(FILE.replace("[[coordinators]]", "[[parties]]\nparty_id = 'x'"))
    with pytest.raises(SettingsError, match=r"Add a table \[\[coordinators\]\]"):
        ClientSettings.load(path, {})


def test_bundles_are_taken_unless_the_file_says_no(path: Path) -> None:
    path.write_text(FILE)
    assert ClientSettings.load(path, {}).bundles
    path.write_text(FILE.replace("[client]", "[client]\nbundles = false"))
    assert not ClientSettings.load(path, {}).bundles


def test_a_file_says_how_many_parties_may_lie(path: Path) -> None:
    path.write_text(FILE)
    assert ClientSettings.load(path, {}).liars is None
    for liars in (0, 2):
        path.write_text(FILE.replace("[client]", f"[client]\nliars = {liars}"))
        assert ClientSettings.load(path, {}).liars == liars
    path.write_text(FILE.replace("[client]", "[client]\nliars = -1"))
    with pytest.raises(SettingsError, match=r"client\.liars"):
        ClientSettings.load(path, {})


def test_the_coordinator_that_is_pinned_is_the_one_that_is_believed(path: Path) -> None:
    path.write_text(FILE)
    believed = ClientSettings.load(path, {}).coordinators
    believed.check_result(b"{}", result_headers(b"{}", COORDINATOR), now=1)
    with pytest.raises(ContractError, match="not signed by the coordinator"):
        believed.check_result(b"{}", result_headers(b"{}", STRANGER), now=1)


def test_a_file_without_a_client_id_is_a_legacy_producers(path: Path) -> None:
    path.write_text(FILE.replace('client_id = "svcA"\n', ""))
    assert ClientSettings.load(path, {}).client_id is None


def test_the_workers_list_of_parties_can_be_used_as_it_is(path: Path) -> None:
    path.write_text(FILE.replace("party_id =", "index = 1\nparty_id ="))
    assert ClientSettings.load(path, {}).parties == PINNED


def test_secrets_may_come_from_the_environment_or_stand_in_the_file(path: Path) -> None:
    bare = FILE.replace('amqp_url = "amqp://svcA:hunter2@broker/warren"\n', "")
    path.write_text(bare.replace('private_key_file = "svcA.key"\n', ""))
    environ = {"WARREN_AMQP_URL": "amqp://other/", "WARREN_PRIVATE_KEY": CLIENT.to_base64()}
    settings = ClientSettings.load(path, environ)
    assert (settings.amqp_url, settings.identity.public) == ("amqp://other/", CLIENT.public)
    path.write_text(FILE.replace('_file = "svcA.key"', f' = "{CLIENT.to_base64()}"'))
    assert ClientSettings.load(path, {}).identity.public == CLIENT.public


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[client]", "[client", "not TOML"),
        ("[client]", "[klient]", "client: Field required"),
        ('client_id = "svcA"', 'client_id = "svc.A"', "client.client_id"),
        ('client_id = "svcA"', 'name = "svcA"', "client.name: Extra inputs"),
        ("amqp_url", "# amqp_url", "no amqp_url: .* WARREN_AMQP_URL"),
        ("amqp://", "http://", "amqp_url: not like amqp://"),
        ("@broker/", "@broker:port/", "amqp_url: not like amqp://"),
        ("@broker/warren", "@a/w,amqp://u:p@b/w", "amqp_url: several addresses: .*one vhost"),
        ("private_key_file", "# ", "no private key: .*warren identity new"),
        ('"svcA.key"', '"svcB.key"', "svcB.key: No such file"),
        ("svcA.key", "client.toml", "not a base64 DER private key"),
        ("MF", "XX", "DER"),
        ("[[parties]]", "[[peers]]", "parties: Field required"),
    ],
)
def test_what_is_wrong_is_named_and_no_secret_is(
    path: Path, old: str, new: str, reason: str
) -> None:
    assert old in FILE
    path.write_text(FILE.replace(old, new))
    with pytest.raises(SettingsError, match=reason) as caught:
        ClientSettings.load(path, {})
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"client\.toml: No such file"):
        ClientSettings.load(path, {})


@pytest.mark.parametrize(
    ("name", "reason"),
    [("client.toml", "client.toml: not TOML"), ("svcA.key", "svcA.key: not a base64")],
)
def test_a_file_that_is_no_text_is_named(path: Path, name: str, reason: str) -> None:
    path.write_text(FILE)
    path.with_name(name).write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=reason):
        ClientSettings.load(path, {})


def test_settings_show_no_secret(path: Path) -> None:
    path.write_text(FILE)
    shown = repr(ClientSettings.load(path, {}))
    assert "hunter2" not in shown
    assert CLIENT.to_base64()[40:80] not in shown


def test_the_address_of_a_cluster_is_taken_as_it_is(path: Path) -> None:
    path.write_text(FILE.replace("@broker/", "@one:5671,two/"))
    assert ClientSettings.load(path, {}).amqp_url == "amqp://svcA:hunter2@one:5671,two/warren"


def test_a_wrong_variable_is_named_and_its_value_is_not(path: Path) -> None:
    path.write_text(FILE.replace("amqp_url", "# "))
    environ = {"WARREN_AMQP_URL": "amqp://u:hunter2@h:port/"}
    with pytest.raises(SettingsError, match=r"^WARREN_AMQP_URL: not like") as caught:
        ClientSettings.load(path, environ)
    assert "hunter2" not in str(caught.value)


def test_a_party_that_changes_its_key_may_stand_there_twice(path: Path) -> None:
    new = Identity.generate().public
    party_id, old = next(iter(PINNED.items()))
    again = f'\n[[parties]]\nparty_id = "{party_id}"\npublic_key = "{new.to_base64()}"\n'
    path.write_text(FILE + again)
    settings = ClientSettings.load(path, {})
    assert settings.parties == {**PINNED, party_id: (old, new)}
    assert settings.speakers == settings.parties


def test_a_file_says_who_signs_the_list_of_parties_and_where_it_is_kept(path: Path) -> None:
    operator = Identity.generate().public
    own = (
        f'[client]\nlist_operators = ["{operator.to_base64()}"]\nparty_list_file = "parties.list"\n'
    )
    path.write_text(FILE.replace("[client]\n", own, 1))
    settings = ClientSettings.load(path, {})
    assert [each.identity for each in settings.list_operators] == [operator]
    assert settings.party_list_file == path.parent / "parties.list"
    assert ClientSettings.load(_plain(path), {}).list_operators == ()


def _plain(path: Path) -> Path:
    path.write_text(FILE)
    return path
