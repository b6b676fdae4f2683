"""What the demonstration finds wrong with what it has been given."""

from __future__ import annotations


class DemonstrationError(Exception):
    """The system did not do what it should; the text says what it did instead."""


class RefusedError(DemonstrationError):
    """An independent library does not accept the signed transaction."""


class MisdeliveredError(DemonstrationError):
    """A queue holds what it should not, or lacks what it should hold."""


class StolenSharesSignError(DemonstrationError):
    """Shares of two epochs of a key make a signature, or those of one do not."""
