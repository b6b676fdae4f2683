"""Encodings of keys, against the figures that wallets are tested with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import coincurve
import pytest
from btclib import base58
from btclib.key import PubKeyData
from btclib.script.script_pub_key import ScriptPubKey
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.derivation import DerivedKey, derive, parse_path
from contracts.errors import ContractError
from contracts.secp256k1 import ORDER
from contracts.wallets import Network, bitcoin_p2tr, bitcoin_p2wpkh, ethereum_address, xpub

KEYS = st.integers(1, ORDER - 1).map(
    lambda secret: coincurve.PublicKey.from_secret(secret.to_bytes(32)).format()
)


@dataclass(frozen=True)
class Account:
    """Public key and chain code, hex, of m/84'/0'/0' and the like: what is above is hardened."""

    public_key: str
    chain_code: str

    def child(self, path: str) -> DerivedKey:
        key, chain_code = bytes.fromhex(self.public_key), bytes.fromhex(self.chain_code)
        return derive(key, chain_code, parse_path(path))


# All of the mnemonic "abandon ... about", which BIP-84 and BIP-86 use; BIP-44's has no figures in
# the BIP, but this address is every wallet's first.
BIP44_ETHEREUM = Account(
    "02eae4b876a8696134b868f88cc2f51f715f2dbedb7446b8e6edf3d4541c4eb67b",
    "d882718b7a42806803eeb17f7483f20620611adb88fc943c898dc5aba94c2819",
)
BIP84 = Account(
    "02707a62fdacc26ea9b63b1c197906f56ee0180d0bcf1966e1a2da34f5f3a09a9b",
    "4a53a0ab21b9dc95869c4e92a161194e03c0ef3ff5014ac692f433c4765490fc",
)
BIP86 = Account(
    "03418278a2885c8bb98148158d1474634097a179c642f23cf1cc04da629ac6f0fb",
    "c61a8f27e98182314d2444da3e600eb5836ec8ad183c86c311f95df8082b18aa",
)


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("m/0/0", "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu"),
        ("m/0/1", "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g"),
        ("m/1/0", "bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"),
    ],
)
def test_p2wpkh_addresses_are_those_of_bip_84(path: str, address: str) -> None:
    assert bitcoin_p2wpkh(BIP84.child(path).public_key) == address


@pytest.mark.parametrize(
    ("path", "address"),
    [
        ("m/0/0", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"),
        ("m/0/1", "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"),
        ("m/1/0", "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"),
    ],
)
def test_p2tr_addresses_are_those_of_bip_86(path: str, address: str) -> None:
    assert bitcoin_p2tr(BIP86.child(path).public_key) == address


@pytest.mark.parametrize(
    ("secret", "address"),
    [
        (1, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"),
        (2, "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"),
        # EIP-155's example
        (int("46" * 32, 16), "0x9d8A62f656a8d1615C1294fd71e9CFb3E4855A4F"),
    ],
)
def test_ethereum_addresses_have_eip_55s_capitals(secret: int, address: str) -> None:
    public_key = coincurve.PublicKey.from_secret(secret.to_bytes(32)).format()
    assert ethereum_address(public_key) == address


def test_the_first_ethereum_address_of_an_account_is_every_wallets() -> None:
    child = BIP44_ETHEREUM.child("m/0/0")
    assert ethereum_address(child.public_key) == "0x9858EfFD232B4033E47d90003D41EC34EcaEda94"


###
### Extended public keys
###


def test_xpubs_are_those_of_bip_32() -> None:
    """The non-hardened step of vector 2, which starts at the key itself."""
    key = bytes.fromhex("03cbcaa9c98c877a26977d00825c956a238e8dddfbd322cce4f74b0b5bd6ace4a7")
    chain_code = bytes.fromhex("60499f801b896d83179a4374aeb7822aaeaceaa0db1f85ee3e904c4defbd9689")
    assert xpub(derive(key, chain_code, ())) == (
        "xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB"
    )
    assert xpub(derive(key, chain_code, (0,))) == (
        "xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH"
    )


@settings(max_examples=20, deadline=None)
@given(key=KEYS, index=st.integers(0, 2**31 - 1))
def test_a_wallet_derives_from_the_xpub_what_we_sign_for(key: bytes, index: int) -> None:
    parent = derive(key, bytes(range(32)), (7,))
    read = base58.decode(xpub(parent), 78)
    assert (read[4], read[5:9], read[9:13]) == (1, parent.parent_fingerprint, b"\0\0\0\x07")
    child = derive(read[45:], read[13:45], (index,))
    assert child.public_key == derive(key, bytes(range(32)), (7, index)).public_key


def test_the_testnet_has_prefixes_of_its_own() -> None:
    child = BIP84.child("m/0/0")
    assert xpub(child, network="testnet").startswith("tpub")
    assert (
        base58.decode(xpub(child, network="testnet"), 78)[4:]
        == (base58.decode(xpub(child), 78)[4:])
    )
    # BIP-173's and BIP-350's human-readable part
    assert bitcoin_p2wpkh(child.public_key, network="testnet").startswith("tb1q")
    assert bitcoin_p2tr(child.public_key, network="testnet").startswith("tb1p")


###
### Other libraries
###


@settings(max_examples=20, deadline=None)
@given(key=KEYS, network=st.sampled_from(get_args(Network)))
def test_addresses_are_where_btclib_puts_the_money(key: bytes, network: Network) -> None:
    """p2tr by its implementation of BIP-341's tweak, not ours."""
    owner = PubKeyData(key, network)
    assert bitcoin_p2wpkh(key, network=network) == ScriptPubKey.p2wpkh(owner).address
    assert bitcoin_p2tr(key, network=network) == ScriptPubKey.p2tr(owner, network=network).address


@pytest.mark.parametrize("encode", [ethereum_address, bitcoin_p2wpkh, bitcoin_p2tr])
def test_what_is_no_compressed_point_has_no_address(encode: object) -> None:
    assert callable(encode)
    key = coincurve.PublicKey.from_secret(bytes(31) + b"\x07")
    for none in (key.format(compressed=False), key.format()[1:], b"\x02" + bytes(31) + b"\x07"):
        with pytest.raises(ContractError, match="point"):
            encode(none)
