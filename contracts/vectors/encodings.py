"""How bytes are put together, and which JSON is read."""

from __future__ import annotations

from functools import partial
from typing import Any

from .. import strict_json as reader
from ..encoding import digest, optional, pack, unpack
from ..errors import ContractError
from .refusals import reason_of


def packing() -> dict[str, Any]:
    """`pack`, `unpack`, `optional`, `digest`."""
    parts = {
        "nothing": [],
        "one empty part": [b""],
        "two parts": [b"a", b"bc"],
        "other two parts of the same bytes": [b"ab", b"c"],
        "a part of 300 bytes": [bytes(300)],
        "text as UTF-8": ["ключ".encode()],
    }
    refused = {
        "a part is missing": (pack([b"a"]), 2),
        "a part too many": (pack([b"a", b"b", b"c"]), 2),
        "cut short": (pack([b"abc"])[:-1], 1),
        "half a length": (b"\0\0", 1),
    }
    return {
        "packed": [
            {"name": name, "parts": [each.hex() for each in given], "packed": pack(given).hex()}
            for name, given in parts.items()
        ],
        "refused": [
            {
                "name": name,
                "packed": data.hex(),
                "count": count,
                "reason": reason_of(partial(unpack, data, count)),
            }
            for name, (data, count) in refused.items()
        ],
        "optional": [
            {"name": name, "packed": optional(name).hex()} for name in (None, "svcA", "x" * 64)
        ],
        "digests": [
            {"tag": tag, "parts": [each.hex() for each in given], "digest": made.hex()}
            for tag, given in (("warren/session/v1", [b"a", b""]), ("t", []))
            for made in (digest(tag.encode(), *given),)
        ],
    }


def strict_json() -> dict[str, Any]:
    """Hex of what is to be parsed, and whether it is read at all."""
    given = {
        "an object": b'{"a":1,"b":[true,null,"x"]}',
        "text beyond ASCII": '{"a":"ключ"}'.encode(),
        "escapes": b'{"a":"\\u0041\\n\\""}',
        "the same name in two objects": b'{"a":{"x":1},"b":{"x":2}}',
        "a name twice": b'{"a":1,"a":2}',
        "a name twice, once escaped": b'{"a":1,"\\u0061":2}',
        "a name twice, deep inside": b'[{"b":{"a":1,"c":[],"a":1}}]',
        "something behind the end": b'{"a":1} {',
        "cut short": b'{"a":',
        "not UTF-8": b'{"a":"\xff"}',
        "half a surrogate pair": b'{"a":"\\ud800"}',
        "NaN": b'{"a":NaN}',
        "Infinity": b'{"a":-Infinity}',
        "a comment": b'{"a":1/**/}',
        "a hundred deep": b"[" * 100 + b"]" * 100,
        "nested too deeply": b"[" * 300 + b"]" * 300,
    }
    return {
        "cases": [
            {"name": name, "bytes": body.hex(), "read": _reads(body)}
            for name, body in given.items()
        ]
    }


def _reads(body: bytes) -> bool:
    try:
        reader.parse(body)
    except ContractError:
        return False
    return True
