"""Transactions without a signature, as the demonstration finds them, and what becomes of them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, Protocol

from contracts.primitives import Scheme
from contracts.results import SignedItem


class Unsigned(Protocol):
    """A complete transaction but for one signature, by libraries that share no code with us."""

    @property
    def verifier(self) -> str:
        """The library, with its version."""

    @property
    def scheme(self) -> Scheme: ...
    @property
    def taproot_merkle_root(self) -> bytes | None: ...
    @property
    def summary(self) -> str:
        """What is paid to whom."""

    @property
    def address(self) -> str:
        """Of the key that pays, as its chain writes it."""

    @property
    def message(self) -> bytes:
        """What is to be signed: for Solana the message's bytes, for the others a hash."""

    def signed(self, signature: SignedItem) -> Signed:
        """Complete it. Raises RefusedError unless the library finds the whole transaction valid."""


class Signed(Protocol):
    @property
    def raw(self) -> bytes:
        """Serialized, as it would be broadcast."""

    @property
    def transaction_id(self) -> str: ...


def template(name: str) -> dict[str, Any]:
    """A file of this folder."""
    text = resources.files(__name__).joinpath(f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
