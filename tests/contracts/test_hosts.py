"""An address that names several hosts of one broker, and the round through them."""

from __future__ import annotations

import pytest
from yarl import URL

from contracts.hosts import AddressError, Hosts, check

LOGIN = "svcA:hunter2%2C%40"
CLUSTER = f"amqp://{LOGIN}@one:5671,two,[::1]:5673/warren?heartbeat=5"


def round_of(address: str) -> list[str]:
    hosts = Hosts(address, first=0)
    found = []
    for _ in range(len(hosts)):
        found.append(str(hosts.current))
        hosts.go_on()
    return found


def test_every_host_has_the_login_the_vhost_and_the_options() -> None:
    assert [URL(each) for each in round_of(CLUSTER)] == [
        URL(f"amqp://{LOGIN}@one:5671/warren?heartbeat=5"),
        URL(f"amqp://{LOGIN}@two/warren?heartbeat=5"),
        URL(f"amqp://{LOGIN}@[::1]:5673/warren?heartbeat=5"),
    ]


def test_after_the_last_host_comes_the_first() -> None:
    hosts = Hosts(CLUSTER, first=2)
    assert hosts.current.host == "::1"
    hosts.go_on()
    assert hosts.current.host == "one"


@pytest.mark.parametrize(
    "address",
    [
        "amqp://broker",
        "amqps://u:p,q@broker:5671/%2F",
        "amqp://u@10.0.0.1/a,b",
        "amqp://h?name=a://b",
    ],
)
def test_a_single_host_is_a_round_of_one(address: str) -> None:
    assert [URL(each) for each in round_of(address)] == [URL(address)]
    assert check(address) == address


def test_connections_begin_all_over_the_cluster() -> None:
    assert {Hosts(CLUSTER).current.host for _ in range(200)} == {"one", "two", "::1"}


def test_a_url_with_options_of_its_own_is_moved_to_the_current_host() -> None:
    hosts = Hosts(CLUSTER, first=0)
    url = URL("amqp://x:y@two:1/z?name=w")
    assert hosts.here(url) == URL("amqp://x:y@one:5671/z?name=w")
    hosts.go_on()
    assert hosts.here(url) == URL("amqp://x:y@two/z?name=w")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "http://u:hunter2@h/v",
        "amqp:///v",
        "amqp://u:hunter2@/v",
        "amqp://u:hunter2@one,/v",
        "amqp://u:hunter2@one,,two/v",
        "amqp://u:hunter2@one, two/v",
        "amqp://u:hunter2@one:port,two/v",
        "amqp://u:hunter2@one,two:99999/v",
        "amqp://u:hunter2/w@one/v",
    ],
)
def test_what_is_no_address_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(AddressError, match=r"^not like amqp://user:password@host") as caught:
        Hosts(address)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("between", [",", ";", " , "])
def test_hosts_with_logins_or_vhosts_of_their_own_are_refused(between: str) -> None:
    address = between.join(["amqp://u:hunter2@one/v", "amqp://u:hunter3@two/w"])
    with pytest.raises(AddressError, match="with one user and one vhost") as caught:
        check(address)
    assert "hunter" not in str(caught.value)


def test_a_round_shows_its_hosts_and_no_login() -> None:
    assert repr(Hosts(CLUSTER)) == "Hosts(one:5671, two, [::1]:5673)"
