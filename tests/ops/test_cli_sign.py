"""`warren sign` with digests, children of keys and lists, down to the requests that it makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from contracts.client import Client, ClientSettings
from contracts.ecdsa import EcdsaSignature
from contracts.primitives import Curve, Scheme
from contracts.requests import SignItem, SignRequest
from contracts.results import SignedItem, SignResult
from contracts.verification import check_signature, child
from tests.contracts.producers import Unconnected
from tests.contracts.samples import SingleKey, sign_result
from tests.ops.terminals import Run

PATH = "m/44/60/0/0/0"
DIGEST = "11" * 32
ANOTHER = "22" * 32
KEY = SingleKey(Curve.SECP256K1)
CHILD = child(KEY.facts(), PATH).public_key


class Scripted(Unconnected):
    """The real client up to the queue: its requests are answered here."""

    def __init__(self, settings: ClientSettings, asked: list[SignRequest]) -> None:
        super().__init__(settings)
        self._asked = asked

    async def _ask(self, request: Any, kind: type[Any]) -> Any:
        self._asked.append(request)
        return sign_result(request, SingleKey(request.scheme.curve))


@dataclass
class Signing:
    asked: list[SignRequest] = field(default_factory=list)

    @asynccontextmanager
    async def connect(self, settings: ClientSettings) -> AsyncIterator[Client]:
        yield Scripted(settings, self.asked)


@pytest.fixture
def fake() -> Signing:
    return Signing()


def ecdsa(*arguments: str) -> tuple[str, ...]:
    return ("sign", "coins", "--scheme", "ecdsa", *arguments)


def fields(out: str) -> dict[str, str]:
    """Of the lines up to the first empty one."""
    lines = out.partition("\n\n")[0].splitlines()
    width = lines[0].index("  ")
    while lines[0][width] == " ":
        width += 1
    return {line[:width].strip(): line[width:] for line in lines}


###
### One digest
###


def test_an_ecdsa_signature_is_shown_in_every_form(run: Run, fake: Signing) -> None:
    ended = run(*ecdsa("--message-hex", DIGEST, "--request-id", "mine"))
    assert ended.code == 0
    shown = fields(ended.out)
    raw = bytes.fromhex(shown["signature"])
    check_signature(Scheme.ECDSA, KEY.public_key, bytes.fromhex(DIGEST), raw)
    parsed = EcdsaSignature.from_bytes(raw)
    assert shown == {
        "signature": raw.hex(),
        "der": parsed.der.hex(),
        "ethereum": parsed.ethereum.hex(),
        "recovery id": str(parsed.recovery_id),
        "public key": KEY.public_key.hex(),
        "scheme": "ecdsa, verified",
        "signers": "p1, p3",
        "request": "mine",
    }


def test_other_schemes_have_one_form_only(run: Run) -> None:
    shown = fields(run("sign", "k", "--scheme", "bip340", "--message-hex", DIGEST).out)
    assert set(shown) == {"signature", "public key", "scheme", "signers", "request"}


@pytest.mark.parametrize("given", [PATH, PATH.removeprefix("m/")])
def test_a_path_leads_to_the_childs_signature(run: Run, fake: Signing, given: str) -> None:
    ended = run(*ecdsa("--message-hex", DIGEST, "--path", given))
    assert fake.asked[0].derivation_path == PATH
    shown = fields(ended.out)
    assert (shown["path"], shown["public key"]) == (PATH, CHILD.hex())
    check_signature(Scheme.ECDSA, CHILD, bytes.fromhex(DIGEST), bytes.fromhex(shown["signature"]))


def test_a_childs_taproot_output_can_be_signed_for(run: Run, fake: Signing) -> None:
    arguments = ("--scheme", "bip340", "--taproot", "--path", PATH, "--message-hex", DIGEST)
    assert run("sign", "coins", *arguments).code == 0
    asked = fake.asked[0]
    assert (asked.derivation_path, asked.taproot_merkle_root) == (PATH, b"")


@pytest.mark.parametrize("path", [(), ("--path", "m")])
def test_m_is_the_key_itself(run: Run, fake: Signing, path: Sequence[str]) -> None:
    shown = run(*ecdsa("--message-hex", DIGEST, *path, "--json")).json
    assert fake.asked[0].derivation_path is None
    assert (shown["derivation_path"], shown["public_key"]) == (None, KEY.public_key.hex())


def test_scripts_get_the_whole_result(run: Run) -> None:
    ended = run(*ecdsa("--message-hex", DIGEST, "--path", PATH, "--json"))
    shown, result = ended.json, SignResult.model_validate_json(ended.out)
    assert (result.items, result.derivation_path) == (None, PATH)
    assert shown["ecdsa"]["compact"] + f"{shown['ecdsa']['recovery_id']:02x}" == shown["signature"]


###
### Several digests
###


def test_several_digests_are_signed_in_one_session(run: Run, fake: Signing) -> None:
    arguments = ("--message-hex", DIGEST, "--message-hex", ANOTHER, "--path", PATH)
    ended = run(*ecdsa(*arguments, "--signer", "p1", "--signer", "p2", "--request-id", "mine"))
    assert ended.code == 0
    (asked,) = fake.asked
    assert asked.items == [
        SignItem(message=bytes.fromhex(digest), derivation_path=PATH)
        for digest in (DIGEST, ANOTHER)
    ]
    assert (asked.signers, asked.request_id) == (["p1", "p2"], "mine")
    above, _, below = ended.out.partition("\n\n")
    assert fields(above) == {
        "public key": CHILD.hex(),
        "path": PATH,
        "scheme": "ecdsa, verified",
        "request": "mine",
    }
    heading, *lines = [line.split() for line in below.splitlines()]
    assert heading == ["MESSAGE", "SIGNATURE"]
    assert [digest for digest, _ in lines] == [DIGEST, ANOTHER]
    for digest, signature in lines:
        check_signature(Scheme.ECDSA, CHILD, bytes.fromhex(digest), bytes.fromhex(signature))


def test_scripts_get_a_list_as_items_in_its_order(run: Run) -> None:
    digests = (ANOTHER, DIGEST, ANOTHER)
    given = [word for digest in digests for word in ("--message-hex", digest)]
    shown = run(*ecdsa(*given, "--json", "--request-id", "mine")).json
    assert (shown["request_id"], shown["key_id"], shown["scheme"]) == ("mine", "coins", "ecdsa")
    assert [item["message"] for item in shown["items"]] == list(digests)
    for item in shown["items"]:
        assert SignedItem.model_validate(item, strict=False).ecdsa is not None


###
### What cannot be
###


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--scheme", "ecdsa", "--message", "hello"),
         "ecdsa signs exactly 32 bytes, message has 5."),
        (("--scheme", "bip340", "--message", "hello"),
         "bip340 signs exactly 32 bytes, message has 5."),
        (("--scheme", "ecdsa", "--message-hex", DIGEST, "--message-hex", DIGEST[2:]),
         "ecdsa signs exactly 32 bytes, items.1.message has 31."),
        (("--scheme", "bip340", "--message-hex", DIGEST, "--message-hex", ANOTHER),
         "items go with ecdsa only; bip340 signs one message."),
        (("--scheme", "ed25519", "--message", "hello", "--path", PATH),
         "ed25519 keys have no standard derivation without hardening."),
        (("--scheme", "ecdsa", "--taproot", "--message-hex", DIGEST),
         "taproot_merkle_root goes with bip340 only."),
    ],
)  # fmt: skip
def test_what_no_request_can_have_is_wrong_usage_in_the_requests_words(
    run: Run, arguments: Sequence[str], reason: str
) -> None:
    ended = run("sign", "k", *arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"{reason}\n")
    assert run("sign", "k", *arguments, "--json").json["error"] == {
        "kind": "usage",
        "message": reason,
    }


def test_an_empty_message_in_a_list_is_told_without_a_validators_prose(run: Run) -> None:
    ended = run(*ecdsa("--message-hex", DIGEST, "--message-hex", ""))
    assert ended.code == 2
    assert ended.err == "message: a message has 1 to 65536 bytes, this one 0.\n"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("m/44'/60", 'The step "44\'" is hardened'),
        ("m/44h", "The step '44h' is hardened"),
        ("M/0", "'M' is no index"),
        ("m/", "'' is no index"),
        ("", "'' is no index"),
        ("m/01", "'01' is no index"),
        ("m/2147483648", "is no index of a child without hardening"),
        ("m" + "/0" * 17, "at most 16 steps"),
    ],
)
def test_a_bad_path_is_wrong_usage_before_anybody_is_asked(
    run: Run, fake: Signing, path: str, reason: str
) -> None:
    ended = run(*ecdsa("--message-hex", DIGEST, "--path", path))
    assert ended.code == 2
    assert reason in ended.err
    error = run(*ecdsa("--message-hex", DIGEST, "--path", path, "--json")).json["error"]
    assert error["kind"] == "usage"
    assert fake.asked == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--message-hex", DIGEST, "--message-hex", "0x61"),
        ("--message-hex", DIGEST, "--message-hex", ANOTHER, "--message", "a"),
        ("--message-hex", DIGEST, "--message-hex", ANOTHER, "--taproot"),
    ],
)
def test_lists_that_contradict_themselves_ask_nobody(
    run: Run, fake: Signing, arguments: Sequence[str]
) -> None:
    assert run(*ecdsa(*arguments)).code == 2
    assert fake.asked == []
