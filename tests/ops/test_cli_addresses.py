"""Addresses, against the libraries of the chains they are for."""

from __future__ import annotations

import re

from btclib.script.script_pub_key import ScriptPubKey
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from contracts.primitives import Curve
from ops.cli.addresses import addresses, base58
from ops.showcase.bitcoin import SegwitSpend, TaprootSpend
from ops.showcase.ethereum import EthereumTransaction
from ops.showcase.solana import SolanaTransaction
from tests.contracts.samples import SingleKey
from tests.ops.terminals import FakeClient, Run, key

KEYS = st.binary(min_size=32, max_size=32) | st.binary(min_size=3, max_size=3).map(
    lambda end: bytes(29) + end
)


@given(KEYS)
def test_base58_is_solanas(key: bytes) -> None:
    assert base58(key) == str(Pubkey(key))


def test_an_ed25519_keys_address_is_where_solders_finds_its_money() -> None:
    single = SingleKey(Curve.ED25519)
    transfer = SolanaTransaction.paid_by(single.public_key, "solana_transfer")
    assert addresses(single.facts()) == {"solana": transfer.address}


def test_a_secp256k1_keys_addresses_are_where_the_libraries_find_its_money() -> None:
    single = SingleKey(Curve.SECP256K1)
    taproot = TaprootSpend.paid_by(single.public_key, "bitcoin_taproot").spent
    segwit = SegwitSpend.paid_by(single.public_key, "bitcoin_segwit").spent
    ethereum = EthereumTransaction.paid_by(single.public_key, "ethereum_transfer")
    assert addresses(single.facts()) == {
        "ethereum": ethereum.address,
        # The showcase's are those of a test network.
        "bitcoin_p2wpkh": ScriptPubKey(segwit.script_pub_key.script, "mainnet").address,
        "bitcoin_p2tr": ScriptPubKey(taproot.script_pub_key.script, "mainnet").address,
    }


def test_the_addresses_of_a_key_are_shown_with_it(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.SECP256K1, "coins")]
    expected = addresses(SingleKey(Curve.SECP256K1).facts())
    shown = run("key", "show", "coins").out
    for address in expected.values():
        assert re.search(rf"^[\w ]+ {{2,}}{address}$", shown, re.MULTILINE)
    assert run("key", "show", "coins", "--json").json["addresses"] == expected
