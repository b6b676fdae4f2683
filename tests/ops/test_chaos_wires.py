"""A wire passes bytes on, until it is cut or frozen, and again once it is mended."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from ops.chaos.wires import Wire, Wires, through


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(100):
            self.request.sendall(data)


@pytest.fixture
def port() -> Iterator[int]:
    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), _Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def connect(wires: Wires) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", wires.ports["w"]), 30)
    connection.settimeout(30)
    return connection


def ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_what_goes_in_comes_out(port: int) -> None:
    with Wires(f"amqp://u:p@127.0.0.1:{port}/v", ["w"]) as wires, connect(wires) as connection:
        connection.sendall(b"hello")
        assert connection.recv(100) == b"hello"


def test_a_cut_wire_drops_its_connections_and_takes_none_until_it_is_mended(port: int) -> None:
    with Wires(f"amqp://127.0.0.1:{port}", ["w"]) as wires:
        with connect(wires) as connection:
            connection.sendall(b"hello")
            assert connection.recv(100) == b"hello"
            wires.cut("w")
            assert ended(connection)
        with pytest.raises(ConnectionRefusedError):
            connect(wires)
        before = wires.ports["w"]
        wires.mend("w")
        assert wires.ports["w"] == before
        with connect(wires) as connection:
            connection.sendall(b"again")
            assert connection.recv(100) == b"again"


def test_a_frozen_wire_keeps_what_was_sent_and_passes_it_on_when_it_is_mended(port: int) -> None:
    with Wires(f"amqp://127.0.0.1:{port}", ["w"]) as wires, connect(wires) as connection:
        wires.freeze("w")
        connection.sendall(b"later")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        connection.settimeout(30)
        wires.mend("w")
        assert connection.recv(100) == b"later"


async def test_a_wire_frozen_in_one_direction_says_so_when_it_holds_something(port: int) -> None:
    async with Wire(f"amqp://127.0.0.1:{port}") as wire, asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        await wire.freeze("back")
        writer.write(b"hello")
        await wire.held.wait()
        await wire.mend()
        assert await reader.readexactly(5) == b"hello"
        assert not wire.held.is_set()
        writer.close()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("amqp://u:p%2Fq@broker/v%2Fw", "amqp://u:p%2Fq@127.0.0.1:4711/v%2Fw"),
        ("amqp://u:p@one:1,two:2/v?heartbeat=5", "amqp://u:p@127.0.0.1:4711/v?heartbeat=5"),
        ("amqp://broker", "amqp://127.0.0.1:4711"),
    ],
)
def test_an_address_through_a_wire_differs_in_the_host_alone(address: str, expected: str) -> None:
    assert through(address, 4711).rstrip("/") == expected
