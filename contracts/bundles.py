"""Several messages in one: what leaves in one moment for one queue, as one message of AMQP.

Each message costs the broker and both its ends about the same, however small it is. A bundle is
only how its parts travel: nobody signs it, and each part is believed, refused and remembered as if
it had come alone. Its body is the length of the head as 4 big-endian bytes, the head (JSON, see
`Head`), and the parts' bodies one behind the other. The bundle's AMQP type is `bundle`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from . import strict_json
from .encoding import LENGTH_BYTES
from .errors import ContractError, UnauthenticatedError
from .primitives import Contract, Version, Versioned
from .signing import explain

CONTENT_TYPE = "application/vnd.warren.bundle"
KIND = "bundle"
"""AMQP ``type``."""
MAX_PARTS = 32
MAX_BYTES = 262_144
"""Head and bodies together."""

ShortString = Annotated[str, Field(max_length=255)]


class PartHead(Contract):
    """What AMQP would say of the part if it travelled alone."""

    message_id: ShortString
    type: ShortString
    content_type: ShortString
    headers: dict[str, str]
    length: int = Field(ge=0, le=MAX_BYTES)
    """Of its body, in bytes."""


class Head(Versioned):
    """What a bundle begins with."""

    version: Version = 1
    parts: list[PartHead] = Field(min_length=1, max_length=MAX_PARTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One message of a bundle. It has the bundle's exchange and routing key."""

    message_id: str
    kind: str
    """AMQP ``type``."""
    content_type: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


_HEAD = TypeAdapter(Head)
_BEGIN, _END = b'{"version":1,"parts":[', b"]}"
_AROUND = LENGTH_BYTES + len(_BEGIN) + len(_END)


class Packing:
    """A bundle while parts are put into it, as many as there is room for."""

    def __init__(self) -> None:
        self._heads: list[bytes] = []
        self._bodies: list[bytes] = []
        self._size = _AROUND

    def add(self, part: Part) -> bool:
        """False, and it stays outside, if there is no room for it."""
        head = json.dumps(
            {
                "message_id": part.message_id,
                "type": part.kind,
                "content_type": part.content_type,
                "headers": dict(part.headers),
                "length": len(part.body),
            },
            separators=(",", ":"),
        ).encode()
        size = self._size + bool(self._heads) + len(head) + len(part.body)
        if len(self._heads) == MAX_PARTS or size > MAX_BYTES:
            return False
        self._heads.append(head)
        self._bodies.append(part.body)
        self._size = size
        return True

    def body(self) -> bytes:
        """The message's, as it leaves."""
        head = _BEGIN + b",".join(self._heads) + _END
        return b"".join((len(head).to_bytes(LENGTH_BYTES), head, *self._bodies))


def pack(parts: Sequence[Part]) -> bytes:
    """Raises ValueError where they have no room in one bundle."""
    packing = Packing()
    if not parts or not all(packing.add(part) for part in parts):
        raise ValueError(f"{len(parts)} messages do not fit into one bundle")
    return packing.body()


def unpack(body: bytes) -> tuple[Part, ...]:
    """The parts. Raises UnauthenticatedError: it is no bundle, whoever sent it."""
    if len(body) > MAX_BYTES:
        raise _malformed(f"{len(body)} bytes; a bundle has at most {MAX_BYTES}")
    at = LENGTH_BYTES + int.from_bytes(body[:LENGTH_BYTES])
    if at > len(body):
        raise _malformed("its head is longer than the message")
    try:
        head = strict_json.validated(_HEAD, body[LENGTH_BYTES:at])
    except (ValidationError, ContractError) as error:
        raise _malformed(f"its head does not fit: {explain(error)}") from None
    if sum(part.length for part in head.parts) != len(body) - at:
        raise _malformed("its parts are not as long together as its head says")
    parts = []
    for told_of in head.parts:
        if told_of.content_type == CONTENT_TYPE:
            raise _malformed("a bundle in a bundle")
        parts.append(
            Part(
                message_id=told_of.message_id,
                kind=told_of.type,
                content_type=told_of.content_type,
                headers=told_of.headers,
                body=body[at : at + told_of.length],
            )
        )
        at += told_of.length
    return tuple(parts)


def _malformed(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"no bundle: {reason}", kind="malformed")
