"""The protocols that sessions run: one row each, with all that both wings have to agree on.

Here is what passes between coordinator and parties: how a session begins, its rounds, its lane, its
reports. What either does stands in a table of its own wing, which has to have the same protocols.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_args

from contracts import addresses, sessions
from contracts.primitives import Contract
from contracts.sessions import (
    PresignBatch,
    RehearsalAsked,
    RequestCancelled,
    ReshareCreated,
    SessionCreated,
)
from contracts.terms import Member, SessionTerms

Begun = SessionCreated | PresignBatch | ReshareCreated
"""The instructions that begin a session with members."""


class IncompleteTableError(Exception):
    """A protocol, instruction or report without its place in a table: says which and where."""


###
### What a row says
###


class Way(Enum):
    BROADCAST = "broadcast"
    """The same signed bytes to every receiver."""
    DIRECT = "direct"
    """Other bytes to each receiver, sealed for it."""


class Role(Enum):
    """Which of a session's members. One may be both dealer and receiver."""

    ALL = "all"
    DEALERS = "dealers"
    RECEIVERS = "receivers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """
    Attributes:
        introduces: Each message begins with its sender's ephemeral key, by which direct messages
            are sealed from the next round on. Before, they are sealed to the identity key.
        clear_bytes: Of a direct message, in front of what is sealed.
    """

    way: Way
    senders: Role = Role.ALL
    receivers: Role = Role.ALL
    introduces: bool = False
    clear_bytes: int = 0

    def opened_by(self, earlier: Round) -> bool:
        """Whether this round's receivers have its senders' ephemeral keys from another one."""
        return (
            earlier.introduces
            and earlier.senders in (Role.ALL, self.senders)
            and earlier.receivers in (Role.ALL, self.receivers)
        )


@dataclass(frozen=True, slots=True)
class Lane:
    """The exchanges of instructions and of round messages. A party has a queue for each lane."""

    instructions: str
    rounds: str


INBOX = Lane(addresses.SESSIONS, addresses.ROUNDS)
KEY_GENERATION = Lane(addresses.KEYGEN, addresses.KEYGEN)
PRESIGNING = Lane(addresses.PRESIGNING, addresses.PRESIGNING)

Select = Callable[[Begun], Sequence[Member]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """
    Attributes:
        name: In terms, in the stores, and as the kind of round messages.
        reports: That no session of another protocol has.
        roles: Who is dealer or receiver, where rounds tell them apart. All members have distinct
            indices in a session, whatever place they have in a key.
        forgets_sent: Once a session is over, what it sent is of no use to anybody.
    """

    name: str
    begun_by: type[Begun | RequestCancelled | RehearsalAsked]
    lane: Lane
    reports: tuple[type[Contract], ...]
    rounds: tuple[Round, ...] = ()
    roles: Mapping[Role, Select] = field(default_factory=dict)
    forgets_sent: bool = False

    def __post_init__(self) -> None:
        for number, each in enumerate(self.rounds, start=1):
            for role in {each.senders, each.receivers} - {Role.ALL, *self.roles}:
                raise IncompleteTableError(f"{self.name} does not say who its {role.value} are")
            if each.way is Way.BROADCAST and each.clear_bytes:
                raise IncompleteTableError(f"a broadcast is all clear, in {self.slot(number)} too")
            if each.way is Way.DIRECT and not any(map(each.opened_by, self.rounds[:number])):
                raise IncompleteTableError(
                    f"nobody can open {self.slot(number)}: its senders have not introduced "
                    "themselves to all its receivers"
                )

    def slot(self, round_: int) -> str:
        """As `inbox.slot_of` an envelope of the round."""
        return f"{self.name}/{round_}"

    def round(self, number: int) -> Round | None:
        """None if there is no such round. They are counted from 1."""
        return self.rounds[number - 1] if 1 <= number <= len(self.rounds) else None

    def members(self, role: Role, begun: Begun) -> Sequence[Member]:
        return begun.terms.members if role is Role.ALL else self.roles[role](begun)


###
### The rows
###

KEYGEN = Protocol(
    name="keygen",
    begun_by=SessionCreated,
    lane=KEY_GENERATION,
    reports=(sessions.KeyCertified,),
    rounds=(
        Round(way=Way.BROADCAST, introduces=True),
        Round(way=Way.BROADCAST),
        Round(way=Way.DIRECT),
        Round(way=Way.BROADCAST),
    ),
)
SIGN = Protocol(
    name="sign",
    begun_by=SessionCreated,
    lane=INBOX,
    reports=(sessions.ShareSigned, sessions.NoncesMade),
)
PRESIGN = Protocol(
    name="presign",
    begun_by=PresignBatch,
    lane=PRESIGNING,
    reports=(sessions.PresignaturesMade,),
    rounds=(
        Round(way=Way.DIRECT, introduces=True),
        Round(way=Way.DIRECT, clear_bytes=32),
        Round(way=Way.DIRECT),
    ),
    forgets_sent=True,
)


def _dealers(begun: Begun) -> list[Member]:
    assert isinstance(begun, ReshareCreated)
    return [member for member in begun.terms.members if member.deals_as is not None]


def _receivers(begun: Begun) -> list[Member]:
    assert isinstance(begun, ReshareCreated)
    return [member for member in begun.terms.members if member.receives_as is not None]


RESHARE = Protocol(
    name="reshare",
    begun_by=ReshareCreated,
    lane=KEY_GENERATION,
    reports=(sessions.EpochCertified,),
    rounds=(
        Round(way=Way.BROADCAST, introduces=True),
        Round(way=Way.BROADCAST, senders=Role.DEALERS),
        Round(way=Way.BROADCAST),
        Round(way=Way.DIRECT, senders=Role.DEALERS, receivers=Role.RECEIVERS),
        Round(way=Way.BROADCAST),
    ),
    roles={Role.DEALERS: _dealers, Role.RECEIVERS: _receivers},
)
CANCEL = Protocol(
    name="cancel",
    begun_by=RequestCancelled,
    lane=INBOX,
    reports=(sessions.CancelAnswered,),
)
REHEARSE = Protocol(
    name="rehearse",
    begun_by=RehearsalAsked,
    lane=KEY_GENERATION,  # a reshare would come by it
    reports=(sessions.RehearsalAnswered,),
)

BEGIN_NOTHING = (
    sessions.NoncesWanted,
    sessions.EpochProven,
    sessions.VoucherAsked,
    sessions.VoucherShown,
    sessions.SessionCancelled,
)
OF_ANY_SESSION = (sessions.PartyJoined, sessions.SessionFailed)
OF_NO_SESSION = (
    sessions.EpochsRetired,
    sessions.VouchersWanted,
    sessions.VoucherGiven,
    sessions.PartyAlive,
)


###
### What follows from them
###


def table(*rows: Protocol) -> Mapping[str, Protocol]:
    """By name. Raises IncompleteTableError unless every protocol that terms can name, every
    instruction and every report has its place, and only one."""
    made = {row.name: row for row in rows}
    named = {*get_args(SessionTerms.model_fields["protocol"].annotation)}
    begun = Counter(row.name for row in rows if row.begun_by is SessionCreated)
    _complete("protocols of terms", begun, named)
    begins = {row.begun_by for row in rows}
    _complete("instructions", Counter([*begins, *BEGIN_NOTHING]), _members(sessions.Instruction))
    reports = [each for row in rows for each in row.reports]
    placed = Counter([*reports, *OF_ANY_SESSION, *OF_NO_SESSION])
    _complete("reports", placed, _members(sessions.Report))
    lanes = {row.begun_by: row.lane for row in rows}
    for row in rows:
        if row.begun_by is not SessionCreated and lanes[row.begun_by] != row.lane:
            raise IncompleteTableError(f"what begins {row.name} goes by the lane of another")
    return made


def complete(where: str, names: Iterable[str], rows: Iterable[Protocol]) -> None:
    """For the tables of either wing. Raises IncompleteTableError unless each row is there, and
    nothing else."""
    _complete(where, Counter(iter(names)), {row.name for row in rows})


def lanes_of(kind: str) -> frozenset[Lane]:
    """By which a kind may come: an instruction's name, or a round message's kind with or without
    its round. What nobody knows goes to the inbox, to be refused there."""
    return _LANES.get(kind.partition("/")[0], frozenset({INBOX}))


def lane_of(content: sessions.Instruction) -> Lane:
    """By which an instruction goes: that of the protocol whose session it begins. What begins none
    goes to the inbox, past the sessions that it may end."""
    if isinstance(content, SessionCreated):
        return PROTOCOLS[content.terms.protocol].lane
    (lane,) = lanes_of(content.instruction)
    return lane


def _complete(what: str, placed: Counter[Any], wanted: Collection[Any]) -> None:
    wrong = {each for each in {*placed, *wanted} if placed[each] != 1 or each not in wanted}
    if wrong:
        names = sorted(getattr(each, "__name__", str(each)) for each in wrong)
        raise IncompleteTableError(f"{what}: {', '.join(names)} must have one place, and has not")


def _members(union: Any) -> set[type[Contract]]:
    """Of a discriminated union, which is annotated."""
    return set(get_args(get_args(union)[0]))


PROTOCOLS = table(KEYGEN, SIGN, PRESIGN, RESHARE, CANCEL, REHEARSE)
OF_REQUESTS = frozenset({KEYGEN.name, SIGN.name, RESHARE.name})
"""Whose sessions are asked for by a request that is to be answered by them."""
OF_ROUNDS = tuple(row for row in PROTOCOLS.values() if row.rounds)
PROTOCOL_OF_REPORT: Mapping[str, str] = {
    report.model_fields["report"].default: row.name
    for row in PROTOCOLS.values()
    for report in row.reports
}
_LANES: Mapping[str, frozenset[Lane]] = {
    row.name: frozenset({row.lane}) for row in PROTOCOLS.values()
} | {
    row.begun_by.model_fields["instruction"].default: frozenset(
        each.lane for each in PROTOCOLS.values() if each.begun_by is row.begun_by
    )
    for row in PROTOCOLS.values()
}
