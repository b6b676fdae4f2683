"""Whom parties and clients believe to be the coordinator: identities, each in its time.

Pinned in their configuration, and changed only there. During a rotation there are two:

[[coordinators]]
public_key = "MFkwEwYHKoZIzj0CAQYIKoZI..."
valid_until = 2027-03-01T00:00:00Z          # optional, as valid_from is
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, model_validator

from .errors import ContractError, UnauthenticatedError
from .identity import Identity, PublicIdentity
from .primitives import MAX_BODY_BYTES
from .signing import SIGNATURE_HEADER, signature_of

RESULT_TAG = b"warren/result/v1"
MAX_RESULT_BYTES = 8 * MAX_BODY_BYTES
"""2 MiB. The largest tells of a session, with its request and its result."""

MISSING = (
    "no [[coordinators]]: without the coordinator's public key nothing that it says can be "
    "believed. Add a table [[coordinators]] with its public_key (`warren identity new` showed it)"
)
"""What a file lacks that pins nobody, and what to do."""


class PinSection(BaseModel):
    """One identity of the coordinator, in the configuration of whoever believes it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    public_key: str
    """Base64 DER SubjectPublicKeyInfo."""
    valid_from: AwareDatetime | None = None
    valid_until: AwareDatetime | None = None

    @model_validator(mode="after")
    def _ordered(self) -> PinSection:
        if self.valid_from and self.valid_until and self.valid_until <= self.valid_from:
            raise ValueError("valid_until must be later than valid_from")
        return self

    def pin(self) -> Pin:
        """Raises ContractError if the public key is none."""
        return Pin(
            PublicIdentity.from_base64(self.public_key),
            None if self.valid_from is None else int(self.valid_from.timestamp() * 1000),
            None if self.valid_until is None else int(self.valid_until.timestamp() * 1000),
        )


@dataclass(frozen=True, slots=True)
class Pin:
    """
    Attributes:
        valid_from, valid_until: Unix milliseconds; None: always.
    """

    identity: PublicIdentity
    valid_from: int | None = None
    valid_until: int | None = None

    def valid(self, now: int) -> bool:
        return (self.valid_from is None or self.valid_from <= now) and (
            self.valid_until is None or now < self.valid_until
        )


class Coordinators:
    """All that one believes; any of them may have signed."""

    def __init__(self, pins: Iterable[Pin]) -> None:
        self._pins = tuple(pins)

    @classmethod
    def of(cls, *identities: PublicIdentity) -> Coordinators:
        """Those, at all times."""
        return cls(map(Pin, identities))

    @classmethod
    def pinned(cls, sections: Sequence[PinSection]) -> Coordinators:
        """As a configuration file has it. Raises ContractError with what is wrong there."""
        if not sections:
            raise ContractError(MISSING)
        try:
            return cls([section.pin() for section in sections])
        except ContractError as error:
            raise ContractError(f"coordinators: public_key: {error}") from None

    def verify(self, tag: bytes, data: bytes, signature: bytes, *, now: int) -> PublicIdentity:
        """Whose signature it is.

        Arguments:
            now: Unix milliseconds.

        Raises:
            UnauthenticatedError: nobody's whom we believe, or not at this time.
        """
        # Those whose time it is first: the others only tell why it is refused.
        for pin in sorted(self._pins, key=lambda pin: not pin.valid(now)):
            try:
                pin.identity.verify(tag, data, signature)
            except UnauthenticatedError:
                continue
            if not pin.valid(now):
                raise UnauthenticatedError(
                    "signed by an identity of the coordinator's that is not valid now",
                    kind="other_time",
                )
            return pin.identity
        raise UnauthenticatedError(
            "not signed by the coordinator, as far as our configuration knows it",
            kind="wrong_signature",
        )

    def check_result(self, body: bytes, headers: Mapping[str, Any], *, now: int) -> None:
        """Raises UnauthenticatedError unless the coordinator says this to a client. What costs less
        to find out is asked first."""
        if len(body) > MAX_RESULT_BYTES:
            raise UnauthenticatedError(
                f"{len(body)} bytes; a result has at most {MAX_RESULT_BYTES}", kind="malformed"
            )
        self.verify(RESULT_TAG, body, signature_of(headers), now=now)


def result_headers(body: bytes, identity: Identity) -> dict[str, str]:
    """What shows a client that the coordinator says this."""
    return {SIGNATURE_HEADER: base64.b64encode(identity.sign(RESULT_TAG, body)).decode()}
