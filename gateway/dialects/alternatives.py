"""What a schema says of fields that exclude each other; the checks of the models hold it.

Each alternative names the fields of the others as null, which counts as left out: so a generated
client is told at compile time that two of them do not go together.
"""

from __future__ import annotations

from typing import Any

ALTERNATIVE = dict[str, Any]


def _alternative(title: str, needed: str, **others: Any) -> ALTERNATIVE:
    return {
        "title": title,
        "type": "object",
        "properties": {needed: {"type": "string"}, **others},
        "required": [needed],
    }


NONE = {"type": "null"}

ONE_KEY: Any = {
    "oneOf": [
        _alternative("With a key", "key_id", account_id=NONE),
        _alternative("With an account's key", "account_id", key_id=NONE),
    ]
}

ONE_MESSAGE: Any = {
    "oneOf": [
        _alternative(
            "A digest",
            "message_hash",
            message=NONE,
            message_encoding={"enum": ["hex", None]},
        ),
        _alternative("A message", "message", message_hash=NONE),
    ]
}
