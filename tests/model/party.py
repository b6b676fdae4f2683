"""What one party keeps of one (owner, request id), and every way in which that changes.

A party is two workers on one database. A worker reads, thinks, and then changes the database in one
transaction, and may be slow or die between; so each rule says when it is asked. Rules are pure
functions from what is kept, what is wanted and the party's clock to a refusal.

Times are small numbers: a tolerance of one is as good as one of fifteen seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import NamedTuple

TOLERANCE = 1
"""How far a client's clock is off, at most."""
LIFETIME = 2
"""Of a request, at most."""
MEMORY = LIFETIME + 2 * TOLERANCE
"""For so long answers are kept; no less, or a request would be answered anew."""
TRIES = 3
"""Sessions in which a request is answered."""
NOBODY_SAYS = -1
"""Since when a statement counts, where statements do not say."""


class Body(NamedTuple):
    """One of the bodies that came under the id."""

    digest: str
    issued_at: int


class Cancel(NamedTuple):
    issued_at: int
    target_issued_at: int | None


class Statement(NamedTuple):
    """ "I committed nothing of what was issued after `since` and not after `until`, and never
    will."""

    since: int
    until: int

    def covers(self, body: Body, *, names_beginning: bool = True) -> bool:
        after = not names_beginning or self.since < body.issued_at
        return after and body.issued_at <= self.until


class Answers(NamedTuple):
    digest: str
    sessions: frozenset[int]
    at: int


class Kept(NamedTuple):
    """
    Attributes:
        cancelled: Up to when; None without a cancellation.
        incarnation: Rises when memory is lost, and `begun_at` is when that was.
    """

    answers: Answers | None = None
    cancelled: int | None = None
    incarnation: int = 0
    begun_at: int | None = None


class Verdict(Enum):
    COMMITTED = "committed"
    STATED = "stated"
    EXPIRED = "expired"
    FUTURE = "future"
    FORGOTTEN = "forgotten"
    CANCELLED = "cancelled"
    OTHER_REQUEST = "other request"
    TOO_MANY_TRIES = "too many tries"
    ALREADY_SIGNED = "already signed"


Wanted = tuple[Body, int] | Cancel
"""A share of a body in a session, or an end."""
Rule = Callable[[Kept, Wanted, int], Verdict | None]


###
### Rules of a share
###


def expired(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    body, _ = _share(wanted)
    return Verdict.EXPIRED if now > body.issued_at + LIFETIME + TOLERANCE else None


def from_the_future(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    body, _ = _share(wanted)
    return Verdict.FUTURE if body.issued_at > now + TOLERANCE else None


def not_remembered(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    body, _ = _share(wanted)
    return Verdict.FORGOTTEN if body.issued_at <= horizon_of_loss(kept) else None


def cancelled(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    return None if kept.cancelled is None else Verdict.CANCELLED


def other_request(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    body, _ = _share(wanted)
    answers = kept.answers
    return Verdict.OTHER_REQUEST if answers and answers.digest != body.digest else None


def too_many_tries(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    _, session = _share(wanted)
    answered = kept.answers.sessions if kept.answers else frozenset()
    return Verdict.TOO_MANY_TRIES if len(answered | {session}) > TRIES else None


###
### Rules of a statement
###


def cancel_from_the_future(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    return Verdict.FUTURE if _cancel(wanted).issued_at > now + TOLERANCE else None


def already_signed(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    return Verdict.ALREADY_SIGNED if kept.answers else None


def lost_since(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    target = _cancel(wanted).target_issued_at
    if kept.begun_at is None:
        return None
    return Verdict.FORGOTTEN if target is None or target <= horizon_of_loss(kept) else None


def too_long_ago(kept: Kept, wanted: Wanted, now: int) -> Verdict | None:
    target = _cancel(wanted).target_issued_at
    return Verdict.FORGOTTEN if target is not None and target < now - MEMORY else None


SHARE_RULES: Mapping[str, Rule] = {
    "expired": expired,
    "from the future": from_the_future,
    "not remembered": not_remembered,
    "cancelled": cancelled,
    "other request": other_request,
    "too many tries": too_many_tries,
}
CANCEL_RULES: Mapping[str, Rule] = {
    "cancel from the future": cancel_from_the_future,
    "already signed": already_signed,
    "lost since": lost_since,
    "too long ago": too_long_ago,
}


###
### Changes
###


def commit_share(kept: Kept, body: Body, session: int, now: int) -> Kept:
    """In the transaction that stores the share, under the lock of the request id."""
    before = kept.answers
    # With a rule switched off, another body's row may be there; then it is replaced.
    same = before is not None and before.digest == body.digest
    sessions = before.sessions if before is not None and same else frozenset()
    return kept._replace(answers=Answers(body.digest, sessions | {session}, now))


def commit_cancellation(kept: Kept, cancel: Cancel) -> Kept:
    """In the transaction that makes the statement, under the same lock."""
    return kept._replace(cancelled=max(cancel.issued_at, kept.cancelled or 0))


def statement(kept: Kept, now: int) -> Statement:
    """Of a cancellation that is there."""
    assert kept.cancelled is not None
    return Statement(max(horizon_of_loss(kept), now - MEMORY - 1), kept.cancelled)


def purge(kept: Kept, now: int, *, tolerance: int = TOLERANCE) -> Kept:
    """Arguments: tolerance: By which answers are kept longer than statements look back."""
    if kept.answers is not None and now > kept.answers.at + MEMORY + tolerance:
        kept = kept._replace(answers=None)
    if kept.cancelled is not None and now > forbidden_until(kept.cancelled):
        kept = kept._replace(cancelled=None)
    return kept


def crash(kept: Kept, now: int) -> Kept:
    """Of the database: what was not logged is gone."""
    return kept._replace(answers=None, incarnation=kept.incarnation + 1, begun_at=now)


def restore(kept: Kept, copy: Kept, now: int) -> Kept:
    return Kept(None, copy.cancelled, kept.incarnation + 1, now)


def horizon_of_loss(kept: Kept) -> int:
    """What was issued until then may have been answered and forgotten."""
    return NOBODY_SAYS if kept.begun_at is None else kept.begun_at + TOLERANCE


def forbidden_until(cancelled: int) -> int:
    return cancelled + LIFETIME + 2 * TOLERANCE


def _share(wanted: Wanted) -> tuple[Body, int]:
    assert not isinstance(wanted, Cancel)
    return wanted


def _cancel(wanted: Wanted) -> Cancel:
    assert isinstance(wanted, Cancel)
    return wanted
