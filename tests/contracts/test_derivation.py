"""BIP-32 derivation of public keys, against its published figures and against private keys."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from itertools import pairwise

import coincurve
import pytest
from btclib import base58
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts import derivation
from contracts.derivation import MAX_DEPTH, derive, format_path, parse_path
from contracts.errors import ContractError
from contracts.secp256k1 import ORDER
from tests.protocols.published import published_file

CHAIN_CODE = hashlib.sha256(b"a chain code").digest()
PUBLIC_KEY = coincurve.PublicKey.from_secret(bytes(31) + b"\x07").format()

INDICES = st.integers(0, 2**31 - 1)


@dataclass(frozen=True, kw_only=True)
class Link:
    """A public derivation on a published chain. Hex."""

    public_key: str
    chain_code: str
    path: str
    child: str
    child_chain_code: str
    parent_fingerprint: str


PUBLISHED = {
    "vector 1, m/0' to m/0'/1": Link(
        public_key="035a784662a4a20a65bf6aab9ae98a6c068a81c52e4b032c0fb5400c706cfccc56",
        chain_code="47fdacbd0f1097043b78c63c20c34ef4ed9a111d980047ad16282c7ae6236141",
        path="m/1",
        child="03501e454bf00751f24b1b489aa925215d66af2234e3891c3b21a52bedb3cd711c",
        child_chain_code="2a7857631386ba23dacac34180dd1983734e444fdbf774041578e9b6adb37c19",
        parent_fingerprint="5c1bd648",
    ),
    "vector 1, m/0'/1/2' to m/0'/1/2'/2/1000000000": Link(
        public_key="0357bfe1e341d01c69fe5654309956cbea516822fba8a601743a012a7896ee8dc2",
        chain_code="04466b9cc8e161e966409ca52986c584f07e9dc81f735db683c3ff6ec7b1503f",
        path="m/2/1000000000",
        child="022a471424da5e657499d1ff51cb43c47481a03b1e77f951fe64cec9f5a48f7011",
        child_chain_code="c783e67b921d2beb8f6b389cc646d7263b4145701dadd2161548a8b078e65e9e",
        parent_fingerprint="d880d7d8",
    ),
    "vector 2, m to m/0": Link(
        public_key="03cbcaa9c98c877a26977d00825c956a238e8dddfbd322cce4f74b0b5bd6ace4a7",
        chain_code="60499f801b896d83179a4374aeb7822aaeaceaa0db1f85ee3e904c4defbd9689",
        path="m/0",
        child="02fc9e5af0ac8d9b3cecfe2a888e2117ba3d089d8585886c9c826b6b22a98d12ea",
        child_chain_code="f0909affaa7ee7abe5dd4e100598d4dc53cd709d5a5c2cac40e7412f232f7c9c",
        parent_fingerprint="bd16bee5",
    ),
}


@pytest.mark.parametrize("link", PUBLISHED.values(), ids=PUBLISHED.keys())
def test_children_are_those_of_bip_32(link: Link) -> None:
    path = parse_path(link.path)
    child = derive(bytes.fromhex(link.public_key), bytes.fromhex(link.chain_code), path)
    assert child.public_key.hex() == link.child
    assert child.chain_code.hex() == link.child_chain_code
    assert child.parent_fingerprint.hex() == link.parent_fingerprint
    assert (child.depth, child.index) == (len(path), path[-1])


@dataclass(frozen=True)
class Xpub:
    """A published extended public key, taken apart."""

    index: int
    parent_fingerprint: bytes
    chain_code: bytes
    public_key: bytes

    @classmethod
    def read(cls, text: str) -> Xpub:
        data = base58.decode(text, 78)
        return cls(int.from_bytes(data[9:13]), data[5:9], data[13:45], data[45:])


def test_every_published_link_that_is_not_hardened_is_derived() -> None:
    walked = []
    for vector in json.loads(published_file("bip32/bip32-vectors.json").read_text())["valid"]:
        for above, below in pairwise(vector["chains"]):
            parent, child = Xpub.read(above["xpub"]), Xpub.read(below["xpub"])
            if child.index >= 2**31:
                continue
            derived = derive(parent.public_key, parent.chain_code, (child.index,))
            assert derived.public_key == child.public_key
            assert derived.chain_code == child.chain_code
            assert derived.parent_fingerprint == child.parent_fingerprint
            walked.append(below["path"])
    assert walked == [
        "m/0'/1",
        "m/0'/1/2'/2",
        "m/0'/1/2'/2/1000000000",
        "m/0",
        "m/0/2147483647'/1",
        "m/0/2147483647'/1/2147483646'/2",
    ]


def test_published_keys_that_are_none_are_refused() -> None:
    """Only those with a public key that is none; extended keys as such are never read here."""
    refused = 0
    for each in json.loads(published_file("bip32/bip32-vectors.json").read_text())["invalid"]:
        if "pubkey" in each["reason"] and each["key"].startswith("xpub"):
            key = Xpub.read(each["key"])
            with pytest.raises(ContractError, match="not a point"):
                derive(key.public_key, key.chain_code, ())
            refused += 1
    assert refused == 4


###
### Keys and tweaks
###


@settings(max_examples=40, deadline=None)
@given(
    secret=st.integers(1, ORDER - 1),
    chain_code=st.binary(min_size=32, max_size=32),
    path=st.lists(INDICES, max_size=5).map(tuple),
)
def test_the_childs_secret_is_the_secret_plus_the_tweak(
    secret: int, chain_code: bytes, path: tuple[int, ...]
) -> None:
    public_key = coincurve.PublicKey.from_secret(secret.to_bytes(32)).format()
    child = derive(public_key, chain_code, path)
    childs_secret = (secret + int.from_bytes(child.tweak)) % ORDER
    assert coincurve.PublicKey.from_secret(childs_secret.to_bytes(32)).format() == child.public_key
    assert childs_secret == private_child(secret, chain_code, path)


def private_child(secret: int, chain_code: bytes, path: tuple[int, ...]) -> int:
    """BIP-32's CKDpriv without hardening, step by step."""
    for index in path:
        public_key = coincurve.PublicKey.from_secret(secret.to_bytes(32)).format()
        both = hmac.new(chain_code, public_key + index.to_bytes(4), hashlib.sha512).digest()
        secret, chain_code = (int.from_bytes(both[:32]) + secret) % ORDER, both[32:]
    return secret


