"""Why a session ends early, sorted by what is done about it."""

from __future__ import annotations

from collections.abc import Collection

from contracts.failures import Failure, FailureCode


class RefusedError(Exception):
    """This party will not take part: what it was asked to do does not check out.

    Arguments:
        because: Parties that it does not accept: without them it might.
    """

    def __init__(self, reason: str, *, because: Collection[str] = ()) -> None:
        super().__init__(reason)
        self.because = frozenset(because)

    @property
    def failure(self) -> Failure:
        # What a client got wrong is told in its own words, as long as it likes.
        return Failure.of(
            FailureCode.PARTY_REFUSED, str(self)[:2000], culprits=sorted(self.because)
        )


class NoShareError(RefusedError):
    """This party has no share of the key in the session's epoch that it may use."""

    def __init__(self) -> None:
        super().__init__("we hold no usable share of the key")


class SuspendedError(RefusedError):
    """This party's share came from a backup, and it is not known yet whether it is of today."""

    def __init__(self) -> None:
        super().__init__(
            "our share of the key was restored from a backup: it is used when enough of the other "
            "holders have said that they know of no later epoch"
        )


class StaleEpochError(RefusedError):
    """This party knows the key by another epoch than the session's."""

    def __init__(self, asked: int, known: int) -> None:
        super().__init__(
            f"the session is of epoch {asked} of the key, and epoch {known} signs here"
        )

    @property
    def failure(self) -> Failure:
        return Failure.of(FailureCode.STALE_EPOCH, str(self))


class KeyBusyError(RefusedError):
    """Another reshare of the key may still be done: of two, both could be."""

    def __init__(self) -> None:
        super().__init__(
            "another reshare of the key is under way, or was a moment ago and may still be done: "
            "ask again when it is over, which it is at the latest when its request expires"
        )

    @property
    def failure(self) -> Failure:
        return Failure.of(FailureCode.KEY_BUSY, str(self))


class NameTakenError(RefusedError):
    """This party has certified another key of that name for the same owner."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"another key {key_id} of this owner was certified before, perhaps in a session that "
            "failed; choose another id"
        )

    @property
    def failure(self) -> Failure:
        return Failure.of(FailureCode.KEY_EXISTS, str(self))


class EquivocationError(Exception):
    """A party signed two different messages for one place. Both are kept as evidence."""

    def __init__(self, sender: str, slot: str) -> None:
        super().__init__(f"party {sender} sent two different messages as {slot}")
        self.sender = sender
        self.slot = slot
