"""What a run writes down while it happens, as plain values, for `invariants` to judge."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from contracts.failures import FailureCode
from contracts.requests import Request

from .faults import SILENCE, TRAITS, Kind

Place = tuple[str, str, str, str]
"""Session in hex, kind with round, sender, recipient: where one message belongs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """A fault as it happened. Times here and below are seconds since the run began."""

    kind: Kind
    target: str
    began_s: float
    ended_s: float
    hits: int = 1
    """How often it was felt, where that is counted. 0: it found nothing to strike."""

    def excuses(self, code: str, began_s: float, ended_s: float) -> bool:
        """Whether it may be why a request of that time failed with that code."""
        traits = TRAITS[self.kind]
        if code == FailureCode.OVERLOADED:  # told at once or in the line that it would expire
            code = SILENCE
        return (
            code in traits.excuses
            and began_s <= self.ended_s + traits.aftermath_s
            and ended_s >= self.began_s
        )


@dataclass(slots=True, kw_only=True)
class Asked:
    """
    Attributes:
        given_up_s: When a client of the library would wait no longer.
        due_s: When we do not, either.
        published: How often the broker confirmed it, repeats included.
    """

    client: str
    request: Request
    asked_s: float
    given_up_s: float
    due_s: float
    published: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    at_s: float
    client: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class Violation:
    rule: str
    """As `invariants.RULES` has it."""
    text: str


@dataclass(slots=True)
class Sent:
    """Everything that parties and coordinators sent, as a tap on the exchanges heard it.

    Attributes:
        bodies: The digests of all messages that were sent in one place.
        copies: How many messages there were.
        instructed: (session, party) -> the nonces or presignatures that it was told to use up.
        uses: (party, nonce) -> the sessions in which it answered with it.
        lies: Sessions in which a party that was told to equivocate did, before it went on.
        epochs: Session -> the epochs of its key that messages of it name.
        stated: (session, party) -> what it answered to a cancel that binds it, however often.
    """

    bodies: defaultdict[Place, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    copies: int = 0
    instructed: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    uses: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    lies: set[str] = field(default_factory=set)
    epochs: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    stated: defaultdict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True, slots=True, order=True)
class Accusation:
    """A party will not presign with another one, or has told the coordinator of its fault."""

    by: str
    against: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftover:
    """Something that should have been gone after the quiet period."""

    where: str
    what: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    queue: str
    kind: str
    reason: str
    message_id: str = ""


@dataclass(slots=True, kw_only=True)
class Facts:
    """
    Attributes:
        asked: By request id.
        answers: By request id, in the order in which they came.
        memory: Process -> resident bytes at the start of the steady state and at the end.
        proving: Requests that showed at the end that a key is there, and for which signers.
        asides: Requests that name a party that cannot sign, so that it hears why: they may fail.
        revived: What was restored although it is over.
        deaths: Workers that ended although nobody asked them to: name and how.
    """

    asked: dict[str, Asked] = field(default_factory=dict)
    answers: defaultdict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))
    struck: list[Struck] = field(default_factory=list)
    sent: Sent = field(default_factory=Sent)
    leftovers: list[Leftover] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    accusations: set[Accusation] = field(default_factory=set)
    memory: dict[str, tuple[int, int]] = field(default_factory=dict)
    proving: dict[str, str] = field(default_factory=dict)
    asides: set[str] = field(default_factory=set)
    revived: list[str] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)
    log_errors: list[str] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0
    cuts: int = 0
    quiet_after_s: float | None = None
    """From the last answer until nothing was left anywhere; None if it never came to that."""