def test_the_empty_path_is_the_key_itself() -> None:
    key = derive(PUBLIC_KEY, CHAIN_CODE, ())
    assert (key.public_key, key.chain_code) == (PUBLIC_KEY, CHAIN_CODE)
    assert (key.tweak, key.depth, key.index) == (bytes(32), 0, 0)
    assert key.parent_fingerprint == bytes(4)


def test_each_step_leads_on_from_the_one_before() -> None:
    far = derive(PUBLIC_KEY, CHAIN_CODE, (44, 0, 7))
    half = derive(PUBLIC_KEY, CHAIN_CODE, (44, 0))
    rest = derive(half.public_key, half.chain_code, (7,))
    assert far.public_key == rest.public_key
    assert far.chain_code == rest.chain_code
    assert far.parent == half.public_key
    assert (far.depth, rest.depth) == (3, 1)
    tweaks = [int.from_bytes(key.tweak) for key in (half, rest)]
    assert int.from_bytes(far.tweak) == sum(tweaks) % ORDER


def test_other_chain_codes_and_indices_have_other_children() -> None:
    children = [
        derive(PUBLIC_KEY, CHAIN_CODE, (0,)),
        derive(PUBLIC_KEY, CHAIN_CODE, (1,)),
        derive(PUBLIC_KEY, bytes(32), (0,)),
    ]
    assert len({child.public_key for child in children}) == 3


def test_a_known_path_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    child = derive(PUBLIC_KEY, CHAIN_CODE, (5, 6))
    monkeypatch.setattr(derivation, "_child", None)
    assert derive(PUBLIC_KEY, CHAIN_CODE, (5, 6)) is child


