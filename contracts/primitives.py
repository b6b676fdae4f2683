"""The constrained types that every contract is made of."""

from __future__ import annotations

import base64
import binascii
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from . import derivation

VERSION = 1
"""Of the contracts on this page and its neighbours; a message of another version is refused."""

MAX_PARTIES = 20
MAX_MESSAGE_BYTES = 65_536
MAX_ITEMS = 256
"""Messages of one signing request."""
MAX_BODY_BYTES = 262_144
"""Of one AMQP message between producers and the coordinator."""

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


class Contract(BaseModel):
    """Unknown fields and converted types are errors; instances do not change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,  # so the generated schemas say what the fields mean
        hide_input_in_errors=True,  # it may be a secret, and errors are logged
    )


def _a_number(value: Any) -> Any:
    # In Python 1 == True == 1.0, and a literal compares.
    if type(value) is not int:
        raise ValueError(f"must be the number {VERSION}")
    return value


Version = Annotated[Literal[1], BeforeValidator(_a_number)]


class Versioned(Contract):
    """A message with a `version`, which may be left out in Python and stands in JSON always."""

    @model_validator(mode="after")
    def _said(self, info: ValidationInfo) -> Versioned:
        if info.mode == "json" and "version" not in self.model_fields_set:
            raise ValueError(f"version is missing; it must be the number {VERSION}")
        return self


class Curve(StrEnum):
    """The group that a key is in."""

    ED25519 = "ed25519"
    SECP256K1 = "secp256k1"


class Scheme(StrEnum):
    """How a signature is made and what verifies it."""

    ED25519 = "ed25519"
    """RFC 8032, by FROST(Ed25519, SHA-512)."""
    BIP340 = "bip340"
    """BIP-340 over a 32-byte digest, by frost-secp256k1-tr."""
    SECP256K1 = "secp256k1"
    """RFC 9591 FROST(secp256k1, SHA-256)."""
    ECDSA = "ecdsa"
    """ECDSA on secp256k1 over a 32-byte digest, low s, by DKLs23."""

    @property
    def curve(self) -> Curve:
        """The curve of the keys that sign in this scheme."""
        return Curve.ED25519 if self is Scheme.ED25519 else Curve.SECP256K1

    @property
    def message_size(self) -> int | None:
        """Bytes that a message must have, None where any size from 1 is signed."""
        return 32 if self in {Scheme.BIP340, Scheme.ECDSA} else None


class DeleteAfter(StrEnum):
    """When former holders delete what they have of an epoch that is over."""

    BACKED_UP = "backed_up"
    """Who holds a share of the new one: when that stands in a backup of its, or its own limit, a
    day at most, has passed. Until then it signs nothing with the old one. Who holds none: at
    once."""
    CERTIFIED = "certified"
    """All of them at once."""


class Status(StrEnum):
    """The state of a session; the last four are final."""

    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can change the session any more."""
        return self not in {Status.WAITING, Status.IN_PROGRESS}


class Scope(StrEnum):
    """What an API key lets whoever shows it do at a gateway."""

    KEYGEN = "keygen"
    """Make keys and accounts."""
    SIGN = "sign"
    RESHARE = "reshare"
    """Say who holds the shares of keys and accounts, and how many of them sign."""
    JOIN = "join"
    CANCEL = "cancel"
    CONFIGURE = "configure"
    """Say which parties sign for an account."""
    READ = "read"
    """See accounts, sessions and their results."""


def _from_hex(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value != value.lower() or not value.isascii():
        raise ValueError("hex digits must be lower case")
    try:
        return binascii.unhexlify(value)
    except binascii.Error:
        raise ValueError("not an even number of hex digits") from None


def _from_base64(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("not base64") from None


def _to_base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _hex(size: int | None) -> Any:
    digits = "*" if size is None else f"{{{size}}}"
    return WithJsonSchema({"type": "string", "pattern": f"^([0-9a-f]{{2}}){digits}$"})


def _derivable(path: str) -> str:
    derivation.parse_path(path)
    return path


Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
"""Of a client, request, key or party. Compared exactly, never rewritten."""

Words = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,128}$")]
"""What a caller calls something, in any script: kept and given back, never read."""

Hex = Annotated[bytes, BeforeValidator(_from_hex), PlainSerializer(bytes.hex), _hex(None)]
"""Bytes, as lower-case hex digits on paper."""

Hex32 = Annotated[
    bytes,
    BeforeValidator(_from_hex),
    Field(min_length=32, max_length=32),
    PlainSerializer(bytes.hex),
    _hex(32),
]
"""32 bytes, as 64 lower-case hex digits on paper."""

SessionId = Hex32
"""Of one execution of a protocol; never used twice."""

Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    PlainSerializer(_to_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
"""Bytes, as standard base64 with padding on paper."""

DerivationPath = Annotated[
    str, StringConstraints(pattern=r"^m(/(0|[1-9][0-9]{0,9})){1,16}$"), AfterValidator(_derivable)
]
"""A BIP-32 path from the key, e.g. ``m/0/7``. None of its steps is hardened: that would take the
private key, which nobody has."""

UnixMillis = Annotated[int, Field(ge=0, lt=2**53)]
"""UTC, in milliseconds since 1970."""


class Owner(Contract):
    """Whose keys and requests: a client, or one of those that it serves. Each owner's key ids and
    request ids are a world of their own."""

    client_id: Id | None
    tenant: Id | None = None

    @property
    def name(self) -> str:
        """No two owners are written alike: ids have no slash."""
        client = self.client_id or ""
        return client if self.tenant is None else f"{client}/{self.tenant}"
