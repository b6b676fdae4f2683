"""What the two-party layers raise: a check that only the other side can have broken."""

from __future__ import annotations


class FailedCheckError(Exception):
    """The other side deviated. Whether it did may depend on our secret bits: never run again.

    Attributes:
        check: Which check failed, as it will stand in ``PartyFaultError.check``.
    """

    def __init__(self, check: str) -> None:
        super().__init__(check)
        self.check = check
