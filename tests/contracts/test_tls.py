"""Files for TLS, and what is said where TLS does not come to be."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import pytest
from aiormq.exceptions import ProtocolSyntaxError

from contracts import tls
from contracts.connecting import connect
from contracts.frames import TlsError
from contracts.hosts import AddressError, Hosts, check, files_of, login_of, with_files
from contracts.tls import TlsFileError, TlsFiles
from ops.stack.certificates import Credentials, Pair, TestingCa

LOOPBACK = ("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestingCa:
    return TestingCa.make(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> TestingCa:
    return TestingCa.make(tmp_path_factory.mktemp("stranger"))


def shown(ca: TestingCa, pair: Pair) -> TlsFiles:
    return TlsFiles(ca=ca.certificate, certificate=pair.certificate, key=pair.key)


###
### Files
###


def test_files_of_a_user_are_good_for_a_connection(ca: TestingCa) -> None:
    context = shown(ca, ca.for_user("warren.party.p1")).context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def unlike(name: str) -> Callable[[TestingCa, Path], TlsFiles]:
    """Files of which one is not as it should be."""

    def spoilt(ca: TestingCa, folder: Path) -> TlsFiles:
        own, other = ca.for_user("own"), ca.for_user("other")
        text, nothing = folder / "text", folder / "nothing"
        text.write_text("no PEM")
        text.chmod(0o600)
        certificate, key = own.certificate, own.key
        return {
            "no such CA": TlsFiles(ca=nothing),
            "a CA that is none": TlsFiles(ca=text),
            "no such certificate": TlsFiles(certificate=nothing, key=key),
            "a certificate that is none": TlsFiles(certificate=text, key=key),
            "no such key": TlsFiles(certificate=certificate, key=nothing),
            "a key that is none": TlsFiles(certificate=certificate, key=text),
            "another's key": TlsFiles(certificate=certificate, key=other.key),
            "no key": TlsFiles(certificate=certificate),
            "no certificate": TlsFiles(key=key),
        }[name]

    return spoilt


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no such CA", "nothing: No such file"),
        ("a CA that is none", "text: has no certificate in PEM"),
        ("no such certificate", "nothing: No such file"),
        ("a certificate that is none", "text: has no certificate in PEM"),
        ("no such key", "nothing: No such file"),
        ("a key that is none", "text: has no private key"),
        ("another's key", "other.key: is not the key to .*own.pem"),
        ("no key", "own.pem: a certificate is of no use without its key"),
        ("no certificate", "own.key: .* nor a key without its certificate"),
    ],
)
def test_a_file_of_no_use_is_named(name: str, said: str, ca: TestingCa, tmp_path: Path) -> None:
    with pytest.raises(TlsFileError, match=said):
        unlike(name)(ca, tmp_path).context()


@pytest.mark.parametrize("mode", [0o604, 0o620, 0o602, 0o666])
def test_a_key_that_others_can_read_or_change_is_refused(mode: int, ca: TestingCa) -> None:
    own = ca.for_user("open")
    own.key.chmod(mode)
    with pytest.raises(
        TlsFileError, match=r"open.key: is a private key that others have access to"
    ):
        shown(ca, own).context()


def test_a_group_may_read_a_key_of_root_only(
    ca: TestingCa, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = ca.for_user("grouped")
    own.key.chmod(0o640)
    real = own.key.stat()

    def owned_by(uid: int) -> None:
        class Found:
            st_mode, st_uid = real.st_mode, uid

        monkeypatch.setattr(Path, "stat", lambda *_, **__: Found)

    owned_by(0)
    tls.require_private(own.key)
    owned_by(1000)
    with pytest.raises(TlsFileError, match="others have access"):
        tls.require_private(own.key)


def test_a_certificate_of_ours_that_has_expired_is_not_even_shown(ca: TestingCa) -> None:
    with pytest.raises(TlsFileError, match=r"old.pem: has expired on 20.* renew it"):
        shown(ca, ca.for_user("old", days=-1)).context()


def test_nothing_of_a_key_is_ever_told(ca: TestingCa, tmp_path: Path) -> None:
    own = ca.for_user("secretive")
    lines = own.key.read_text().splitlines()
    spoilt = tmp_path / "spoilt.key"
    spoilt.write_text("\n".join([*lines[:1], *lines[2:]]))
    spoilt.chmod(0o600)
    with pytest.raises(TlsFileError) as problem:
        TlsFiles(certificate=own.certificate, key=spoilt).context()
    assert not [line for line in lines if line in str(problem.value)]


def test_what_a_file_names_is_found_beside_it_and_wins(tmp_path: Path) -> None:
    environ = {
        "PLACE_CA_FILE": "/theirs/ca.pem",
        "PLACE_KEY_FILE": "/theirs/key",
        "X_KEY_FILE": "x",
    }
    found = TlsFiles.named(
        tmp_path, "PLACE", environ, ca=None, certificate=Path("own.pem"), key=Path("own.key")
    )
    assert found == TlsFiles(
        ca=Path("/theirs/ca.pem"), certificate=tmp_path / "own.pem", key=tmp_path / "own.key"
    )
    assert not TlsFiles.named(tmp_path, "OTHER", environ)


###
### Addresses
###

FILES = TlsFiles(ca=Path("/a b/ca@x.pem"), certificate=Path("/own.pem"), key=Path("/own.key"))


def test_an_address_takes_its_files_along_to_each_host() -> None:
    told = with_files("amqps://one,two:5/v?heartbeat=8", FILES)
    for url in Hosts(told).all:
        assert files_of(url) == FILES
        assert url.query["heartbeat"] == "8"
        assert url.path == "/v"


def test_who_shows_a_certificate_and_names_no_user_comes_by_it() -> None:
    named = with_files("amqps://svcA:hunter2@one/v", FILES)
    assert "auth" not in Hosts(named).current.query
    unnamed = with_files("amqps://one/v", FILES)
    assert Hosts(unnamed).current.query["auth"] == "EXTERNAL"
    without = with_files("amqps://one/v", TlsFiles(ca=FILES.ca))
    assert "auth" not in Hosts(without).current.query


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("amqp://u:hunter2@h/v?cafile=/ca.pem", "amqps://"),
        ("amqp://h/v?auth=EXTERNAL", "amqps://"),
        ("amqps://h/v?auth=external", "name its file"),
        ("amqps://u:hunter2@h/v?no_verify_ssl=1", "no_verify_ssl"),
        ("amqps://u:hunter2@h/v?capath=/etc", "capath"),
        ("amqps://u:hunter2@h/v?cafile=/nowhere/ca.pem", "/nowhere/ca.pem: No such file"),
    ],
)
def test_an_address_that_is_not_what_it_seems_is_refused(address: str, said: str) -> None:
    with pytest.raises(AddressError, match=said) as problem:
        check(address)
    assert "hunter2" not in str(problem.value)


def test_files_are_named_in_one_place() -> None:
    told = with_files("amqps://h/v", FILES)
    assert with_files(told, TlsFiles(ca=FILES.ca)).startswith(told)
    with pytest.raises(AddressError, match="other files for TLS"):
        with_files(told, TlsFiles(ca=Path("/another.pem")))


def test_an_address_without_tls_takes_no_files() -> None:
    with pytest.raises(AddressError, match="amqps://"):
        with_files("amqp://u:p@h/v", FILES)


def test_errors_call_users_as_the_broker_does(ca: TestingCa) -> None:
    own = Credentials.issued(ca, "warren.coordinator")
    assert login_of(Hosts(f"amqps://h/v?{own.amqp_query}").current) == "warren.coordinator"
    assert login_of(Hosts("amqp://svcA:hunter2@h/v").current) == "svcA"
    assert login_of(Hosts("amqp://h/v").current) == "guest"
    lost = with_files("amqps://h/v", FILES)
    assert "cannot be read" in login_of(Hosts(lost).current)


###
### Connections
###


@asynccontextmanager
async def listening(
    context: ssl.SSLContext | None, answer: bytes = b"AMQP\x00\x00\x09\x01"
) -> AsyncIterator[int]:
    """A server that gives one answer and ends. Yields its port."""

    async def end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(end, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def serving(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


@contextmanager
def strict(ca: TestingCa, version: ssl.TLSVersion) -> Iterator[int]:
    """A server that wants a certificate, and says what is wrong with it, as asyncio's does not.
    Yields its port."""
    context = serving(ca.for_server("strict", LOOPBACK))
    context.load_verify_locations(ca.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = version

    def refuse() -> None:
        accepted, _ = listener.accept()
        with accepted.dup() as plain, accepted:
            with suppress(ssl.SSLError):
                context.wrap_socket(accepted, server_side=True)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(1024):  # what is left unread would be answered with a reset
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=refuse)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


async def refused(address: str) -> str:
    with pytest.raises(TlsError) as problem:
        await connect(address)
    return str(problem.value)


async def test_a_server_is_believed_by_its_ca_its_time_and_its_name(
    ca: TestingCa, stranger: TestingCa
) -> None:
    for pair, believed, said in (
        (ca.for_server("server", LOOPBACK), stranger, "a CA that we were not told to believe"),
        (ca.for_server("late", LOOPBACK, days=-1), ca, "its certificate has expired"),
        (ca.for_server("elsewhere", ["broker.test"]), ca, "for another address than the one"),
    ):
        own = Credentials.issued(believed, "own")
        async with listening(serving(pair)) as port:
            assert said in await refused(f"amqps://127.0.0.1:{port}/v?{own.amqp_query}")


async def test_a_name_is_compared_as_well_as_an_address(ca: TestingCa) -> None:
    own = Credentials.issued(ca, "own")
    async with listening(serving(ca.for_server("number", ["127.0.0.1"]))) as port:
        said = await refused(f"amqps://localhost:{port}/v?{own.amqp_query}")
    assert "for another name than the one" in said


async def test_a_server_that_ends_without_a_word_is_understood(ca: TestingCa) -> None:
    own = Credentials.issued(ca, "own")
    async with listening(serving(ca.for_server("silent", LOOPBACK)), b"") as port:
        said = await refused(f"amqps://127.0.0.1:{port}/v?{own.amqp_query}")
        assert "does not accept our certificate" in said
        said = await refused(f"amqps://u:p@127.0.0.1:{port}/v?{own.ca_query}")
        assert "it wants a certificate of us" in said


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_does_not_know_us_is_quoted(
    version: ssl.TLSVersion, ca: TestingCa, stranger: TestingCa
) -> None:
    foreign = stranger.for_user("own")
    files = TlsFiles(ca=ca.certificate, certificate=foreign.certificate, key=foreign.key)
    with strict(ca, version) as port:
        said = await refused(with_files(f"amqps://127.0.0.1:{port}/v", files))
    assert "does not believe the CA of our certificate" in said
    without = TlsFiles(ca=ca.certificate)
    with strict(ca, version) as port:
        said = await refused(with_files(f"amqps://u:p@127.0.0.1:{port}/v", without))
    assert "wants a certificate of us" in said


async def test_the_wrong_port_is_told_in_both_directions(ca: TestingCa) -> None:
    own = Credentials.issued(ca, "own")
    async with listening(None) as port:
        said = await refused(f"amqps://127.0.0.1:{port}/v?{own.amqp_query}")
        assert "does not speak TLS there" in said
    async with listening(None, b"\x15\x03\x03\x00\x02\x02\x0a") as port:  # as RabbitMQ's does
        assert "write amqps://" in await refused(f"amqp://u:p@127.0.0.1:{port}/v")


async def test_a_key_that_becomes_readable_is_refused_at_the_next_connection(
    ca: TestingCa,
) -> None:
    own = Credentials.issued(ca, "careless")
    async with listening(serving(ca.for_server("server", LOOPBACK))) as port:
        address = f"amqps://127.0.0.1:{port}/v?{own.amqp_query}"
        with pytest.raises(ProtocolSyntaxError):  # behind TLS it is no broker
            await connect(address)
        own.pair.key.chmod(0o644)
        assert "others have access" in await refused(address)


async def test_a_host_that_is_not_believed_is_left_for_the_next(
    ca: TestingCa, stranger: TestingCa, caplog: pytest.LogCaptureFixture
) -> None:
    own = Credentials.issued(ca, "own")
    false = serving(stranger.for_server("false", LOOPBACK))
    true = serving(ca.for_server("true", LOOPBACK))
    async with listening(false) as one, listening(true) as other:
        address = f"amqps://127.0.0.1:{one},127.0.0.1:{other}/v?{own.amqp_query}"
        # Each host is tried, whichever is the first; one of them is no broker, the other false.
        for _ in range(8):
            with pytest.raises((TlsError, ProtocolSyntaxError)):
                await connect(address)
    assert "were not told to believe" in "".join(
        str(getattr(record, "reason", "")) for record in caplog.records
    )
