"""A protocol for tests in which some deal and others receive, as when a key changes hands.

Everybody introduces itself; dealers give each receiver a number; receivers tell each other the sum.
Party 1 deals only, party 2 deals and receives, parties 3 and 4 receive only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from contracts.sessions import PartyAlive, SessionCreated
from contracts.terms import Member
from tests.protocols.simulate import coins
from tests.session.builders import drawn, keygen_created, member, party
from tests.session.party.sittings import Sitting
from workers.protocols.rounds import Blame, Outbox, PartyIndex
from workers.session.party.acceptance import Party
from workers.session.party.engine import Engine, Move, Play, Randomness, Turn
from workers.session.protocols import INBOX, Begun, Protocol, Role, Round, Select, Way

DEALERS, RECEIVERS = (1, 2), (2, 3, 4)
NAMES = [f"party-{i}" for i in (1, 2, 3, 4)]
CLEAR = b"deal"


def those(indices: Iterable[int]) -> Select:
    wanted = set(indices)

    def select(begun: Begun) -> list[Member]:
        return [each for each in begun.terms.members if each.index in wanted]

    return select


def protocol(*rounds: Round) -> Protocol:
    return Protocol(
        name="hand",
        begun_by=SessionCreated,
        lane=INBOX,
        reports=(),
        rounds=rounds,
        roles={Role.DEALERS: those(DEALERS), Role.RECEIVERS: those(RECEIVERS)},
    )


HAND = protocol(
    Round(way=Way.BROADCAST, introduces=True),
    Round(way=Way.DIRECT, senders=Role.DEALERS, receivers=Role.RECEIVERS, clear_bytes=len(CLEAR)),
    Round(way=Way.BROADCAST, senders=Role.RECEIVERS, receivers=Role.RECEIVERS),
)


def dealt(dealer: int, receiver: int) -> int:
    return 10 * dealer + receiver


def number(data: bytes) -> int:
    if len(data) != 1:
        raise ValueError("a number has one byte")
    return data[0]


def clear(data: bytes) -> None:
    if data != CLEAR:
        raise ValueError("not what stands in front")


def begin(_: Turn) -> Move:
    return Move(protocol=b"begun", outbox=Outbox(broadcast=b"hello"))


def deal(turn: Turn) -> Move:
    turn.parse(bytes.decode)
    own = turn.state.own_index
    if own not in DEALERS:
        return Move(protocol=b"\0")
    direct = {PartyIndex(i): bytes([dealt(own, i)]) for i in RECEIVERS if i != own}
    kept = dealt(own, own) if own in RECEIVERS else 0
    return Move(protocol=bytes([kept]), outbox=Outbox(broadcast=CLEAR, direct=direct))


def add(turn: Turn) -> Move:
    if turn.state.own_index not in RECEIVERS:
        return Move()
    turn.parse_clear(clear)
    total = sum(turn.parse(number).values()) + number(turn.state.protocol)
    # All receivers' sums minus what differs among them: the same for everybody.
    total -= len(DEALERS) * turn.state.own_index
    return Move(protocol=bytes([total]), outbox=Outbox(broadcast=bytes([total])))


def compare(turn: Turn) -> Move:
    if turn.state.own_index not in RECEIVERS:
        return Move()
    blame = Blame()
    own = number(turn.state.protocol)
    for j, total in turn.parse(number).items():
        if total != own:
            blame.add(j, "sum")
    blame.raise_if_any()
    return Move(reports=(PartyAlive(at=own),))


PLAYS: tuple[Play, ...] = (begin, deal, add, compare)
ENGINE = Engine(HAND, PLAYS)


def created() -> SessionCreated:
    return keygen_created(members=[member(i) for i in (1, 2, 3, 4)])


@dataclass
class Run(Sitting):
    """A session by four parties."""

    engine: Engine = ENGINE
    begun: Begun = field(default_factory=created)
    parties: Mapping[str, Party] = field(
        default_factory=lambda: {name: party(i) for i, name in enumerate(NAMES, start=1)}
    )

    def coins(self, name: str) -> Randomness:
        """What it takes to begin, and nothing more."""
        return drawn(b"") if self.steps.get(name) else drawn(b"", coins("ephemeral", name))
