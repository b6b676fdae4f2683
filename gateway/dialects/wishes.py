"""What is asked for, in the fields that all dialects share."""

from __future__ import annotations

import hashlib

from pydantic import ConfigDict, Field, model_validator

from contracts.keys import KeyFacts, check_schemes
from contracts.primitives import Curve, DerivationPath, Scheme

from .alternatives import ONE_MESSAGE
from .encodings import Encoding
from .fields import Body, Message, MessageHash, Participant, Participants, PartyCount
from .refusals import invalid


class NewKey(Body):
    """What every key to be made needs saying."""

    curve: Curve = Curve.SECP256K1
    """`secp256k1` (Bitcoin, Ethereum) or `ed25519` (Solana). Left out: `secp256k1`."""
    participants: Participants | None = None
    """Who shall hold a share, as many as `threshold_n`. Left out: the service chooses."""
    schemes: list[Scheme] | None = Field(default=None, min_length=1, max_length=len(Scheme))
    """What the key may sign, and nothing else for ever. Left out: all that its curve has."""

    @model_validator(mode="after")
    def _schemes(self) -> NewKey:
        if self.schemes is not None:
            check_schemes(self.curve, sorted(set(self.schemes)))
        return self


class NewThresholdKey(NewKey):
    """A key to be made, with how many hold shares and how many sign."""

    threshold_n: PartyCount
    """How many parties hold a share of the key."""
    threshold_t: PartyCount
    """How many of them sign."""

    @model_validator(mode="after")
    def _fits(self) -> NewThresholdKey:
        check_thresholds(self.threshold_n, self.threshold_t, self.participants)
        return self


def check_thresholds(
    threshold_n: int, threshold_t: int, participants: list[Participant] | None
) -> None:
    """Raises ValueError unless the numbers and the list of participants fit each other."""
    if threshold_t > threshold_n:
        raise ValueError(
            f"threshold_t {threshold_t} is more than threshold_n {threshold_n}: threshold_t is how "
            "many sign, threshold_n how many hold a share"
        )
    if participants is not None and len(participants) != threshold_n:
        raise ValueError(
            f"participants names {len(participants)} parties and threshold_n is {threshold_n}; "
            "name all of them, or leave participants out"
        )


class Signature(Body):
    """What is to be signed and how. Exactly one of `message_hash` and `message`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_MESSAGE]})

    message_hash: MessageHash | None = None
    """Hex, with or without 0x: signed as it is. 32 bytes for `ecdsa` and `bip340`."""
    message_encoding: Encoding | None = None
    """How `message` is written. Left out: `base64`, and what looks like hex or text is refused."""
    message: Message | None = None
    """Base64, unless `message_encoding` says otherwise. `ecdsa` and `bip340` sign its SHA-256, the
    other schemes the bytes themselves."""
    scheme: Scheme | None = None
    """Left out: `ecdsa` for a key on secp256k1, `ed25519` for one on ed25519, and for a key that
    was made for one scheme that one."""
    derivation_path: DerivationPath | None = Field(default=None, max_length=200)
    """Sign with the BIP-32 child of the key at this path, e.g. `m/0/7`; no step is hardened."""

    @model_validator(mode="after")
    def _one(self) -> Signature:
        if (self.message_hash is None) == (self.message is None):
            raise ValueError(
                "give either message_hash (hex, signed as it is) or message (base64, hashed as "
                "the scheme wants it)"
            )
        if self.message is None and self.message_encoding not in {None, Encoding.HEX}:
            raise ValueError(
                "message_encoding says how message is written, and message_hash is always hex: "
                "send message, or leave message_encoding out"
            )
        return self

    def by(self, facts: KeyFacts) -> tuple[Scheme, bytes]:
        """The scheme and the bytes that it signs with this key. Raises a Problem."""
        scheme = self.scheme or _usual(facts)
        if scheme.curve is not facts.curve:
            raise invalid("scheme", f"{scheme} does not go with a key on {facts.curve}")
        if scheme not in facts.purposes:
            raise invalid("scheme", f"the key was made for {', '.join(facts.purposes)} only")
        if self.derivation_path is not None and facts.curve is not Curve.SECP256K1:
            raise invalid("derivation_path", f"keys on {facts.curve} have no children")
        size = scheme.message_size
        if self.message_hash is not None:
            if size is not None and len(self.message_hash) != size:
                raise invalid(
                    "message_hash",
                    f"{scheme} signs exactly {size} bytes, and it has {len(self.message_hash)}",
                )
            return scheme, self.message_hash
        assert self.message is not None  # by `_one`
        if size is not None:
            return scheme, hashlib.sha256(self.message).digest()
        return scheme, self.message


def _usual(facts: KeyFacts) -> Scheme:
    if len(facts.purposes) == 1:
        return facts.purposes[0]
    return Scheme.ECDSA if facts.curve is Curve.SECP256K1 else Scheme.ED25519


def named_key(key_id: str | None, account_id: str | None) -> str:
    """The one that was given: an account's key has the account's id."""
    if key_id is not None and account_id is None:
        return key_id
    if account_id is not None and key_id is None:
        return account_id
    raise ValueError("give either account_id or key_id")
