"""A Bitcoin transaction that spends a taproot output of our key, by `btclib`: its sighash, its
script engine, its own arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Self

from btclib.exceptions import BTClibValueError
from btclib.key import PubKeyData
from btclib.script import sig_hash
from btclib.script.engine import verify_transaction
from btclib.script.script_pub_key import ScriptPubKey
from btclib.script.witness import Witness
from btclib.tx.tx import Tx
from btclib.tx.tx_out import TxOut

from contracts.primitives import Scheme
from ops.showcase.errors import RefusedError
from ops.showcase.transactions import template

_SIGHASH_DEFAULT = 0
_KEY_PATH = 0
"""BIP-341's ext_flag."""


@dataclass(frozen=True, slots=True)
class TaprootSpend:
    """Implements `transactions.Unsigned` and, once signed, `transactions.Signed`.

    Attributes:
        raw: The transaction, serialized.
        spent: The output that its only input spends.
    """

    raw: bytes
    spent: TxOut
    summary: str
    verifier = f"btclib {metadata.version('btclib')}"
    scheme = Scheme.BIP340
    taproot_merkle_root = b""  # the output has no scripts

    @classmethod
    def paid_by(cls, public_key: bytes, name: str) -> Self:
        """The template of that name, with our key behind the output that it spends.

        Arguments:
            public_key: The internal key, compressed (33 bytes). BIP-341 reads its x alone.
        """
        content = template(name)
        internal = PubKeyData(b"\x02" + public_key[1:])
        # For tests only, so that nobody sends money to a key that is gone when the demo ends.
        script = ScriptPubKey.p2tr(internal, network="regtest")
        spent = TxOut(content["spent_value"], script)
        return cls(bytes.fromhex(content["unsigned_transaction"]), spent, content["summary"])

    @property
    def address(self) -> str:
        return self.spent.script_pub_key.address

    @property
    def message(self) -> bytes:
        return sig_hash.taproot(
            Tx.parse(self.raw), 0, [self.spent], _SIGHASH_DEFAULT, _KEY_PATH, b"", b""
        )

    @property
    def transaction_id(self) -> str:
        return Tx.parse(self.raw).id.hex()

    def signed(self, signature: bytes) -> Self:
        transaction = Tx.parse(self.raw)
        transaction.vin[0].script_witness = Witness([signature])
        raw = transaction.serialize(include_witness=True)
        try:
            # Amounts, script and signature, from the bytes as a node would receive them.
            verify_transaction([self.spent], Tx.parse(raw))
        except BTClibValueError as error:
            raise RefusedError(f"btclib refuses the transaction: {error}") from None
        return type(self)(raw, self.spent, self.summary)
