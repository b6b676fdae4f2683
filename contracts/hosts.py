"""Where the broker is: one address, which may name several hosts of one cluster.

    amqp://user:password@host1:5672,host2:5672,host3:5672/vhost

As in the addresses of PostgreSQL and MongoDB: with one login and one vhost for all, no two hosts
can be told different things.
"""

from __future__ import annotations

import random
import re
from urllib.parse import urlsplit

from yarl import URL

from .placeholders import has_placeholder_password

_ADDRESS = re.compile(
    r"(?P<scheme>amqps?://)(?P<login>[^/?#]*@)?(?P<hosts>[^/?#@]+)(?P<rest>[/?].*)?"
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(:[0-9]+)?")
_PORT = re.compile(r":[0-9]+$")

_ENCODE = (
    "its user or password has a character that has to be percent-encoded in an address: write each "
    "of @ : / ? # [ ] % and the space as % and two digits, such as %40 for @ "
    "(Python: urllib.parse.quote(password, safe=''))"
)


class AddressError(ValueError):
    """It cannot be used. The text says why, and not what it is: it may hold a password."""


class Hosts:
    """A round through the hosts of an address; each connection has one of its own.

    Attributes:
        all: The address with one host only, for each of them.
        current: That of the host where to connect next.

    Arguments:
        first: Where to begin. At random unless given, so that connections spread over the cluster.

    Raises:
        AddressError: See there.
    """

    def __init__(self, address: str, *, first: int | None = None) -> None:
        self.all = _split(address)
        self._at = random.randrange(len(self.all)) if first is None else first

    def __len__(self) -> int:
        return len(self.all)

    def __repr__(self) -> str:
        return f"Hosts({', '.join(url.raw_authority.rpartition('@')[2] for url in self.all)})"

    @property
    def current(self) -> URL:
        """The address of the host whose turn it is."""
        return self.all[self._at % len(self.all)]

    def go_on(self) -> None:
        """To the next host, and after the last one to the first."""
        self._at += 1

    def here(self, url: URL) -> URL:
        """The URL, at the current host."""
        host = self.current.host
        assert host is not None
        return url.with_host(host).with_port(self.current.explicit_port)


def check(address: str) -> str:
    """The address itself. Raises AddressError, also where its password is a placeholder."""
    _split(address)
    return with_own_password(address)


def with_own_password(address: str) -> str:
    """The address itself. Raises AddressError if its password stands in an example."""
    if has_placeholder_password(address):
        raise AddressError(
            "its password is the placeholder of an example: put in the one that was made for this "
            "user"
        )
    return address


def check_login(login: str, forbidden: str = "[]") -> None:
    """The part before the hosts, ``user:password``. Raises AddressError where whoever reads
    addresses would find the end of it elsewhere, or none.

    Arguments:
        forbidden: What must not stand in it as it is.
    """
    if any(letter in login for letter in forbidden):
        raise AddressError(_ENCODE)
    try:
        urlsplit(f"//{login}@host")
    except ValueError:  # quotes the login
        raise AddressError(_ENCODE) from None


def check_host(name: str) -> None:
    """Raises AddressError for a name that no host can have: asked for its address, Python raises
    what nobody takes for an error of the network."""
    try:
        name.encode("idna")
    except UnicodeError:
        raise AddressError(
            "a host's name in it is none: between its dots stand 1 to 63 characters"
        ) from None


def _split(address: str) -> tuple[URL, ...]:
    path, _, _ = address.partition("?")
    if path.count("://") > 1:
        raise AddressError(
            "several addresses: the hosts of a cluster stand in one, with one user and one vhost, "
            "like amqp://user:password@host1:5672,host2:5672/vhost"
        )
    found = _ADDRESS.fullmatch(address)
    if found is not None and found["login"]:
        check_login(found["login"].removesuffix("@"))
    hosts = [] if found is None else found["hosts"].split(",")
    if found is None or not all(_HOST.fullmatch(host) for host in hosts):
        raise _unlike()
    if "@" in (found["rest"] or ""):  # the password has a slash, and begins like host and port
        raise AddressError(_ENCODE)
    for host in hosts:
        check_host(_PORT.sub("", host))
    before, after = found["scheme"] + (found["login"] or ""), found["rest"] or ""
    try:
        return tuple(URL(f"{before}{host}{after}") for host in hosts)
    except ValueError:
        raise _unlike() from None


def _unlike() -> AddressError:
    return AddressError(
        "not like amqp://user:password@host:5672/vhost, or its password has a character that "
        "has to be percent-encoded, such as / or #"
    )
