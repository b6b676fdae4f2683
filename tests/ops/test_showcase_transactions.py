"""The demo's transactions: an honest signature is accepted by the other library, no other is."""

from __future__ import annotations

import hashlib

import pytest
from btclib.script.taproot import output_prvkey
from btclib.tx.tx import Tx
from coincurve import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.transaction import Transaction

from contracts.primitives import Scheme
from contracts.verification import check_signature, verifying_key
from ops.showcase.bitcoin import TaprootSpend
from ops.showcase.errors import RefusedError
from ops.showcase.solana import SolanaTransaction
from ops.showcase.transactions import template

SOLANA_KEY = Keypair.from_seed(hashlib.sha256(b"one machine instead of three parties").digest())
BITCOIN_KEY = PrivateKey(hashlib.sha256(b"one machine instead of three parties").digest())


def solana(name: str = "solana_transfer") -> tuple[SolanaTransaction, bytes]:
    """An unsigned transfer, and the signature that it needs."""
    unsigned = SolanaTransaction.paid_by(bytes(SOLANA_KEY.pubkey()), name)
    return unsigned, bytes(SOLANA_KEY.sign_message(unsigned.message))


def bitcoin() -> tuple[TaprootSpend, bytes]:
    unsigned = TaprootSpend.paid_by(BITCOIN_KEY.public_key.format(), "bitcoin_taproot")
    tweaked = PrivateKey(output_prvkey(BITCOIN_KEY.to_int()).to_bytes(32))
    return unsigned, tweaked.sign_schnorr(unsigned.message)


@pytest.mark.parametrize("name", ["solana_transfer", "solana_memo"])
def test_a_solana_transaction_with_the_payers_signature_is_accepted(name: str) -> None:
    unsigned, signature = solana(name)
    signed = unsigned.signed(signature)
    assert Transaction.from_bytes(signed.raw).is_signed()
    assert signed.address == str(SOLANA_KEY.pubkey())
    assert signed.message == unsigned.message


def test_only_the_payer_differs_from_the_solana_template() -> None:
    raw = bytes.fromhex(template("solana_transfer")["unsigned_transaction"])
    placeholder = bytes(Transaction.from_bytes(raw).message.account_keys[0])
    unsigned, _ = solana()
    assert unsigned.raw == raw.replace(placeholder, bytes(SOLANA_KEY.pubkey()))


def test_a_bitcoin_transaction_with_the_output_keys_signature_is_accepted() -> None:
    unsigned, signature = bitcoin()
    signed = unsigned.signed(signature)
    assert Tx.parse(signed.raw).vin[0].script_witness.stack == (signature,)
    assert signed.transaction_id == unsigned.transaction_id  # the id leaves witnesses out


def test_the_bitcoin_signature_is_one_by_our_own_rules_too() -> None:
    unsigned, signature = bitcoin()
    output_key = verifying_key(BITCOIN_KEY.public_key.format(), Scheme.BIP340, b"")
    assert unsigned.spent.script_pub_key.script == b"\x51\x20" + output_key
    check_signature(Scheme.BIP340, output_key, unsigned.message, signature)


def test_a_signature_of_the_internal_key_does_not_spend_the_output() -> None:
    unsigned, _ = bitcoin()
    with pytest.raises(RefusedError, match="btclib refuses"):
        unsigned.signed(BITCOIN_KEY.sign_schnorr(unsigned.message))


@settings(max_examples=25)
@given(bit=st.integers(0, 511), chain=st.sampled_from([solana, bitcoin]))
def test_a_signature_with_one_flipped_bit_is_refused(bit: int, chain: type) -> None:
    unsigned, signature = chain()
    flipped = (int.from_bytes(signature) ^ 1 << bit).to_bytes(64)
    with pytest.raises(RefusedError):
        unsigned.signed(flipped)


def test_a_signature_for_another_transaction_is_refused() -> None:
    _, signature = solana("solana_memo")
    unsigned, _ = solana("solana_transfer")
    with pytest.raises(RefusedError, match="solders refuses"):
        unsigned.signed(signature)


def test_a_signature_for_another_amount_is_refused() -> None:
    unsigned, signature = bitcoin()
    transaction = Tx.parse(unsigned.raw)
    first = transaction.vout[0]
    transaction.vout[0] = type(first)(first.value + 1, first.script_pub_key)
    other = TaprootSpend(
        transaction.serialize(include_witness=True), unsigned.spent, unsigned.summary
    )
    with pytest.raises(RefusedError):
        other.signed(signature)
