"""Free ports on loopback, and the questions that show whether a server is ready."""

from __future__ import annotations

import contextlib
import random
import socket
import ssl
import struct
import time
from collections.abc import Callable
from pathlib import Path

from ops.stack.errors import StartError

LOOPBACK = "127.0.0.1"

_NO_ENTRY = b"C28000\0"
"""Of PostgreSQL: nothing is wrong with the server."""

# Below the range from which the kernel takes the ports of outgoing connections: none of those can
# slip in between our look and the server's bind.
_PORTS = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with contextlib.ExitStack() as held:
        ports: list[int] = []
        while len(ports) < count:
            probe = held.enter_context(socket.socket())
            port = random.choice(_PORTS)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                ports.append(port)
        return ports


def listens(port: int, host: str = LOOPBACK) -> bool:
    """Whether anybody accepts connections there, now."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.3):
        return True
    return False


def listens_at(path: Path) -> bool:
    """Whether anybody accepts connections at a Unix socket, now."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(0.3)
        probe.connect(str(path))
        return True
    return False


def speaks_amqp(port: int, host: str = LOOPBACK, *, context: ssl.SSLContext | None = None) -> bool:
    """A broker that is still booting takes the connection and says nothing."""
    return _answer(host, port, b"AMQP\x00\x00\x09\x01", context) != b""


def speaks_postgres(port: int, host: str = LOOPBACK) -> bool:
    """A server that is starting up answers with an error, one that is ready asks for a password, or
    says that we may not enter so, without TLS."""
    body = struct.pack(">I", 196_608) + b"user\0postgres\0database\0postgres\0\0"  # protocol 3.0
    answer = _answer(host, port, struct.pack(">I", len(body) + 4) + body)
    return answer.startswith(b"R") or _NO_ENTRY in answer


def wait_until(answers: Callable[[], bool], *, what: str, timeout_s: float = 120) -> None:
    """Wait for a server that is not our child.

    Raises:
        StartError: It took too long.
    """
    deadline = time.monotonic() + timeout_s
    while not answers():
        if time.monotonic() > deadline:
            raise StartError(f"{what} was not ready after {timeout_s:g} s.")
        time.sleep(0.05)


def _answer(host: str, port: int, question: bytes, context: ssl.SSLContext | None = None) -> bytes:
    with contextlib.suppress(OSError), socket.create_connection((host, port), 0.3) as plain:
        plain.settimeout(1)
        with context.wrap_socket(plain, server_hostname=host) if context else plain as connection:
            connection.sendall(question)
            return connection.recv(1024)
    return b""
