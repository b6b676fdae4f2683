"""A Solana transfer whose payer is our key, put together and verified by `solders`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Self

from solders.message import Message
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, Transaction, TransactionError

from contracts.primitives import Scheme
from contracts.results import SignedItem
from ops.showcase.errors import RefusedError
from ops.showcase.transactions import template


@dataclass(frozen=True, slots=True)
class SolanaTransaction:
    """Implements `transactions.Unsigned` and, once signed, `transactions.Signed`."""

    transaction: Transaction
    summary: str
    verifier = f"solders {metadata.version('solders')}"
    scheme = Scheme.ED25519
    taproot_merkle_root = None

    @classmethod
    def paid_by(cls, public_key: bytes, name: str) -> Self:
        """The template of that name with our key in the payer's place."""
        content = template(name)
        unsigned = Transaction.from_bytes(bytes.fromhex(content["unsigned_transaction"]))
        message, header = unsigned.message, unsigned.message.header
        paid = Message.new_with_compiled_instructions(
            header.num_required_signatures,
            header.num_readonly_signed_accounts,
            header.num_readonly_unsigned_accounts,
            [Pubkey(public_key), *message.account_keys[1:]],
            message.recent_blockhash,
            message.instructions,
        )
        return cls(Transaction.new_unsigned(paid), content["summary"])

    @property
    def address(self) -> str:
        """The payer's."""
        return str(self.transaction.message.account_keys[0])

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return bytes(self.transaction.message)

    @property
    def raw(self) -> bytes:
        """Serialized, with an empty place for the signature until it is signed."""
        return bytes(self.transaction)

    @property
    def transaction_id(self) -> str:
        """On Solana: the payer's signature."""
        return str(self.transaction.signatures[0])

    def signed(self, signature: SignedItem) -> Self:
        """Raises RefusedError unless another library verifies it."""
        signatures = [Signature(signature.signature)]
        filled = Transaction.populate(self.transaction.message, signatures)
        # Verified as a node would: from the bytes alone.
        received = Transaction.from_bytes(bytes(filled))
        try:
            received.sanitize()
            received.verify()
        except (TransactionError, SanitizeError) as error:
            raise RefusedError(f"solders refuses the transaction: {error}") from None
        return type(self)(received, self.summary)
