"""What can be wrong with a message, sorted by what its receiver does about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ContractError(ValueError):
    """Not a message of ours: malformed, unsigned, or signed by nobody we know.

    Nothing in it can be believed, so nobody is answered; it goes to the dead letters with
    this text as the reason.
    """


class UnauthenticatedError(ContractError):
    """Nobody whom we know is shown to have sent it: anybody with a login at the broker may have,
    as often as they like. So it is counted, and few of its kind are kept as dead letters.

    Attributes:
        kind: One of a few words, to count by.
    """

    def __init__(self, reason: str, *, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


class InvalidRequestError(ContractError):
    """Signed by an authorised client, and still not a request that can be served.

    Attributes:
        operation, request_id, client_id, key_id: What is known for the answer.
    """

    def __init__(
        self,
        reason: str,
        *,
        operation: str,
        request_id: str,
        client_id: str | None,
        key_id: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.operation = operation
        self.request_id = request_id
        self.client_id = client_id
        self.key_id = key_id


_PREFIXES = {"value_error": "Value error, ", "assertion_error": "Assertion failed, "}
"""What pydantic puts before the sentence of a check of ours, by the kind of its errors."""


def sentence(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, in the words of the check that raised it. None of the
    input is in it: that may be anything, a secret even."""
    if error["type"] == "union_tag_invalid":
        return f"must be one of {error['ctx']['expected_tags']}"
    return str(error["msg"]).removeprefix(_PREFIXES.get(error["type"], ""))
