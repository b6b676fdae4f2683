"""From where one may enter: an allow list of addresses and networks, IPv4 and IPv6.

`X-Forwarded-For` counts only behind proxies that are declared. Each of them appends the address
that it saw, so the list is read from its end: the first address that is no declared proxy's is the
caller's. What stands left of it anybody can have written.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import Problem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOPBACK = ("127.0.0.0/8", "::1")
ADDRESS = "warren.address"
"""In a request's scope: the caller's `Address`, once it is known."""

MAX_HOPS = 32


def parse_network(text: str) -> Network:
    """One address or a network. Raises ValueError with a sentence."""
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise ValueError(f"{text.strip()!r} is no address or network: {error}") from None


def parse_networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError for the first that is neither an address nor a network."""
    return tuple(parse_network(text) for text in texts)


class Networks:
    """
    Arguments:
        allowed: Who may enter.
        proxies: Whose `X-Forwarded-For` is believed. They need not be allowed themselves.
    """

    def __init__(self, allowed: Sequence[Network], proxies: Sequence[Network] = ()) -> None:
        self.become(allowed, proxies)

    def become(self, allowed: Sequence[Network], proxies: Sequence[Network]) -> None:
        """From now on it is these, for whoever comes and whoever is inside."""
        self._proxies = tuple(proxies)
        self._allowed = tuple(allowed)
        self.allows = functools.lru_cache(maxsize=4096)(self._allows)
        self._is_proxy = functools.lru_cache(maxsize=4096)(self._in_proxies)

    def are(self, allowed: Sequence[Network], proxies: Sequence[Network]) -> bool:
        """Whether it is these already."""
        return (self._allowed, self._proxies) == (tuple(allowed), tuple(proxies))

    def caller(self, peer: str, forwarded: str) -> Address | None:
        """Whose request it is; None if it cannot be told.

        Arguments:
            peer: The other end of the connection.
            forwarded: `X-Forwarded-For`, all of its lines joined with commas.
        """
        address = _parse(peer)
        if address is None or not forwarded or not self._is_proxy(address):
            return address
        hops = forwarded.rsplit(",", MAX_HOPS)
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _parse(_without_port(hop.strip()))
            if address is None or not self._is_proxy(address):
                return address
        return address

    def _allows(self, address: Address) -> bool:
        return any(address in network for network in self._allowed)

    def _in_proxies(self, address: Address) -> bool:
        return any(address in network for network in self._proxies)


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket for both families shows IPv4 peers as ::ffff:192.0.2.1.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """Some proxies write ``192.0.2.1:4711`` and ``[2001:db8::1]:4711``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    host, colon, _ = hop.partition(":")
    return host if colon and hop.count(":") == 1 else hop


class AllowList:
    """Middleware: 403 for strangers; for the others, `ADDRESS` in the scope.

    Arguments:
        exempt: Paths that anybody may see.
    """

    def __init__(self, app: ASGIApp, *, networks: Networks, exempt: frozenset[str]) -> None:
        self._app = app
        self._networks = networks
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else ""
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        address = self._networks.caller(peer, b",".join(lines).decode("latin-1"))
        scope[ADDRESS] = address
        allowed = address is not None and self._networks.allows(address)
        if not allowed and scope["path"] not in self._exempt:
            whose = "an address that cannot be told" if address is None else str(address)
            refusal = Problem("address_refused", f"You come from {whose}, which is not allowed.")
            await refusal.answer(scope, receive, send)
            return
        await self._app(scope, receive, send)
