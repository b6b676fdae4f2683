"""What an act of the demonstration is: a client, its key, what that pays; and what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.results import SignedItem, SignResult
from contracts.verification import child
from ops.showcase.transactions import Signed, Unsigned

THRESHOLD = 2
PARTY_COUNT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """
    Attributes:
        name: Of the transaction's template.
        what: The transaction, in a word or two.
        paid_by: A public key and the template's name -> the transaction that the key pays for.
        path: From the client's key to the child that pays; None: the key itself does.
    """

    name: str
    what: str
    paid_by: Callable[[bytes, str], Unsigned]
    path: str | None = None

    def unsigned(self, key: CertifiedKey) -> Unsigned:
        """The transaction with the key, or its child at the path, as the payer."""
        payer = key.facts.public_key
        if self.path is not None:
            payer = child(key.facts, self.path).public_key
        return self.paid_by(payer, self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    Attributes:
        client: Its name in the deployment.
    """

    client: str
    key_id: str
    curve: Curve
    payments: tuple[Payment, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one payment of an act."""

    act: Act
    payment: Payment
    key: CertifiedKey
    unsigned: Unsigned
    result: SignResult
    signed: Signed
    """Accepted by the library that `unsigned` names."""

    @property
    def signature(self) -> SignedItem:
        """The one signature that there is."""
        (signature,) = self.result.signed
        return signature
