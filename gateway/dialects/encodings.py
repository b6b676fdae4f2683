"""How callers write bytes, and what they write that could be read in two ways.

The digits of a digest in hex are base64 as well, of other bytes. Whoever sends them where base64 is
meant would be given a signature over something that nobody wanted signed, and told that it worked.
So what looks like another encoding is refused, unless the caller says that it is none.
"""

from __future__ import annotations

import base64
import binascii
import re
from enum import StrEnum
from typing import Any

LOOKS_LIKE_HEX = 16
"""From so many digits on. Bytes that were drawn by chance have such a base64 once in 26 million;
fewer digits are no digest, and short base64 is made of them too often."""
LOOKS_LIKE_TEXT = 16
"""From so many letters of one case on: once in two million."""

_PREFIXED = re.compile(r"0[xX][0-9A-Fa-f]+")
_DIGITS = re.compile(r"[0-9A-Fa-f]+")
_LETTERS = re.compile(r"[a-z]+|[A-Z]+")
_URL_SAFE = re.compile(r"[A-Za-z0-9_-]+=*")
_STANDARD = re.compile(r"[A-Za-z0-9+/]+=*")
_EXPLICIT = "say message_encoding: base64 if it is base64 all the same"


class Encoding(StrEnum):
    """How a message is written."""

    BASE64 = "base64"
    HEX = "hex"
    UTF8 = "utf8"


def message_bytes(value: Any, encoding: Encoding | None) -> bytes:
    """What the caller wants signed: as it is said to be written, or else as base64 that nothing
    else can be taken for. Raises ValueError with what to send instead."""
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - for pydantic
    match encoding:
        case Encoding.UTF8:
            return _utf8(value)
        case Encoding.HEX:
            return hex_bytes(value)
        case Encoding.BASE64:
            return _base64(value)
        case None:
            _refuse_lookalikes(value)
            return _base64(value)


def hex_bytes(value: Any) -> bytes:
    """With or without 0x. Raises ValueError with what to send instead."""
    if not isinstance(value, str):
        raise ValueError("must be a string of hex digits")  # noqa: TRY004 - for pydantic
    try:
        return binascii.unhexlify(value.removeprefix("0x").removeprefix("0X"))
    except ValueError:
        raise ValueError(
            "must be an even number of hex digits, with or without 0x, and without white space; "
            "base64 and text belong in message"
        ) from None


def _refuse_lookalikes(value: str) -> None:
    digits = "".join(value.split())
    if _PREFIXED.fullmatch(digits) or (len(digits) >= LOOKS_LIKE_HEX and _DIGITS.fullmatch(digits)):
        raise ValueError(
            "looks like hex, and is read as base64: send a digest as message_hash, which is "
            "signed as it is, or say message_encoding: hex for a message that is to be hashed; "
            + _EXPLICIT
        )
    if len(value) >= LOOKS_LIKE_TEXT and _LETTERS.fullmatch(value):
        raise ValueError(
            "looks like text, and is read as base64: say message_encoding: utf8; " + _EXPLICIT
        )


def _base64(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError(f"must be standard base64 with padding; {_not_base64(value)}") from None


def _not_base64(value: str) -> str:
    """What it seems to be instead."""
    if _STANDARD.fullmatch(value):
        return "its padding is missing or too much, or it is text: say message_encoding: utf8 then"
    if _URL_SAFE.fullmatch(value):
        return "this seems to be base64url: put + and / for - and _, and pad it with ="
    if _STANDARD.fullmatch("".join(value.split())):
        return "it has white space: leave that out, or say message_encoding: utf8 if it is text"
    return "for text say message_encoding: utf8, for a digest in hex send message_hash"


def _utf8(value: str) -> bytes:
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise ValueError("has half a surrogate pair, which no UTF-8 has") from None
