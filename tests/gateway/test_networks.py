from __future__ import annotations

import ipaddress

import pytest

from gateway.entry.networks import LOOPBACK, Networks, parse_networks
from tests.gateway.entrance import SECRET, opened, problem

PROXIES = parse_networks(["10.0.0.0/8", "2001:db8:ffff::/48"])


def networks(*allowed: str) -> Networks:
    return Networks(parse_networks(allowed), PROXIES)


@pytest.mark.parametrize(
    ("peer", "forwarded", "caller"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # a stranger's word
        ("10.1.1.1", "", "10.1.1.1"),
        ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("10.1.1.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),  # the left part is the caller's
        ("10.1.1.1", "203.0.113.9, 10.2.2.2, 10.3.3.3", "203.0.113.9"),
        ("10.1.1.1", "10.4.4.4,10.2.2.2", "10.4.4.4"),
        ("10.1.1.1", "203.0.113.9:4711", "203.0.113.9"),
        ("10.1.1.1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("10.1.1.1", "2001:db8::9", "2001:db8::9"),
        ("::ffff:10.1.1.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:ffff::1", "203.0.113.9", "203.0.113.9"),
        ("10.1.1.1", ",".join(["10.2.2.2"] * 100), "10.2.2.2"),
    ],
)
def test_the_caller_is_the_last_hop_that_is_no_declared_proxy(
    peer: str, forwarded: str, caller: str
) -> None:
    assert networks().caller(peer, forwarded) == ipaddress.ip_address(caller)


@pytest.mark.parametrize("forwarded", ["unknown", "203.0.113.9, ", "203.0.113.9, _hidden", "1.2.3"])
def test_a_hop_that_is_no_address_leaves_nobody(forwarded: str) -> None:
    assert networks().caller("10.1.1.1", forwarded) is None


@pytest.mark.parametrize(
    ("allowed", "address", "enters"),
    [
        (LOOPBACK, "127.0.0.1", True),
        (LOOPBACK, "127.8.8.8", True),
        (LOOPBACK, "::1", True),
        (LOOPBACK, "192.168.1.1", False),
        (("192.0.2.0/24",), "192.0.2.77", True),
        (("192.0.2.0/24",), "192.0.3.1", False),
        (("192.0.2.0/24",), "127.0.0.1", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "192.0.2.1", False),
        (("0.0.0.0/0",), "2001:db8::1", False),
    ],
)
async def test_only_allowed_addresses_enter(
    allowed: tuple[str, ...], address: str, enters: bool
) -> None:
    async with (
        opened(allowed_ips=list(allowed)) as entrance,
        entrance.client(address, headers={"X-API-Key": SECRET}) as caller,
    ):
        answer = await caller.get("/who")
    if enters:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403
        assert problem(answer)["code"] == "address_refused"
        assert address in answer.json()["detail"]


async def test_an_ipv4_caller_on_a_socket_for_both_families_is_an_ipv4_caller() -> None:
    async with opened() as entrance, entrance.client("::ffff:127.0.0.1") as caller:
        assert (await caller.get("/health")).status_code == 200


async def test_forwarded_for_is_believed_from_declared_proxies_only() -> None:
    forged = {"X-Forwarded-For": "127.0.0.1", "X-API-Key": SECRET}
    async with opened(trusted_proxies=["10.0.0.1"]) as entrance:
        async with entrance.client("192.0.2.1", headers=forged) as stranger:
            assert (await stranger.get("/who")).status_code == 403
        async with entrance.client("10.0.0.1", headers=forged) as through_proxy:
            assert (await through_proxy.get("/who")).status_code == 200
        async with entrance.client("10.0.0.1") as the_proxy_itself:
            assert (await the_proxy_itself.get("/health")).status_code == 403


async def test_several_lines_of_forwarded_for_are_one_list() -> None:
    lines = [("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-For", "203.0.113.9")]
    async with (
        opened(trusted_proxies=["10.0.0.1"]) as entrance,
        entrance.client("10.0.0.1", headers=lines) as stranger,
    ):
        answer = await stranger.get("/health")
    assert answer.status_code == 403
    assert "203.0.113.9" in answer.json()["detail"]


async def test_health_answers_anybody_only_if_so_configured() -> None:
    async with (
        opened(health_from_anywhere=True) as entrance,
        entrance.client("192.0.2.1") as stranger,
    ):
        assert (await stranger.get("/health")).status_code == 200
        for path in ("/metrics", "/health/", "/health/more"):
            assert (await stranger.get(path)).status_code == 403
    async with opened() as entrance, entrance.client("192.0.2.1") as stranger:
        assert (await stranger.get("/health")).status_code == 403


@pytest.mark.parametrize("text", ["", "localhost", "192.0.2.1/24", "300.1.1.1", "::1/129"])
def test_what_is_no_network_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no address or network"):
        parse_networks([text])
