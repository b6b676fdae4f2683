"""How a registrar's work ends other than well."""

from __future__ import annotations


class RefusedError(Exception):
    """It cannot be done as asked, and nothing was changed for it. Says what to do."""


class HeldError(Exception):
    """Something was done, and the rest waits for what the text says."""
