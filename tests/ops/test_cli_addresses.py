"""Addresses, against the libraries of the chains they are for."""

from __future__ import annotations

from btclib.b32 import p2tr as btclib_p2tr
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from contracts.primitives import Curve
from ops.cli.addresses import addresses, base58, p2tr
from ops.showcase.bitcoin import TaprootSpend
from ops.showcase.solana import SolanaTransaction
from tests.contracts.samples import SingleKey

KEYS = st.binary(min_size=32, max_size=32) | st.binary(min_size=3, max_size=3).map(
    lambda end: bytes(29) + end
)


@given(KEYS)
def test_base58_is_solanas(key: bytes) -> None:
    assert base58(key) == str(Pubkey(key))


@given(KEYS)
def test_bech32m_is_bitcoins(key: bytes) -> None:
    assert p2tr(key) == btclib_p2tr(key)
    assert p2tr(key, "bcrt") == btclib_p2tr(key, "regtest")


def test_a_keys_address_is_where_the_libraries_find_its_money() -> None:
    edwards, koblitz = SingleKey(Curve.ED25519), SingleKey(Curve.SECP256K1)
    transfer = SolanaTransaction.paid_by(edwards.public_key, "solana_transfer")
    assert addresses(edwards.facts()) == {"solana": transfer.address}
    output_key = TaprootSpend.paid_by(koblitz.public_key, "bitcoin_taproot").spent.script_pub_key
    assert addresses(koblitz.facts()) == {"bitcoin": btclib_p2tr(output_key.script[2:])}
