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
    NODE = "node"
    """SIGKILL for one node of a broker that has several."""
    DATABASE_RESTART = "database-restart"
    DATABASE_KILL = "database-kill"
    """With all that is not logged: round state, nonces, presignatures. In the middle of what the
    target names."""
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
    PRESIGNING_LIAR = "presigning-liar"
    """A party seals for others what is wrong, while they make presignatures."""
    EQUIVOCATOR = "equivocator"
    """A party sends two different messages in one place."""
    SILENT = "silent"
    """A party gives signs of life and says nothing else."""
    SKEW = "skew"
    """A party's clock is two minutes off."""
    DISK_FULL = "disk-full"
    """A database has no place for what is new."""
    CLIENT_AWAY = "client-away"
    GREEDY = "greedy"
    """A coordinator asks for a second answer with nonces and presignatures that were used."""
    RESHARE = "reshare"
    """No fault: a key gets other shares, for the same parties or with the spare one for another."""
    LOST_PARTY = "lost-party"
    """A party's database is thrown away, and no backup has it. It gets shares anew, from others."""
    OLD_BACKUP = "old-backup"
    """A party's database is emptied, and a backup restored of shares that are over since."""
    BLIND_BACKUP = "blind-backup"
    """The same, and its witness is gone with all that it knew to be over."""


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
KEY_MAKERS = tuple(f"party-{i}.keygen.1" for i in (1, 2, 3))
PRESIGNERS = tuple(f"party-{i}.presigning.1" for i in (1, 2, 3))
COORDINATORS = ("coordinator.1", "coordinator.2")
WORKERS = (*COORDINATORS, *SIGNERS, *KEY_MAKERS, *PRESIGNERS)
PARTIES = ("party-1", "party-2", "party-3")
SPARE = "party-4"
"""Is there where shares move, and strikes nobody."""
ROLES = ("coordinator", *PARTIES)
WIRED = ("coordinator.2", "party-1.2", "party-2.presigning.1")
"""The workers whose connections go through a wire that can be cut."""
CLIENTS = ("svcA", "svcB", "legacy")
SQLITE_PARTY = "party-3"
LEADING, FOLLOWING = "leading", "following"
"""The nodes of the broker that lead most queues and fewest."""
MOMENTS = {"keygen": "keygen/2", "presigning": "presign/2", "nonces": "nonces_wanted"}
"""What a database may be killed in the middle of, and the message that tells that it has begun."""

REFRESH, COMMITTEE = "refresh", "committee"
"""Which other shares a key gets."""

LIARS = frozenset({Kind.LIAR, Kind.EQUIVOCATOR, Kind.PRESIGNING_LIAR})

OF_BACKUPS = frozenset({Kind.OLD_BACKUP, Kind.BLIND_BACKUP})
DISASTERS = OF_BACKUPS | {Kind.LOST_PARTY}
"""Of a party's whole database."""
OF_SHARES = DISASTERS | {Kind.RESHARE}
"""With these among the faults there is a spare party, and every client may reshare."""
FORGETFUL = DISASTERS | {Kind.DATABASE_KILL}
"""Who is struck does not know any more what it has said."""

# A reshare that ends late stands in the next one's way until its request has expired.
_AWAY = frozenset({SILENCE, FailureCode.KEY_BUSY})
_LOST_STATE = _AWAY | {FailureCode.PARTY_REFUSED, FailureCode.SPOILT}
_LIES = _LOST_STATE | {FailureCode.PARTY_FAULT}

