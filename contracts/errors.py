"""What can be wrong with a message, sorted by what its receiver does about it."""

from __future__ import annotations


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
