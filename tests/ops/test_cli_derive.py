"""`warren key derive`, with the client that answers by script."""

from __future__ import annotations

import pytest

from contracts.primitives import Curve
from contracts.verification import child
from contracts.wallets import bitcoin_p2tr, bitcoin_p2wpkh, ethereum_address, xpub
from tests.contracts.samples import SingleKey
from tests.ops.terminals import FakeClient, Run, key

PATH = "m/44/60/0/0/7"
CHILD = child(SingleKey(Curve.SECP256K1).facts(), PATH)


def test_a_child_is_shown_with_all_its_names(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.SECP256K1, "coins")]
    ended = run("key", "derive", "coins", "--path", PATH)
    assert ended.code == 0
    assert fake.asked == [{"only": "coins"}]
    shown = dict(line.rsplit(maxsplit=1) for line in ended.out.splitlines())
    assert {name.strip(): value for name, value in shown.items()} == {
        "key id": "coins",
        "path": PATH,
        "network": "mainnet",
        "public key": CHILD.public_key.hex(),
        "chain code": CHILD.chain_code.hex(),
        "xpub": xpub(CHILD),
        "ethereum": ethereum_address(CHILD.public_key),
        "bitcoin p2wpkh": bitcoin_p2wpkh(CHILD.public_key),
        "bitcoin p2tr": bitcoin_p2tr(CHILD.public_key),
    }


def test_scripts_get_the_same_as_json_for_the_network_asked_for(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.SECP256K1, "coins")]
    shown = run("key", "derive", "coins", "--path", PATH, "--network", "testnet", "--json").json
    assert shown == {
        "key_id": "coins",
        "path": PATH,
        "network": "testnet",
        "public_key": CHILD.public_key.hex(),
        "chain_code": CHILD.chain_code.hex(),
        "xpub": xpub(CHILD, network="testnet"),
        "ethereum": ethereum_address(CHILD.public_key),
        "bitcoin_p2wpkh": bitcoin_p2wpkh(CHILD.public_key, network="testnet"),
        "bitcoin_p2tr": bitcoin_p2tr(CHILD.public_key, network="testnet"),
    }


def test_m_is_the_key_itself_and_the_m_may_be_left_out(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.SECP256K1, "coins")]
    own = run("key", "derive", "coins", "--path", "m", "--json").json
    assert own["public_key"] == SingleKey(Curve.SECP256K1).public_key.hex()
    short = run("key", "derive", "coins", "--path", PATH.removeprefix("m/"), "--json").json
    assert (short["path"], short["xpub"]) == (PATH, xpub(CHILD))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("m/44'/60", "takes the private key"),
        ("m/x", "is no index"),
        ("m" + "/0" * 17, "at most 16 steps"),
    ],
)
def test_a_bad_path_is_wrong_usage_before_anybody_is_asked(
    run: Run, fake: FakeClient, path: str, reason: str
) -> None:
    ended = run("key", "derive", "coins", "--path", path)
    assert ended.code == 2
    assert reason in ended.err
    error = run("key", "derive", "coins", "--path", path, "--json").json["error"]
    assert error["kind"] == "usage"
    assert fake.asked == []


def test_an_ed25519_key_has_no_children(run: Run, fake: FakeClient) -> None:
    fake.keys_known = [key(Curve.ED25519, "treasury")]
    ended = run("key", "derive", "treasury", "--path", PATH)
    assert ended.code == 2
    assert "ed25519, which has no standard derivation without hardening" in ended.err


def test_a_key_that_is_not_there_is_a_failure(run: Run) -> None:
    ended = run("key", "derive", "coins", "--path", PATH, "--json")
    assert ended.code == 1
    assert ended.json["error"]["code"] == "unknown_key"


def test_help_has_an_example_and_the_exit_codes(run: Run) -> None:
    shown = run("key", "derive", "--help").out
    assert "Example" in shown
    assert "Exit codes: 0 done;" in shown
