"""Bitcoin transactions that spend outputs of our keys, by `btclib`: its sighashes, its script
engine, its own arithmetic."""

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
from contracts.results import SignedItem
from ops.showcase.errors import RefusedError
from ops.showcase.transactions import template

_NETWORK = "regtest"
"""For tests only, so that nobody sends money to a key that is gone when the demo ends."""
_KEY_PATH = 0
"""BIP-341's ext_flag."""


@dataclass(frozen=True, slots=True)
class _Spend:
    """What all spends of a single output share.

    Attributes:
        raw: The transaction, serialized.
        spent: The output that its only input spends.
    """

    raw: bytes
    spent: TxOut
    summary: str
    verifier = f"btclib {metadata.version('btclib')}"

    @classmethod
    def _of(cls, script: ScriptPubKey, name: str) -> Self:
        """The template of that name, with our script on the output that it spends."""
        content = template(name)
        spent = TxOut(content["spent_value"], script)
        return cls(bytes.fromhex(content["unsigned_transaction"]), spent, content["summary"])

    @property
    def address(self) -> str:
        return self.spent.script_pub_key.address

    @property
    def transaction_id(self) -> str:
        return Tx.parse(self.raw).id.hex()

    def _with_witness(self, *stack: bytes) -> Self:
        transaction = Tx.parse(self.raw)
        transaction.vin[0].script_witness = Witness(list(stack))
        raw = transaction.serialize(include_witness=True)
        try:
            # Amounts, script and signature, from the bytes as a node would receive them.
            verify_transaction([self.spent], Tx.parse(raw))
        except BTClibValueError as error:
            raise RefusedError(f"btclib refuses the transaction: {error}") from None
        return type(self)(raw, self.spent, self.summary)


@dataclass(frozen=True, slots=True)
class TaprootSpend(_Spend):
    """Implements `transactions.Unsigned` and, once signed, `transactions.Signed`."""

    scheme = Scheme.BIP340
    taproot_merkle_root = b""  # the output has no scripts

    @classmethod
    def paid_by(cls, public_key: bytes, name: str) -> Self:
        """The template of that name, with our key behind the output that it spends.

        Arguments:
            public_key: The internal key, compressed (33 bytes). BIP-341 reads its x alone.
        """
        internal = PubKeyData(b"\x02" + public_key[1:])
        return cls._of(ScriptPubKey.p2tr(internal, network=_NETWORK), name)

    @property
    def message(self) -> bytes:
        """What BIP-341 has signed: for the key path, all inputs and outputs."""
        transaction, outputs = Tx.parse(self.raw), [self.spent]
        return sig_hash.taproot(transaction, 0, outputs, sig_hash.DEFAULT, _KEY_PATH, b"", b"")

    def signed(self, signature: SignedItem) -> Self:
        """Raises RefusedError unless the interpreter of another library accepts it."""
        return self._with_witness(signature.signature)


@dataclass(frozen=True, slots=True)
class SegwitSpend(_Spend):
    """Of a P2WPKH output. Implements `transactions.Unsigned` and, once signed,
    `transactions.Signed`."""

    scheme = Scheme.ECDSA
    taproot_merkle_root = None

    @classmethod
    def paid_by(cls, public_key: bytes, name: str) -> Self:
        """The template of that name, with our key's hash on the output that it spends.

        Arguments:
            public_key: Compressed, 33 bytes.
        """
        return cls._of(ScriptPubKey.p2wpkh(PubKeyData(public_key, _NETWORK)), name)

    @property
    def message(self) -> bytes:
        """BIP-143's hash, over the amount spent too."""
        return sig_hash.from_tx([self.spent], Tx.parse(self.raw), 0, sig_hash.ALL)

    def signed(self, signature: SignedItem) -> Self:
        """Raises RefusedError unless the interpreter of another library accepts it."""
        assert signature.ecdsa is not None
        hash_type = sig_hash.ALL.to_bytes(1)
        return self._with_witness(signature.ecdsa.der + hash_type, signature.public_key)
