"""The demo's transactions: an honest signature is accepted by the other library, no other is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from btclib.script.taproot import output_prvkey
from btclib.tx.tx import Tx
from coincurve import PrivateKey
from eth_account import Account
from eth_utils.crypto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair
from solders.transaction import Transaction

from contracts.ecdsa import EcdsaSignature
from contracts.primitives import Curve, Scheme
from contracts.requests import SignItem
from contracts.results import SignedItem
from contracts.secp256k1 import ORDER
from contracts.verification import check_signature, child, verifying_key
from contracts.wallets import bitcoin_p2wpkh, ethereum_address
from ops.showcase.bitcoin import SegwitSpend, TaprootSpend
from ops.showcase.errors import RefusedError
from ops.showcase.ethereum import EthereumTransaction
from ops.showcase.solana import SolanaTransaction
from ops.showcase.transactions import Unsigned, template
from tests.contracts.samples import SingleKey, child_of, signed_item

SEED = hashlib.sha256(b"one machine instead of three parties").digest()
SOLANA_KEY = Keypair.from_seed(SEED)
KEY = SingleKey(Curve.SECP256K1, SEED)
PATH = "m/44/60/0/0/0"
CHILD = child(KEY.facts(), PATH).public_key

Chain = Callable[[], tuple[Unsigned, SignedItem]]


def solana(name: str = "solana_transfer") -> tuple[SolanaTransaction, SignedItem]:
    """An unsigned transfer, and the signature that it needs."""
    payer = bytes(SOLANA_KEY.pubkey())
    unsigned = SolanaTransaction.paid_by(payer, name)
    return unsigned, item(unsigned.message, payer, bytes(SOLANA_KEY.sign_message(unsigned.message)))


def taproot() -> tuple[TaprootSpend, SignedItem]:
    unsigned = TaprootSpend.paid_by(KEY.public_key, "bitcoin_taproot")
    tweaked = PrivateKey(output_prvkey(int.from_bytes(SEED)).to_bytes(32))
    output_key = verifying_key(KEY.public_key, Scheme.BIP340, b"")
    return unsigned, item(unsigned.message, output_key, tweaked.sign_schnorr(unsigned.message))


def segwit() -> tuple[SegwitSpend, SignedItem]:
    unsigned = SegwitSpend.paid_by(CHILD, "bitcoin_segwit")
    return unsigned, by_the_child(unsigned.message)


def ethereum() -> tuple[EthereumTransaction, SignedItem]:
    unsigned = EthereumTransaction.paid_by(CHILD, "ethereum_transfer")
    return unsigned, by_the_child(unsigned.message)


def item(message: bytes, public_key: bytes, signature: bytes) -> SignedItem:
    return SignedItem(message=message, public_key=public_key, signature=signature)


def by_the_child(message: bytes) -> SignedItem:
    return signed_item(KEY, Scheme.ECDSA, SignItem(message=message, derivation_path=PATH))


def with_forms(signature: SignedItem, **changes: Any) -> SignedItem:
    assert signature.ecdsa is not None
    forms = signature.ecdsa.model_copy(update=changes)
    return signature.model_copy(update={"ecdsa": forms})


def flipped(data: bytes, bit: int) -> bytes:
    return (int.from_bytes(data) ^ 1 << bit % (8 * len(data))).to_bytes(len(data))


@settings(max_examples=25)
@given(bit=st.integers(0, 511), chain=st.sampled_from([solana, taproot]))
def test_a_signature_with_one_flipped_bit_is_refused(bit: int, chain: Chain) -> None:
    unsigned, signature = chain()
    spoilt = signature.model_copy(update={"signature": flipped(signature.signature, bit)})
    with pytest.raises(RefusedError):
        unsigned.signed(spoilt)


###
### Solana
###


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


def test_a_signature_for_another_transaction_is_refused() -> None:
    _, signature = solana("solana_memo")
    unsigned, _ = solana("solana_transfer")
    with pytest.raises(RefusedError, match="solders refuses"):
        unsigned.signed(signature)


###
### Bitcoin
###


def test_a_taproot_spend_with_the_output_keys_signature_is_accepted() -> None:
    unsigned, signature = taproot()
    signed = unsigned.signed(signature)
    assert Tx.parse(signed.raw).vin[0].script_witness.stack == (signature.signature,)
    assert signed.transaction_id == unsigned.transaction_id  # the id leaves witnesses out


def test_the_taproot_signature_is_one_by_our_own_rules_too() -> None:
    unsigned, signature = taproot()
    assert unsigned.spent.script_pub_key.script == b"\x51\x20" + signature.public_key
    check_signature(Scheme.BIP340, signature.public_key, unsigned.message, signature.signature)


def test_a_signature_of_the_internal_key_does_not_spend_the_taproot_output() -> None:
    unsigned, signature = taproot()
    untweaked = PrivateKey(SEED).sign_schnorr(unsigned.message)
    with pytest.raises(RefusedError, match="btclib refuses"):
        unsigned.signed(signature.model_copy(update={"signature": untweaked}))


def test_a_segwit_spend_with_the_childs_signature_is_accepted() -> None:
    unsigned, signature = segwit()
    signed = unsigned.signed(signature)
    der, public_key = Tx.parse(signed.raw).vin[0].script_witness.stack
    assert der == EcdsaSignature.from_bytes(signature.signature).der + b"\x01"  # SIGHASH_ALL
    assert public_key == CHILD
    assert signed.transaction_id == unsigned.transaction_id


def test_the_segwit_output_is_the_childs_by_our_own_reckoning_too() -> None:
    unsigned, signature = segwit()
    script = unsigned.spent.script_pub_key
    assert type(script)(script.script, "mainnet").address == bitcoin_p2wpkh(CHILD)
    check_signature(Scheme.ECDSA, CHILD, unsigned.message, signature.signature)


def test_a_signature_of_the_childs_parent_does_not_spend_the_segwit_output() -> None:
    unsigned, signature = segwit()
    parents = signed_item(KEY, Scheme.ECDSA, SignItem(message=unsigned.message))
    assert parents.public_key != signature.public_key
    with pytest.raises(RefusedError, match="btclib refuses"):
        unsigned.signed(parents)
    # Nor under the name of the child.
    with pytest.raises(RefusedError, match="btclib refuses"):
        unsigned.signed(parents.model_copy(update={"public_key": CHILD}))


@settings(max_examples=50)
@given(bit=st.integers(0, 575))
def test_a_der_signature_with_one_flipped_bit_is_refused(bit: int) -> None:
    unsigned, signature = segwit()
    assert signature.ecdsa is not None
    with pytest.raises(RefusedError):
        unsigned.signed(with_forms(signature, der=flipped(signature.ecdsa.der, bit)))


@pytest.mark.parametrize("chain", [taproot, segwit])
def test_a_signature_for_another_amount_is_refused(
    chain: Callable[[], tuple[TaprootSpend | SegwitSpend, SignedItem]],
) -> None:
    unsigned, signature = chain()
    transaction = Tx.parse(unsigned.raw)
    first = transaction.vout[0]
    transaction.vout[0] = type(first)(first.value + 1, first.script_pub_key)
    raw = transaction.serialize(include_witness=True)
    other = type(unsigned)(raw, unsigned.spent, unsigned.summary)
    with pytest.raises(RefusedError):
        other.signed(signature)


def test_the_segwit_signature_covers_the_amount_that_is_spent() -> None:
    unsigned, signature = segwit()
    more = type(unsigned.spent)(unsigned.spent.value + 1, unsigned.spent.script_pub_key)
    with pytest.raises(RefusedError):
        SegwitSpend(unsigned.raw, more, unsigned.summary).signed(signature)


###
### Ethereum
###


def test_an_ethereum_transaction_is_paid_by_the_child_that_signed_it() -> None:
    unsigned, signature = ethereum()
    signed = unsigned.signed(signature)
    assert Account.recover_transaction(signed.raw) == ethereum_address(CHILD) == unsigned.address


def test_eth_account_makes_the_same_transaction_of_the_childs_private_key() -> None:
    unsigned, signature = ethereum()
    signed = unsigned.signed(signature)
    fields = {
        "type": 2,
        "chainId": 11155111,
        "nonce": 0,
        "maxPriorityFeePerGas": 2 * 10**9,
        "maxFeePerGas": 30 * 10**9,
        "gas": 21_000,
        "to": "0xa3D5A21281C1036C1D273b573f9FF477A7A866a6",
        "value": 25 * 10**16,
        "data": b"",
        "accessList": [],
    }
    # Both derive their nonces by RFC 6979, so that even the signatures agree.
    theirs = Account.sign_transaction(fields, child_of(KEY, PATH).secret)
    assert signed.raw == bytes(theirs.raw_transaction)
    assert signed.transaction_id == f"0x{bytes(theirs.hash).hex()}"


def test_what_is_signed_for_ethereum_is_the_hash_of_the_template_as_it_stands() -> None:
    unsigned, signature = ethereum()
    raw = bytes.fromhex(template("ethereum_transfer")["unsigned_transaction"])
    assert unsigned.message == keccak(raw)
    check_signature(Scheme.ECDSA, CHILD, keccak(raw), signature.signature)


def test_a_signature_of_the_childs_parent_pays_from_another_account() -> None:
    unsigned, _ = ethereum()
    parents = signed_item(KEY, Scheme.ECDSA, SignItem(message=unsigned.message))
    payer = ethereum_address(KEY.public_key)
    with pytest.raises(RefusedError, match=f"finds that {payer} pays, not {unsigned.address}"):
        unsigned.signed(parents)


def test_a_signature_for_another_ethereum_transaction_pays_from_another_account() -> None:
    unsigned, _ = ethereum()
    with pytest.raises(RefusedError, match="eth-account"):
        unsigned.signed(by_the_child(bytes(32)))


@settings(max_examples=50)
@given(bit=st.integers(0, 255), form=st.sampled_from(["r", "s"]))
def test_an_ethereum_signature_with_one_flipped_bit_is_refused(bit: int, form: str) -> None:
    unsigned, signature = ethereum()
    spoilt = flipped(getattr(signature.ecdsa, form), bit)
    with pytest.raises(RefusedError):
        unsigned.signed(with_forms(signature, **{form: spoilt}))


@pytest.mark.parametrize("added", [1, 2, 3])
def test_another_recovery_id_is_refused(added: int) -> None:
    unsigned, signature = ethereum()
    assert signature.ecdsa is not None
    other = (signature.ecdsa.recovery_id + added) % 4
    with pytest.raises(RefusedError):
        unsigned.signed(with_forms(signature, recovery_id=other))


@pytest.mark.parametrize("changes", [{"r": bytes(32)}, {"s": bytes(32)}, {"r": ORDER.to_bytes(32)}])
def test_numbers_out_of_range_are_refused(changes: dict[str, bytes]) -> None:
    unsigned, signature = ethereum()
    with pytest.raises(RefusedError, match="eth-account refuses"):
        unsigned.signed(with_forms(signature, **changes))