@pytest.mark.parametrize(
    "public_key",
    [
        PUBLIC_KEY[1:],
        coincurve.PublicKey(PUBLIC_KEY).format(compressed=False),
        b"\x05" + PUBLIC_KEY[1:],
        b"\x02" + bytes(31) + b"\x07",  # on no curve
        b"",
    ],
)
def test_what_is_no_compressed_point_has_no_children(public_key: bytes) -> None:
    with pytest.raises(ContractError, match="point"):
        derive(public_key, CHAIN_CODE, (0,))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_chain_code_has_32_bytes(size: int) -> None:
    with pytest.raises(ContractError, match="chain code"):
        derive(PUBLIC_KEY, bytes(size), (0,))


@pytest.mark.parametrize("left", [ORDER, 2**256 - 1, ORDER - 7])
def test_a_child_that_bip_32_calls_invalid_is_refused(
    monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    """I_L not below the order, or the child at infinity: `PUBLIC_KEY` is 7 * G."""
    monkeypatch.setattr("hmac.digest", lambda *_: left.to_bytes(32) + CHAIN_CODE)
    chain_code = left.to_bytes(32)  # that no other test has used
    with pytest.raises(ContractError, match="use the next index"):
        derive(PUBLIC_KEY, chain_code, (3,))


###
### Paths
###


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("m", ()),
        ("m/0", (0,)),
        ("0", (0,)),
        ("m/44/60/0/0/7", (44, 60, 0, 0, 7)),
        ("44/60/0/0/7", (44, 60, 0, 0, 7)),
        ("m/2147483647", (2147483647,)),
        ("m" + "/2147483647" * MAX_DEPTH, (2147483647,) * MAX_DEPTH),
    ],
)
def test_paths_are_read(text: str, path: tuple[int, ...]) -> None:
    assert parse_path(text) == path


@given(st.lists(INDICES, max_size=MAX_DEPTH).map(tuple))
def test_a_written_path_is_read_back(path: tuple[int, ...]) -> None:
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "m/",
        "/0",
        "m//0",
        "m/0/",
        "M/0",
        "m/m/0",
        "m/00",
        "m/01",
        "m/+1",
        "m/-1",
        "m/ 1",
        "m/1 ",
        "m/1\n",
        "m/1_0",
        "m/0x1",
        "m/1.0",
        "m/٣",
        "m/99999999999",
        "n/0",
    ],
)
def test_a_path_has_one_spelling(text: str) -> None:
    with pytest.raises(ContractError, match="is no index"):
        parse_path(text)


@pytest.mark.parametrize("step", ["44'", "44h", "44H"])
def test_a_hardened_step_is_refused_with_the_reason(step: str) -> None:
    with pytest.raises(ContractError, match="takes the private key, and nobody has it"):
        parse_path(f"m/{step}/0")


@pytest.mark.parametrize("index", [2**31, 2**32 - 1, 2**32])
def test_hardened_numbers_are_refused_too(index: int) -> None:
    with pytest.raises(ContractError, match="without hardening"):
        parse_path(f"m/{index}")
    with pytest.raises(ContractError, match="without hardening"):
        derive(PUBLIC_KEY, CHAIN_CODE, (index,))


def test_a_negative_index_is_refused() -> None:
    with pytest.raises(ContractError, match="without hardening"):
        derive(PUBLIC_KEY, CHAIN_CODE, (-1,))


@pytest.mark.parametrize("steps", [MAX_DEPTH + 1, 255, 100_000])
def test_a_path_has_an_end(steps: int) -> None:
    with pytest.raises(ContractError, match="at most 16 steps"):
        parse_path("m" + "/0" * steps)
    with pytest.raises(ContractError, match="at most 16 steps"):
        derive(PUBLIC_KEY, CHAIN_CODE, (0,) * steps)


def test_a_refusal_does_not_repeat_whatever_was_sent() -> None:
    with pytest.raises(ContractError) as caught:
        parse_path("m/" + "9" * 100_000)
    assert len(str(caught.value)) < 300
