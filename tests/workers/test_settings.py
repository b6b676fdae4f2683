"""Configuration: what is read from where, and a sentence for whatever is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from contracts.identity import Identity
from contracts.numbered_lists import ListOperator
from contracts.operations import RIGHTS
from workers.pool_limits import PoolLimits
from workers.settings import (
    CoordinatorLimits,
    CoordinatorSettings,
    Lane,
    PartyLimits,
    PartySettings,
    SettingsError,
)

IDENTITIES = {f"party-{i}": Identity.generate() for i in (1, 2, 3)}
OWN = IDENTITIES["party-1"]
CLIENT = Identity.generate()
PASSWORD = "hunter2"


def section(name: str, **fields: object) -> str:
    lines = [
        f"{key} = {value if isinstance(value, int | float | list) else repr(str(value))}"
        for key, value in fields.items()
    ]
    return "\n".join([name, *lines, ""])


PEERS = [
    section("[[peers]]", party_id=name, index=i, public_key=each.public.to_base64())
    for i, (name, each) in enumerate(IDENTITIES.items(), start=1)
]
CLIENTS = section("[[clients]]", client_id="svcA", public_key=CLIENT.public.to_base64())
PARTY = section(
    "[party]",
    party_id="party-1",
    index=1,
    private_key_file="own.key",
    amqp_url=f"amqp://party-1:{PASSWORD}@broker/warren",
    database_url=f"postgresql://party-1:{PASSWORD}@database/party-1",
)
PINS = section("[[coordinators]]", public_key=IDENTITIES["party-3"].public.to_base64())
FILE = "\n".join([PARTY, PINS, *PEERS, CLIENTS])
COORDINATOR = "\n".join(
    [
        section(
            "[coordinator]",
            private_key_file="own.key",
            other_private_key_files=["own.key"],
            amqp_url=f"amqp://coordinator:{PASSWORD}@broker/warren",
            database_url="sqlite:///coordinator.sqlite",
        ),
        *PEERS,
        CLIENTS,
    ]
).replace("[[peers]]", "[[parties]]")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "configuration"
    folder.mkdir()
    (folder / "own.key").write_text(OWN.to_base64() + "\n")
    (folder / "binary.key").write_bytes(b"\xff\xfe")
    return folder / "party.toml"


def load(path: Path, text: str = FILE, environ: dict[str, str] | None = None) -> PartySettings:
    path.write_text(text)
    return PartySettings.load(path, environ or {})


def reason(path: Path, text: str, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load(path, text, environ)
    return str(caught.value)


def test_a_party_is_read_whole(path: Path) -> None:
    settings = load(path, FILE + section("[limits]", prefetch=7))
    assert settings.party_id == "party-1"
    assert settings.identity.public == OWN.public
    assert {name: (each.index, each.identity) for name, each in settings.peers.items()} == {
        name: (i, each.public) for i, (name, each) in enumerate(IDENTITIES.items(), start=1)
    }
    (client,) = settings.clients
    assert (client.client_id, client.identity, client.operations) == ("svcA", CLIENT.public, None)
    assert not client.operator
    assert settings.limits.prefetch == 7
    assert settings.amqp_url == f"amqp://party-1:{PASSWORD}@broker/warren"
    assert settings.master_key_file is None


def test_bundles_are_sent_unless_a_file_says_no(path: Path) -> None:
    assert load(path).delivery.bundles
    no = "[delivery]\nbundles = false\n"
    assert not load(path, FILE + no).delivery.bundles
    path.write_text(COORDINATOR)
    assert CoordinatorSettings.load(path, {}).delivery.bundles
    path.write_text(COORDINATOR + no)
    assert not CoordinatorSettings.load(path, {}).delivery.bundles
    wrong = reason(path, FILE + "[delivery]\nbundle = false\n")
    assert "delivery.bundle" in wrong


def test_a_coordinator_is_read_whole(path: Path) -> None:
    path.write_text(COORDINATOR)
    settings = CoordinatorSettings.load(path, {})
    assert list(settings.parties) == list(IDENTITIES)
    assert settings.database_url == "sqlite:///coordinator.sqlite"
    assert settings.identity.public == OWN.public
    assert [each.public for each in settings.other_identities] == [OWN.public]


def test_a_party_that_pins_no_coordinator_does_not_start(path: Path) -> None:
    assert "Add a table [[coordinators]]" in reason(path, FILE.replace(PINS, ""))


def test_a_coordinator_without_a_key_does_not_start(path: Path) -> None:
    path.write_text(COORDINATOR.replace("private_key_file = 'own.key'\n", "", 1))
    with pytest.raises(SettingsError, match=r"private_key_file under \[coordinator\]"):
        CoordinatorSettings.load(path, {})


def test_a_clients_key_may_be_an_operators(path: Path) -> None:
    key, operations = CLIENT.public.to_base64(), [*RIGHTS]
    more = section("[[clients]]", public_key=key, operations=operations) + "operator = true\n"
    path.write_text(f"{COORDINATOR}\n{more}")
    *_, client = CoordinatorSettings.load(path, {}).clients
    assert client.operator
    assert client.operations == frozenset(operations)


def test_operators_and_those_who_were_may_sign_lists_and_the_latter_nothing_else(
    path: Path,
) -> None:
    keys = [Identity.generate().public for _ in range(2)]
    operators = section("[[clients]]", public_key=keys[0].to_base64(), operations=[])
    operators += "operator = true\n"
    operators += section("[[clients]]", public_key=keys[1].to_base64(), signed_entries_up_to=7)
    settings = load(path, FILE + operators)
    assert settings.list_operators == (ListOperator(keys[0]), ListOperator(keys[1], 7))
    assert [each.identity for each in settings.clients] == [CLIENT.public, keys[0]]
    (operator,) = [each for each in settings.clients if each.operator]
    assert not operator.allows(None, "sign")
    path.write_text(COORDINATOR + operators)
    assert CoordinatorSettings.load(path, {}).list_operators == settings.list_operators


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ("operator = true\nsigned_entries_up_to = 7\n", "no operator any more"),
        ("signed_entries_up_to = 0\n", "signed_entries_up_to"),
    ],
)
def test_what_is_wrong_with_an_operator_is_told(path: Path, more: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load(path, FILE + section("[[clients]]", public_key=CLIENT.public.to_base64()) + more)


def test_settings_do_not_show_their_secrets(path: Path) -> None:
    assert PASSWORD not in repr(load(path))
    path.write_text(COORDINATOR)
    assert PASSWORD not in repr(CoordinatorSettings.load(path, {}))


def test_key_files_stand_beside_the_configuration(path: Path) -> None:
    own = path.parent / "keys" / "own.key"
    own.parent.mkdir()
    (path.parent / "own.key").rename(own)
    text = FILE.replace("'own.key'", "'keys/own.key'\nmaster_key_file = 'keys/master'")
    settings = load(path, text)
    assert settings.identity.public == OWN.public
    assert settings.master_key_file == path.parent / "keys" / "master"
    elsewhere = load(path, text.replace("'keys/own.key'", f"'{own}'"))
    assert elsewhere.identity.public == OWN.public


def test_a_party_need_not_list_itself(path: Path) -> None:
    assert load(path, "\n".join([PARTY, PINS, *PEERS[1:], CLIENTS])).peers == load(path).peers


def test_the_environment_serves_where_the_file_says_nothing(path: Path) -> None:
    environ = {
        "WARREN_AMQP_URL": "amqp://elsewhere/",
        "WARREN_DATABASE_URL": "sqlite:///elsewhere.sqlite",
        "WARREN_PRIVATE_KEY": OWN.to_base64(),
    }
    bare = section("[party]", party_id="party-1", index=1)
    settings = load(path, "\n".join([bare, PINS, *PEERS]), environ)
    assert settings.amqp_url == "amqp://elsewhere/"
    assert settings.database_url == "sqlite:///elsewhere.sqlite"
    assert settings.identity.public == OWN.public


def test_the_file_wins_over_the_environment_so_that_a_machine_can_run_several_parties(
    path: Path,
) -> None:
    environ = {
        "WARREN_AMQP_URL": "amqp://elsewhere/",
        "WARREN_DATABASE_URL": "sqlite:///elsewhere.sqlite",
        "WARREN_PRIVATE_KEY": IDENTITIES["party-2"].to_base64(),
    }
    settings = load(path, FILE, environ)
    assert settings.amqp_url == f"amqp://party-1:{PASSWORD}@broker/warren"
    assert settings.database_url == f"postgresql://party-1:{PASSWORD}@database/party-1"
    assert settings.identity.public == OWN.public


@pytest.mark.parametrize(
    "url",
    [
        "amqp://broker",
        "amqps://u:p@[::1]:5671/%2F?heartbeat=5",
        "amqp://u:p%40@10.0.0.1:5672/v",
        "amqp://u:p@one:5671,two,[::1]:5673/v",
    ],
)
def test_broker_addresses_of_every_shape_are_taken(path: Path, url: str) -> None:
    assert load(path, FILE.replace(f"amqp://party-1:{PASSWORD}@broker/warren", url)).amqp_url == url


@pytest.mark.parametrize(
    "url",
    ["postgres://h/d", "postgresql:///d?host=/run/postgresql", "postgresql://u:p@a:1,b:2/d"],
)
def test_database_addresses_of_every_shape_are_taken(path: Path, url: str) -> None:
    text = FILE.replace(f"postgresql://party-1:{PASSWORD}@database/party-1", url)
    assert load(path, text).database_url == url


OTHER_KEY = IDENTITIES["party-2"].public.to_base64()
THIRD_KEY = IDENTITIES["party-3"].public.to_base64()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[party]", "[party", "not TOML"),
        ("[party]", "[partei]", "party: Field required"),
        ("[[peers]]", "[[others]]", "peers: Field required"),
        ("party_id = 'party-1'\nindex", "party_id = 'party.1'\nindex", "party.party_id"),
        ("index = 1\nprivate", "index = 0\nprivate", "party.index"),
        ("index = 2", "index = 'two'", "peers.1.index"),
        ("client_id", "clientid", "clients.0.clientid: Extra inputs"),
        ("'svcA'", "'svc A'", "clients.0.client_id"),
        ("client_id = 'svcA'", "operations = ['signs']", "clients.0.operations.0"),
        ("client_id = 'svcA'", "operations = ['rehearse']", "goes with 'reshare': name only that"),
        ("client_id = 'svcA'", "operator = 'perhaps'", "clients.0.operator"),
        ("private_key_file = 'own.key'\n", "", "no private key: .*private_key_file .*identity new"),
        ("'own.key'", "'none.key'", "party.private_key_file .*none.key: No such file"),
        ("'own.key'", "'party.toml'", "party.private_key_file .*: not a base64 DER private key"),
        ("'own.key'", "'binary.key'", "party.private_key_file .*: not base64 text"),
        ("amqp_url", "# ", "no amqp_url: .*WARREN_AMQP_URL"),
        ("database_url", "# ", "no database_url: .*WARREN_DATABASE_URL"),
        ("amqp://", "http://", "amqp_url: not like amqp://"),
        ("@broker/", "@broker:port/", "amqp_url: not like amqp://"),
        ("@broker/warren", "", "amqp_url: not like amqp://"),
        ("@broker/warren", "@a/w,amqp://u:p@b/w", "amqp_url: several addresses: .*one vhost"),
        (f":{PASSWORD}@database", ":...@database", "database_url: .*placeholder of an example"),
        ("postgresql://", "mysql://", "database_url: not like postgresql://.* or sqlite:///path"),
        ("@database/", "@database:port/", "database_url: not like"),
        (OTHER_KEY, "AAAA", "peers: party-2: public_key: "),
        (CLIENT.public.to_base64(), "!", "clients: svcA: public_key: not a public key"),
        ("'party-3'", "'party-2'", "peers: two parties have the same party_id"),
        ("index = 3", "index = 2", "peers: two parties have the same index"),
        (THIRD_KEY, OTHER_KEY, "peers: two parties have the same public_key"),
        ("index = 1\npublic", "index = 4\npublic", "peers lists party-1 with another index"),
        (OWN.public.to_base64(), OTHER_KEY, "peers lists party-1 with another .* public key"),
    ],
)
def test_what_is_wrong_with_a_party_is_named_and_no_secret_is(
    path: Path, old: str, new: str, expected: str
) -> None:
    assert old in FILE
    text = reason(path, FILE.replace(old, new))
    assert text.startswith(f"{path}: ")
    assert re.search(expected, text), text
    assert PASSWORD not in text
    assert OWN.to_base64()[:20] not in text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("[coordinator]", "[koordinator]", "koordinator: Extra inputs"),
        ("'party-3'", "'party-2'", "parties: .*two parties have the same party_id"),
        ("index = 3", "index = 2", "parties: .*two parties have the same index"),
        (THIRD_KEY, OTHER_KEY, "parties: .*two parties have the same public_key"),
        (OTHER_KEY, "AAAA", "parties: party-2: public_key: "),
        ("amqp_url", "# ", "no amqp_url"),
    ],
)
def test_what_is_wrong_with_a_coordinator_is_named_and_no_secret_is(
    path: Path, old: str, new: str, expected: str
) -> None:
    assert old in COORDINATOR
    path.write_text(COORDINATOR.replace(old, new))
    with pytest.raises(SettingsError, match=expected) as caught:
        CoordinatorSettings.load(path, {})
    assert str(caught.value).startswith(f"{path}: ")
    assert PASSWORD not in str(caught.value)


def test_a_wrong_variable_is_named_and_its_value_is_not(path: Path) -> None:
    bare = section("[party]", party_id="party-1", index=1)
    environ = {
        "WARREN_AMQP_URL": f"http://u:{PASSWORD}@h/",
        "WARREN_DATABASE_URL": "sqlite:///x",
        "WARREN_PRIVATE_KEY": OWN.to_base64(),
    }
    text = reason(path, "\n".join([bare, PINS, *PEERS]), environ)
    assert text.startswith("WARREN_AMQP_URL: not like")
    assert PASSWORD not in text
    text = reason(path, "\n".join([bare, PINS, *PEERS]), environ | {"WARREN_PRIVATE_KEY": PASSWORD})
    assert text == "WARREN_PRIVATE_KEY: not a base64 DER private key (SEC1 or PKCS8)"


def test_a_file_that_is_missing_or_no_text_is_named(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"party\.toml: No such file"):
        PartySettings.load(path, {})
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"party\.toml: not TOML: not UTF-8"):
        PartySettings.load(path, {})


###
### Pools
###


def pools(path: Path, **fields: object) -> PoolLimits:
    path.write_text(COORDINATOR + section("[pools]", **fields))
    return CoordinatorSettings.load(path, {}).pools


def test_pools_are_as_they_are_unless_the_file_says_otherwise(path: Path) -> None:
    assert pools(path) == PoolLimits()
    changed = pools(path, low=0, high=7, batch=2, batches_per_pool=1, batches=1, idle_seconds=0.5)
    assert (changed.low, changed.high, changed.batch) == (0, 7, 2)
    assert (changed.batches_per_pool, changed.batches, changed.idle_seconds) == (1, 1, 0.5)
    assert changed.per_key == PoolLimits().per_key


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"low": 9, "high": 8}, "pools: high must not be below low"),
        ({"high": 8}, "pools: high must not be below low"),
        ({"low": -1}, "pools.low: Input should be greater than or equal to 0"),
        ({"high": "'many'"}, "pools.high: Input should be a valid integer"),
        ({"batch": 0}, "pools.batch: Input should be greater than or equal to 1"),
        ({"batch": 65}, "pools.batch: Input should be less than or equal to 64"),
        ({"batches": 0}, "pools.batches: Input should be greater than or equal to 1"),
        ({"batches_per_pool": 0}, "pools.batches_per_pool: Input should be greater than or equal"),
        ({"batch_seconds": 0}, "pools.batch_seconds: Input should be greater than 0"),
        ({"per_key": 63}, "pools.per_key: Input should be greater than or equal to 64"),
        ({"in_all": 63}, "pools.in_all: Input should be greater than or equal to 64"),
        ({"idle_seconds": -1}, "pools.idle_seconds: Input should be greater than or equal to 0"),
        ({"quarrel_seconds": -1}, "pools.quarrel_seconds: Input should be greater than or equal"),
        ({"mark": 3}, "pools.mark: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_with_the_pools_is_named(
    path: Path, fields: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        pools(path, **fields)
    assert str(caught.value).startswith(f"{path}: {told}"), caught.value


@pytest.mark.parametrize(
    ("clients", "each"), [(0, 64), (1, 64), (2, 32), (4, 16), (9, 16), (1_000, 16)]
)
def test_clients_share_what_is_taken_at_once_and_none_is_left_without(
    clients: int, each: int
) -> None:
    assert CoordinatorLimits(waiting=64).prefetch_of_each(clients) == each
    assert CoordinatorLimits(waiting=3).prefetch_of_each(clients) == 3


@pytest.mark.parametrize("seconds", [4.9, 30.1])
def test_new_holders_are_asked_neither_before_they_are_ready_nor_after_the_former_are_done(
    seconds: float,
) -> None:
    assert CoordinatorLimits(switch_seconds=5).switch_seconds == 5
    with pytest.raises(ValueError, match="switch_seconds"):
        CoordinatorLimits(switch_seconds=seconds)


def test_the_limit_of_an_owner_is_read_by_its_former_name_too() -> None:
    former = CoordinatorLimits.model_validate({"sessions_per_client": 7})
    assert former == CoordinatorLimits.model_validate({"sessions_per_owner": 7})


@pytest.mark.parametrize("lane", Lane)
def test_every_lane_of_a_party_says_how_much_is_handled_at_once(lane: Lane) -> None:
    assert PartyLimits().prefetch_of(lane) > 0


@pytest.mark.parametrize(
    ("limits", "needed"),
    [
        ({"retention_seconds": 5}, "630"),
        ({"retention_seconds": 629.9}, "630"),
        ({"clock_tolerance_seconds": 60, "retention_seconds": 719}, "720"),
    ],
)
def test_the_coordinator_forgets_no_request_that_still_counts(
    path: Path, limits: dict[str, object], needed: str
) -> None:
    path.write_text(COORDINATOR + section("[limits]", **limits))
    with pytest.raises(
        SettingsError, match=f"limits: retention_seconds must be at least {needed}: what is"
    ):
        CoordinatorSettings.load(path, {})


def test_the_coordinator_may_remember_as_long_as_requests_count(path: Path) -> None:
    path.write_text(COORDINATOR + section("[limits]", retention_seconds=630))
    assert CoordinatorSettings.load(path, {}).limits.clock_tolerance_seconds == 15


@pytest.mark.parametrize("name", ["retention_seconds", "statements_seconds"])
@pytest.mark.parametrize(("tolerance", "needed"), [(15, 630), (60, 720)])
def test_a_party_forgets_nothing_of_a_request_that_still_counts(
    name: str, tolerance: float, needed: float
) -> None:
    limits: dict[str, Any] = {"clock_tolerance_seconds": tolerance}
    assert getattr(PartyLimits(**limits, **{name: needed}), name) == needed
    with pytest.raises(ValidationError, match=f"{name} must be at least {needed}: what is"):
        PartyLimits(**limits, **{name: needed - 0.1})
