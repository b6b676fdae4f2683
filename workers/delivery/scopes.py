"""Session scopes: what cancels a handler, and who asked for it.

Every handler that works for a session runs inside a scope registered under it, with the session's
deadline. Cancelling the session cancels its handlers at once; a cancellation from outside (worker
stopping, connection lost) passes through the scope untouched, and anyio tells the two apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import anyio


class SessionOverError(Exception):
    """The session was cancelled or its time ran out while a handler worked for it."""


def uninterrupted() -> anyio.CancelScope:
    """Around commit and publish: a session's cancellation waits until both are done. What comes
    from outside (a stopping worker, a lost connection) still gets through."""
    return anyio.CancelScope(shield=True)


class SessionLateError(SessionOverError):
    """Its time ran out, by the deadline that this process knew; perhaps it was over before."""


class SessionScopes:
    """All scopes of one worker process. Holds nothing for sessions without a running handler."""

    def __init__(self) -> None:
        self._running: defaultdict[bytes, set[anyio.CancelScope]] = defaultdict(set)

    def __len__(self) -> int:
        return len(self._running)

    @contextmanager
    def enter(self, session_id: bytes, *, seconds_left: float | None = None) -> Iterator[None]:
        """Run the block for a session.

        Raises:
            SessionOverError: the scope was cancelled, by `cancel`.
            SessionLateError: its deadline has passed.
        """
        scope = anyio.CancelScope()
        if seconds_left is not None:
            scope.deadline = anyio.current_time() + max(0.0, seconds_left)
        self._running[session_id].add(scope)
        try:
            with scope:
                yield
        finally:
            self._running[session_id].discard(scope)
            if not self._running[session_id]:
                del self._running[session_id]
        if scope.cancelled_caught:
            late = scope.deadline <= anyio.current_time()
            raise SessionLateError if late else SessionOverError

    def tighten(self, session_id: bytes, seconds_left: float) -> None:
        """Bring the deadline of the session's running handlers forward, now that it is known."""
        deadline = anyio.current_time() + max(0.0, seconds_left)
        for scope in self._running.get(session_id, ()):
            scope.deadline = min(scope.deadline, deadline)

    def cancel(self, session_id: bytes) -> int:
        """Cancel the session's handlers here; returns how many there were."""
        running = tuple(self._running.get(session_id, ()))
        for scope in running:
            scope.cancel()
        return len(running)
