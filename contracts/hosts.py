"""Where the broker is: one address, which may name several hosts of one cluster.

    amqp://user:password@host1:5672,host2:5672,host3:5672/vhost

As in the addresses of PostgreSQL and MongoDB: with one login and one vhost for all, no two hosts
can be told different things.

With TLS, and the files for it, each of which may be left out:

    amqps://host1,host2/vhost?cafile=ca.pem&certfile=own.pem&keyfile=own.key

Without a user and password, the certificate is the login.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from urllib.parse import quote, urlsplit

from yarl import URL

from .placeholders import has_placeholder_password
from .tls import TlsFileError, TlsFiles, common_name

_ADDRESS = re.compile(
    r"(?P<scheme>amqps?://)(?P<login>[^/?#]*@)?(?P<hosts>[^/?#@]+)(?P<rest>[/?].*)?"
)
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\s:\[\]]+)(:[0-9]+)?")
_PORT = re.compile(r":[0-9]+$")
_FILES = {"ca": "cafile", "certificate": "certfile", "key": "keyfile"}
"""As addresses name them, and aiormq too."""
_UNVERIFIED = ("no_verify_ssl", "capath", "cadata")
"""What aiormq would obey, and we do not."""

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
    """The address itself. Raises AddressError, also where its password is a placeholder, or one of
    its files for TLS is of no use."""
    files = files_of(_split(address)[0])
    try:
        if files:
            files.context()
    except TlsFileError as error:
        raise AddressError(str(error)) from None
    return with_own_password(address)


def with_files(address: str, files: TlsFiles) -> str:
    """The address, with files for TLS that stand elsewhere. Raises AddressError."""
    if not files:
        return address
    named = {name: path for name in _FILES if (path := getattr(files, name)) is not None}
    there = files_of(_split(address)[0])
    if any(getattr(there, name) not in (None, path) for name, path in named.items()):
        raise AddressError("names other files for TLS than are given beside it")
    query = "&".join(f"{_FILES[name]}={quote(str(path), safe='/')}" for name, path in named.items())
    told = f"{address}{'&' if '?' in address else '?'}{query}"
    _split(told)
    return told


def files_of(url: URL) -> TlsFiles:
    """The files for TLS that an address names."""
    paths = {
        name: Path(url.query[parameter])
        for name, parameter in _FILES.items()
        if url.query.get(parameter)
    }
    return TlsFiles(**paths)


def login_of(url: URL) -> str:
    """Who comes by this address, as the broker calls them."""
    if url.user is None and is_external(url):
        try:
            return common_name(Path(url.query["certfile"])) or "(a certificate without a name)"
        except (KeyError, TlsFileError):
            return "(a certificate that cannot be read)"
    return url.user or "guest"


def is_external(url: URL) -> bool:
    """Whether the certificate is the login."""
    return url.query.get("auth", "").upper() == "EXTERNAL"


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
        return tuple(_with_mechanism(URL(f"{before}{host}{after}")) for host in hosts)
    except AddressError:
        raise
    except ValueError:
        raise _unlike() from None


def _with_mechanism(url: URL) -> URL:
    """Whoever shows a certificate and names no user comes by it."""
    for name in _UNVERIFIED:
        if name in url.query:
            raise AddressError(f"{name}: a broker is verified, by its CA's file: cafile=FILE")
    files = files_of(url)
    if url.scheme != "amqps" and (files or is_external(url)):
        raise AddressError("files for TLS, or a certificate as login, need amqps:// before them")
    if is_external(url) and files.certificate is None:
        raise AddressError("EXTERNAL is a login by certificate: name its file and that of its key")
    if files.certificate is not None and url.user is None and "auth" not in url.query:
        return url.update_query(auth="EXTERNAL")
    return url


def _unlike() -> AddressError:
    return AddressError(
        "not like amqp://user:password@host:5672/vhost, or its password has a character that "
        "has to be percent-encoded, such as / or #"
    )