TRAITS: dict[Kind, Traits] = {
    Kind.KILL: Traits(targets=WORKERS),
    Kind.BEFORE_COMMIT: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.AFTER_COMMIT: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.AFTER_PUBLISH: Traits(targets=WORKERS, lasts_s=(3, 3)),
    Kind.ROLLING_RESTART: Traits(),
    Kind.BROKER_RESTART: Traits(lasts_s=(0, 2), excuses=_AWAY),
    Kind.BROKER_KILL: Traits(lasts_s=(0, 2), excuses=_AWAY),
    Kind.NODE: Traits(targets=(LEADING, FOLLOWING), lasts_s=(2, 8)),
    Kind.DATABASE_RESTART: Traits(lasts_s=(0, 3), excuses=_AWAY),
    # What was made ahead is gone with the unlogged tables. Whoever finds that out pays with their
    # request, once for each pool and each party's nonces.
    Kind.DATABASE_KILL: Traits(
        targets=("", *MOMENTS), lasts_s=(0, 2), excuses=_LOST_STATE, aftermath_s=60
    ),
    Kind.CUT: Traits(targets=WIRED, lasts_s=(2, 5)),
    Kind.BLACK_HOLE: Traits(targets=WIRED, lasts_s=(3, 35), excuses=_AWAY),
    Kind.REPLAY: Traits(lasts_s=(3, 6)),
    Kind.WEATHER: Traits(targets=ROLES, lasts_s=(4, 8)),
    Kind.LOSS: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LOST_STATE, aftermath_s=45),
    Kind.LIAR: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LIES, aftermath_s=45),
    Kind.PRESIGNING_LIAR: Traits(targets=PARTIES, lasts_s=(4, 6), excuses=_LIES, aftermath_s=45),
    Kind.EQUIVOCATOR: Traits(targets=PARTIES, lasts_s=(4, 6), excuses=_LIES, aftermath_s=45),
    Kind.SILENT: Traits(targets=PARTIES, lasts_s=(2, 5), excuses=_LOST_STATE, aftermath_s=45),
    Kind.SKEW: Traits(targets=PARTIES, lasts_s=(5, 10)),
    Kind.DISK_FULL: Traits(targets=ROLES, lasts_s=(2, 5), excuses=_AWAY),
    Kind.CLIENT_AWAY: Traits(targets=CLIENTS, lasts_s=(3, 8)),
    Kind.GREEDY: Traits(lasts_s=(2, 3)),
    Kind.RESHARE: Traits(targets=(REFRESH, COMMITTEE)),
} | {
    # As of a database that was killed, and what was made with the party under way has no end.
    kind: Traits(targets=PARTIES, excuses=_LOST_STATE, aftermath_s=60)
    for kind in DISASTERS
}

_ALONE = {
    Kind.BROKER_RESTART: "broker",
    Kind.BROKER_KILL: "broker",
    Kind.NODE: "broker",
    Kind.REPLAY: "broker",
    Kind.GREEDY: "broker",
    Kind.DATABASE_RESTART: "database",
    Kind.DATABASE_KILL: "database",
    Kind.RESHARE: "shares",
}


def possible(nodes: int) -> tuple[Kind, ...]:
    """What can happen to a stack whose broker has so many nodes."""
    return tuple(kind for kind in Kind if kind is not Kind.NODE or nodes > 1)


def claims(kind: Kind, target: str) -> frozenset[str]:
    """What a fault has for itself while it lasts. Two that want the same cannot strike at once:
    nobody stops what is stopped, and with two liars among three no threshold of two holds."""
    if kind is Kind.ROLLING_RESTART:
        return frozenset(WORKERS)
    if kind is Kind.DISK_FULL:
        return frozenset({target, *(() if target == SQLITE_PARTY else ("database",))})
    if kind is Kind.PRESIGNING_LIAR:
        # In its end bans are lifted, in databases.
        return frozenset({target, "truth", "database"})
    if kind in LIARS:
        return frozenset({target, "truth"})
    if kind in DISASTERS:
        # Where all the others deal, none of them may be hindered.
        workers = (name for name in WORKERS if name.startswith(f"{target}."))
        return frozenset({"shares", "database", "broker", "truth", *ROLES, *workers})
    return frozenset({_ALONE.get(kind, target)})
