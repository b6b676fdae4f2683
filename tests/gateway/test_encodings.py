"""What is signed is what the caller means: no encoding is taken for another."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from contracts.primitives import Scheme
from gateway.dialects.encodings import Encoding, hex_bytes, message_bytes

from .callers import calls, gateway
from .desks import DeskDouble
from .test_mpc import DIGEST, made_key, refused

ENDPOINTS = ("/api/v1/mpc/sign", "/api/v1/accounts/{key}/sign", "/api/v1/sessions")
DIGITS = DIGEST.hex()


def body(path: str, key_id: str, **wish: Any) -> dict[str, Any]:
    """The wish in the form that this endpoint has for it."""
    if path.endswith("/mpc/sign"):
        return {"key_id": key_id, **wish}
    if path.endswith("/sessions"):
        return {"session_type": "sign", "key_id": key_id, **wish}
    return wish


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("message", "named"),
    [
        (DIGITS, "message_hash"),
        (DIGITS.upper(), "message_hash"),
        (f"0x{DIGITS}", "message_hash"),
        (f"0x{DIGITS[:62]}", "message_hash"),  # base64 by its length
        (f"0X{DIGITS[:62]}", "message_hash"),
        (DIGITS[:40], "message_hash"),
        (DIGITS * 2, "message_hash"),
        (f" {DIGITS}", "message_hash"),
        (base64.urlsafe_b64encode(b"\xff" * 32).decode(), "base64url"),
        (base64.b64encode(bytes(range(31))).decode().rstrip("="), "padding is missing"),
        ("aGVs bG8=", "white space"),
        ("aGVsbG8=\n", "white space"),
        ("Pay 1 coin to Alice", "message_encoding: utf8"),
        ("paytwocoinstobob", "message_encoding: utf8"),
    ],
)
async def test_another_encoding_is_refused_with_the_field_that_is_right(
    path: str, message: str, named: str
) -> None:
    desk = DeskDouble()
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        where = path.format(key=key_id)
        said = await refused(http, where, body(path, key_id, message=message))
    assert named in said
    assert message.strip() not in said
    assert len(desk.asked) == 1, "nothing but the key was begun"


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize(
    ("encoding", "message", "meant"),
    [
        ("hex", DIGITS, DIGEST),
        ("hex", f"0x{DIGITS.upper()}", DIGEST),
        ("base64", DIGITS, base64.b64decode(DIGITS)),
        ("utf8", DIGITS, DIGITS.encode()),
        ("utf8", "aGVsbG8=", b"aGVsbG8="),
        (None, "aGVsbG8=", b"hello"),
    ],
)
async def test_what_the_caller_says_it_is_it_is(
    path: str, encoding: str | None, message: str, meant: bytes
) -> None:
    desk = DeskDouble()
    wish = {"message": message, "message_encoding": encoding}
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http)
        answer = await http.post(path.format(key=key_id), json=body(path, key_id, **wish))
    assert answer.status_code == 201, answer.text
    assert desk.asked[-1]["message"] == hashlib.sha256(meant).digest()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"message_encoding": "base64", "message": "aGVsbG8"}, "standard base64"),
        ({"message_encoding": "hex", "message": "aGVsbG8="}, "even number of hex digits"),
        ({"message_encoding": "base58", "message": "aGVsbG8="}, "body.message_encoding"),
        ({"message_encoding": "utf8", "message_hash": DIGITS}, "message_hash is always hex"),
        ({"message_hash": base64.b64encode(DIGEST).decode()}, "belong in message"),
        ({"message_hash": f"{DIGITS[:32]} {DIGITS[32:]}"}, "white space"),
    ],
)
async def test_what_is_not_what_it_is_said_to_be_is_refused(
    wish: dict[str, Any], said: str
) -> None:
    async with calls(gateway(DeskDouble())) as http:
        key_id = await made_key(http)
        sent = {"key_id": key_id, **wish}
        assert said in await refused(http, "/api/v1/mpc/sign", sent)


@given(st.binary(min_size=8))
def test_bytes_in_hex_are_never_taken_for_base64(meant: bytes) -> None:
    for written in (meant.hex(), meant.hex().upper(), f"0x{meant.hex()}"):
        with pytest.raises(ValueError, match="message_hash"):
            message_bytes(written, None)
        assert hex_bytes(written) == message_bytes(written, Encoding.HEX) == meant


@given(st.binary(min_size=1))
def test_base64_that_is_nothing_else_is_what_it_was(meant: bytes) -> None:
    written = base64.b64encode(meant).decode()
    assert message_bytes(written, Encoding.BASE64) == meant
    assume(not re.fullmatch("[0-9A-Fa-f]{16,}|[a-z]{16,}|[A-Z]{16,}|0[xX][0-9A-Fa-f]+", written))
    assert message_bytes(written, None) == meant


@given(st.text())
def test_whatever_comes_is_read_in_one_way_or_refused(written: str) -> None:
    """Base64 whose bytes give another text, such as base64url, is none."""
    try:
        read = message_bytes(written, None)
    except ValueError:
        return
    assert len(base64.b64encode(read)) == len(written)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_text_is_its_utf8(written: str) -> None:
    assert message_bytes(written, Encoding.UTF8).decode() == written
    with pytest.raises(ValueError, match="surrogate"):
        message_bytes(written + "\ud800", Encoding.UTF8)


async def test_a_message_that_is_not_hashed_is_signed_as_it_was_said() -> None:
    desk = DeskDouble()
    wish = {"message": DIGITS, "message_encoding": "hex"}
    async with calls(gateway(desk)) as http:
        key_id = await made_key(http, curve="ed25519")
        await http.post("/api/v1/mpc/sign", json={"key_id": key_id, **wish})
    assert (desk.asked[-1]["message"], desk.asked[-1]["scheme"]) == (DIGEST, Scheme.ED25519)
