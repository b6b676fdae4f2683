"""Callers with bad manners, in a process of their own: `python -m ops.bench.attackers NAME`.

The first line of standard input says where, as JSON; its end is the end of the attack. What came of
it goes to standard output. They yield to everybody else on this machine: elsewhere, they would have
a machine of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import uvloop

from ops.stack.sockets import LOOPBACK

NICENESS = 15
DRIBBLE_S = 0.5
DRIBBLERS = 400
IDLE = 1000
REQUESTS = 2000
CONNECTIONS = 200
HUGE_BYTES = 100 * 2**20
HUGE_CALLERS = 4
_CHUNK = bytes(65_536)
_ANSWER_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Target:
    """
    Attributes:
        path: Of an account's sign, with a key that is the attackers' own.
    """

    url: str
    api_key: str = field(repr=False)
    path: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    def head(self, *headers: str) -> bytes:
        """The head of a request that signs, with these headers besides."""
        lines = [f"POST {self.path} HTTP/1.1", "Host: gateway", f"X-API-Key: {self.api_key}"]
        return "\r\n".join([*lines, "Content-Type: application/json", *headers, "", ""]).encode()


@dataclass(slots=True)
class Attack:
    """One kind of bad manners, and what became of it."""

    target: Target
    seen: Counter[str] = field(default_factory=Counter)
    """Status of an answer, or "closed" without one."""

    async def again_and_again(self, once: Callable[[], Awaitable[None]]) -> None:
        """Do it until cancelled; what the gateway cuts off is begun anew."""
        while True:
            with contextlib.suppress(OSError, EOFError):
                await once()
            await asyncio.sleep(0.05)

    async def connection(self, sending: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
        """Until it is closed by the other end."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.target.port)
        sends = asyncio.create_task(_whatever_happens(sending(writer)))
        try:
            answer = await reader.read(_ANSWER_BYTES)
            self.seen[answer.split(b" ", 2)[1].decode() if answer else "closed"] += 1
            if answer:
                await reader.read()
        finally:
            sends.cancel()
            writer.transport.abort()

    async def slow(self) -> None:
        """Half of them dribble their headers, the others their bodies."""

        async def dribble(writer: asyncio.StreamWriter, first: bytes, rest: bytes) -> None:
            writer.write(first)
            for i in range(len(rest)):
                await asyncio.sleep(DRIBBLE_S)
                writer.write(rest[i : i + 1])

        head = self.target.head("Content-Length: 1000")
        cuts = (10, len(head))
        await asyncio.gather(
            *(
                self.again_and_again(
                    lambda cut=cuts[i % 2]: self.connection(  # type: ignore[misc]
                        lambda writer: dribble(writer, head[:cut], (head + b" " * 1000)[cut:])
                    )
                )
                for i in range(DRIBBLERS)
            )
        )

    async def huge(self) -> None:
        """A hundred megabytes each, of a length that is told or not."""

        async def told(writer: asyncio.StreamWriter) -> None:
            writer.write(self.target.head(f"Content-Length: {HUGE_BYTES}"))
            for _ in range(HUGE_BYTES // len(_CHUNK)):
                writer.write(_CHUNK)
                await writer.drain()

        async def untold(writer: asyncio.StreamWriter) -> None:
            writer.write(self.target.head("Transfer-Encoding: chunked"))
            for _ in range(HUGE_BYTES // len(_CHUNK)):
                writer.write(f"{len(_CHUNK):x}\r\n".encode() + _CHUNK + b"\r\n")
                await writer.drain()

        await asyncio.gather(
            *(
                self.again_and_again(
                    lambda each=(told, untold)[i % 2]: self.connection(each)  # type: ignore[misc]
                )
                for i in range(HUGE_CALLERS)
            )
        )

    async def idle(self) -> None:
        """Connections on which nothing is said."""

        async def nothing(_: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        await asyncio.gather(
            *(self.again_and_again(lambda: self.connection(nothing)) for _ in range(IDLE))
        )

    async def burst(self) -> None:
        """Requests of one key, as fast as they are answered, once."""
        body = b'{"message": "aGVsbG8="}'
        request = self.target.head(f"Content-Length: {len(body)}") + body
        left = iter(range(REQUESTS))

        async def lane() -> None:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.target.port)
            for _ in left:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
                await reader.readexactly(int(length))
                self.seen[head.split(b" ", 2)[1].decode()] += 1
            writer.close()

        await asyncio.gather(*(_whatever_happens(lane()) for _ in range(CONNECTIONS)))


ATTACKS: Mapping[str, Callable[[Attack], Awaitable[None]]] = {
    "slow callers": Attack.slow,
    "huge bodies": Attack.huge,
    "idle connections": Attack.idle,
    "burst": Attack.burst,
}


async def _whatever_happens(work: Awaitable[None]) -> None:
    with contextlib.suppress(OSError, EOFError):
        await work


async def _attack(name: str) -> Counter[str]:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    attack = Attack(Target(**json.loads(await reader.readline())))
    attacking = asyncio.ensure_future(ATTACKS[name](attack))
    await reader.read()
    attacking.cancel()
    await asyncio.gather(attacking, return_exceptions=True)
    return attack.seen


if __name__ == "__main__":
    os.nice(NICENESS)
    sys.stdout.write(json.dumps(uvloop.run(_attack(sys.argv[1]))))
