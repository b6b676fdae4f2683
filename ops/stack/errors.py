"""What can go wrong while the stack comes up: one sentence each, for the person at the terminal."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot run. The message says why, and what to do where we know it."""


class MissingServiceError(StackError):
    """There is no broker or no database to be had on this machine."""


class StartError(StackError):
    """Something was started and did not become ready."""


class ChildDiedError(StackError):
    """A process of ours ended although nobody asked it to."""
