"""An Ethereum transfer whose payer is our key: encoded, hashed and read again by `eth-account`.

Its curve arithmetic is libsecp256k1's, as ours is. For ECDSA by other arithmetic see `bitcoin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any, Self

from eth_account import Account
from eth_account.typed_transactions.dynamic_fee_transaction import DynamicFeeTransaction
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.exceptions import BadSignature
from eth_rlp import HashableRLP
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from contracts.primitives import Scheme
from contracts.results import SignedItem
from contracts.wallets import ethereum_address
from ops.showcase.errors import RefusedError
from ops.showcase.transactions import template


class _Unsigned(HashableRLP):
    """The nine fields of EIP-1559 that are signed."""

    fields = DynamicFeeTransaction.unsigned_transaction_fields


@dataclass(frozen=True, slots=True)
class EthereumTransaction:
    """Implements `transactions.Unsigned`.

    Attributes:
        unsigned: The type byte 2, and nine fields in RLP.
        address: The payer's, by our own reckoning. The transaction does not name the payer.
    """

    unsigned: bytes
    address: str
    summary: str
    verifier = f"eth-account {metadata.version('eth-account')}"
    scheme = Scheme.ECDSA
    taproot_merkle_root = None

    @classmethod
    def paid_by(cls, public_key: bytes, name: str) -> Self:
        """The template of that name, for our key to pay.

        Arguments:
            public_key: Compressed, 33 bytes.
        """
        content = template(name)
        unsigned = bytes.fromhex(content["unsigned_transaction"])
        return cls(unsigned, ethereum_address(public_key), content["summary"])

    @property
    def message(self) -> bytes:
        """The hash that EIP-1559 has signed."""
        return TypedTransaction.from_dict(self._fields()).hash()

    def signed(self, signature: SignedItem) -> SignedTransaction:
        """Raises RefusedError unless another library recovers the payer from it."""
        forms = signature.ecdsa
        assert forms is not None
        vrs = {
            "v": forms.recovery_id,
            "r": int.from_bytes(forms.r),
            "s": int.from_bytes(forms.s),
        }
        try:
            raw = TypedTransaction.from_dict(self._fields() | vrs).encode()
            # From the bytes alone, as a node would receive them: to their hash and signature
            # there is only one key.
            payer = Account.recover_transaction(raw)
        except (BadSignature, ValidationError, TypeError, ValueError) as error:
            raise RefusedError(f"eth-account refuses the transaction: {error}") from None
        if payer != self.address:
            raise RefusedError(f"eth-account finds that {payer} pays, not {self.address}")
        return SignedTransaction(raw)

    def _fields(self) -> dict[str, Any]:
        """By the names that `eth-account` has for them."""
        fields: dict[str, Any] = _Unsigned.from_bytes(self.unsigned[1:]).as_dict()
        return fields | {"type": self.unsigned[0]}


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Implements `transactions.Signed`."""

    raw: bytes

    @property
    def transaction_id(self) -> str:
        """The hash by which the network would know it."""
        return f"0x{keccak(self.raw).hex()}"
