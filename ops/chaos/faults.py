"""The kinds of faults: whom each strikes, how long it lasts, and what it may excuse."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from contracts.failures import FailureCode

SILENCE = FailureCode.EXPIRED
"""What a request ends with when somebody was not heard in time."""


class Kind(StrEnum):
    KILL = "kill"
    """SIGKILL, at whatever instruction."""
    BEFORE_COMMIT = "crash-before-commit"
    AFTER_COMMIT = "crash-after-commit"
    """Committed, not published."""
    AFTER_PUBLISH = "crash-after-publish"
    """Committed and published, not acknowledged."""
    ROLLING_RESTART = "rolling-restart"
    BROKER_RESTART = "broker-restart"
    BROKER_KILL = "broker-kill"
    DATABASE_RESTART = "database-restart"
    DATABASE_KILL = "database-kill"
    CUT = "cut"
    """The TCP connections of one worker to the broker, and none for a while."""
    BLACK_HOLE = "black-hole"
    """They stay, and nothing gets through."""
    REPLAY = "replay"
    """What was sent earlier is sent again, byte for byte: late, doubled, out of order."""
    WEATHER = "weather"
    """Deliveries come late, out of order, twice at once, or go back unhandled."""
    LOSS = "loss"
    """Deliveries are acknowledged and never handled."""
    LIAR = "liar"
    """A party signs shares and messages that are wrong."""
    EQUIVOCATOR = "equivocator"
    """A party sends two different messages in one place."""
    SILENT = "silent"
    """A party gives signs of life and says nothing else."""
    SKEW = "skew"
    """A party's clock is two minutes off."""
    DISK_FULL = "disk-full"
    CLIENT_AWAY = "client-away"
    GREEDY = "greedy"
    """A coordinator asks for a second answer with nonces and presignatures that were used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """
    Attributes:
        targets: One of them is struck; empty where there is nothing to choose.
        lasts_s: Shortest and longest; a fault that is over in an instant lasts nothing.
        excuses: Codes that a request may fail with for it. Others are nobody's fault but ours.
        aftermath_s: For so long after its end it still may.
    """

    targets: tuple[str, ...] = ()
    lasts_s: tuple[float, float] = (0.0, 0.0)
    excuses: frozenset[FailureCode] = frozenset()
    aftermath_s: float = 0.0


SIGNERS = tuple(f"party-{i}.{k}" for i in (1, 2, 3) for k in (1, 2))
PRESIGNERS = tuple(f"party-{i}.presigning.1" for i in (1, 2, 3))
COORDINATORS = ("coordinator.1", "coordinator.2")
WORKERS = (*COORDINATORS, *SIGNERS, *PRESIGNERS)
PARTIES = ("party-1", "party-2", "party-3")
ROLES = ("coordinator", *PARTIES)
WIRED = ("coordinator.2", "party-1.2", "party-2.presigning.1")
"""The workers whose connections go through a wire that can be cut."""
CLIENTS = ("svcA", "svcB", "legacy")
SQLITE_PARTY = "party-3"

_LOST_STATE = frozenset({SILENCE, FailureCode.PARTY_REFUSED, FailureCode.SPOILT})
_LIES = frozenset({SILENCE, FailureCode.PARTY_FAULT, FailureCode.PARTY_REFUSED, FailureCode.SPOILT})

TRAITS: dict[Kind, Traits] = {
    Kind.KILL: Traits(targets=WORKERS),
    Kind.BEFORE_COMMIT: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.AFTER_COMMIT: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.AFTER_PUBLISH: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.ROLLING_RESTART: Traits(),
    Kind.BROKER_RESTART: Traits(lasts_s=(0, 2), excuses=frozenset({SILENCE})),
    Kind.BROKER_KILL: Traits(lasts_s=(0, 2), excuses=frozenset({SILENCE})),
    Kind.DATABASE_RESTART: Traits(lasts_s=(0, 3), excuses=frozenset({SILENCE})),
    # What was made ahead is gone with the unlogged tables. Whoever finds that out pays with his
    # request, once for each pool and each party's nonces.
    Kind.DATABASE_KILL: Traits(lasts_s=(0, 2), excuses=_LOST_STATE, aftermath_s=60),
    Kind.CUT: Traits(targets=WIRED, lasts_s=(2, 5)),
    Kind.BLACK_HOLE: Traits(targets=WIRED, lasts_s=(3, 35), excuses=frozenset({SILENCE})),
    Kind.REPLAY: Traits(lasts_s=(3, 6)),
    Kind.WEATHER: Traits(targets=ROLES, lasts_s=(4, 8)),
    Kind.LOSS: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LOST_STATE, aftermath_s=45),
    Kind.LIAR: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LIES, aftermath_s=45),
    Kind.EQUIVOCATOR: Traits(targets=PARTIES, lasts_s=(4, 6), excuses=_LIES, aftermath_s=45),
    Kind.SILENT: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LOST_STATE, aftermath_s=45),
    Kind.SKEW: Traits(targets=PARTIES, lasts_s=(5, 10)),
    Kind.DISK_FULL: Traits(lasts_s=(2, 5), excuses=frozenset({SILENCE})),
    Kind.CLIENT_AWAY: Traits(targets=CLIENTS, lasts_s=(3, 8)),
    Kind.GREEDY: Traits(lasts_s=(2, 3)),
}
