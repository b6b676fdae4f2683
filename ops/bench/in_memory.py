"""The protocols among parties in one process, with a clock on the first of them.

Messages travel as bytes, and reading and writing them counts. States are not stored.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from workers.protocols import dkls23, keygen
from workers.protocols.groups import SECP256K1
from workers.protocols.key_share import KeyShare
from workers.protocols.ot import base, pprf
from workers.protocols.ot.arithmetic import Arithmetic
from workers.protocols.rounds import Outbox, PartyIndex

Keys = Mapping[PartyIndex, KeyShare]
Presignatures = Mapping[PartyIndex, tuple[dkls23.Presignature, ...]]
S = TypeVar("S")


SET_UP: list[tuple[Any, str]] = [
    (base, "sender_point"),
    (base, "receiver_points"),
    (base.Pairs, "from_bytes"),
    (base, "sender_keys"),
    (base, "receiver_keys"),
    (pprf, "grow"),
    (pprf, "puncture"),
]
"""Base transfers and trees: where they are, and what they are called."""


@dataclass
class Clock:
    """CPU time of party 1, and how long its messages were.

    Attributes:
        set_up_ms: The part of ``spent_ms`` that went into base transfers and trees.
        sizes: Bytes, by the message's type.
    """

    spent_ms: float = 0.0
    set_up_ms: float = 0.0
    running: bool = False
    sizes: dict[str, int] = field(default_factory=dict)

    @contextmanager
    def of(self, i: int) -> Iterator[None]:
        """Count what runs inside, if it is party 1 that does it: the others' time is not ours."""
        self.running, began = i == 1, time.process_time()
        yield
        self.spent_ms += (time.process_time() - began) * 1000 * self.running
        self.running = False

    def lap(self) -> tuple[float, float]:
        """``spent_ms`` and ``set_up_ms`` since the last lap."""
        lap = self.spent_ms, self.set_up_ms
        self.spent_ms = self.set_up_ms = 0.0
        return lap

    def written(self, message: Any) -> bytes:
        """The message's bytes; notes their size if party 1 wrote them."""
        data: bytes = message.to_bytes()
        if self.running:
            self.sizes[type(message).__name__] = len(data)
        return data

    @contextmanager
    def watching_set_up(self) -> Iterator[None]:
        """Only inside is ``set_up_ms`` kept: the functions themselves know of no clock."""
        plain = [(owner, name, vars(owner)[name]) for owner, name in SET_UP]
        for owner, name, _ in plain:
            setattr(owner, name, self._timed(getattr(owner, name)))
        try:
            yield
        finally:
            for owner, name, function in plain:
                setattr(owner, name, function)

    def _timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            began = time.process_time()
            result = function(*arguments)
            self.set_up_ms += (time.process_time() - began) * 1000 * self.running
            return result

        return timed


@dataclass
class Round:
    """What everybody sent: ``broadcast[sender]``, ``direct[sender][recipient]``."""

    broadcast: dict[PartyIndex, bytes] = field(default_factory=dict)
    direct: dict[PartyIndex, dict[PartyIndex, bytes]] = field(default_factory=dict)

    def everybody(
        self,
        clock: Clock,
        parties: Iterable[PartyIndex],
        step: Callable[[PartyIndex], tuple[S, Outbox[Any, Any]]],
    ) -> dict[PartyIndex, S]:
        """Run a round at all parties, and keep what they send."""
        states = {}
        for i in parties:
            with clock.of(i):
                states[i], outbox = step(i)
                if outbox.broadcast is not None:
                    self.broadcast[i] = clock.written(outbox.broadcast)
                self.direct[i] = {j: clock.written(m) for j, m in outbox.direct.items()}
        return states

    def to_all(self, kind: Any, mine: Any) -> dict[PartyIndex, Any]:
        """What the others broadcast, read by this party."""
        return {j: kind.from_bytes(mine, self.broadcast[j]) for j in mine.others}

    def to_me(self, kind: Any, mine: Any) -> dict[PartyIndex, Any]:
        """What the others sent to this party alone."""
        return {j: kind.from_bytes(mine, self.direct[j][mine.index]) for j in mine.others}


def generate(t: int, n: int, clock: Clock) -> Keys:
    """A whole key generation, each party's messages handed over in memory."""
    session_id = os.urandom(32)
    parties = {
        i: keygen.Parameters(
            group=SECP256K1,
            session_id=session_id,
            index=i,
            threshold=t,
            party_count=n,
            context=b"",
        )
        for i in map(PartyIndex, range(1, n + 1))
    }
    one, two, three = Round(), Round(), Round()
    committed = one.everybody(
        clock, parties, lambda i: keygen.round1(parties[i], randomness=os.urandom(32))
    )
    opened = two.everybody(
        clock,
        parties,
        lambda i: keygen.round2(committed[i], one.to_all(keygen.Commitment, parties[i])),
    )
    dealt = three.everybody(
        clock,
        parties,
        lambda i: keygen.round3(opened[i], two.to_all(keygen.Opening, parties[i])),
    )
    keys = {}
    for i, mine in parties.items():
        with clock.of(i):
            keys[i] = keygen.finish(dealt[i], three.to_me(keygen.Share, mine)).key_share
    return keys


def presign(keys: Keys, count: int, arithmetic: Arithmetic, clock: Clock) -> Presignatures:
    """One batch by all holders of the key."""
    session_id, signers = os.urandom(32), tuple(sorted(keys))
    parties = {
        i: dkls23.Parameters(
            session_id=session_id,
            index=i,
            signers=signers,
            count=count,
            public_key=keys[i].public_key,
            context=b"",
        )
        for i in signers
    }
    zero, one, two = Round(), Round(), Round()
    offered = zero.everybody(
        clock, parties, lambda i: dkls23.round0(parties[i], keys[i], randomness=os.urandom(32))
    )
    extended = one.everybody(
        clock,
        parties,
        lambda i: dkls23.round1(
            offered[i], keys[i], zero.to_me(dkls23.SetUp, parties[i]), randomness=os.urandom(32)
        ),
    )
    answered = two.everybody(
        clock,
        parties,
        lambda i: dkls23.round2(
            extended[i],
            keys[i],
            one.to_all(dkls23.Commitment, parties[i]),
            one.to_me(dkls23.Extension, parties[i]),
            arithmetic=arithmetic,
        ),
    )
    made = {}
    for i, mine in parties.items():
        with clock.of(i):
            inbox = two.to_me(dkls23.Answer, mine)
            made[i] = dkls23.finish(answered[i], inbox, arithmetic=arithmetic)
    return made


def sign(
    presignatures: Mapping[PartyIndex, dkls23.Presignature], clock: Clock
) -> tuple[float, float]:
    """Milliseconds of one share, and of combining all of them."""
    task = dkls23.Task(
        session_id=os.urandom(32), digest=os.urandom(32), request_digest=os.urandom(32)
    )
    shares = {}
    for i, presignature in presignatures.items():
        with clock.of(i):
            shares[i] = clock.written(dkls23.sign(presignature, task))
    share_ms, _ = clock.lap()
    with clock.of(1):
        parsed = {i: dkls23.SignatureShare.from_bytes(share) for i, share in shares.items()}
        dkls23.combine(presignatures[min(presignatures)].view, task, parsed).to_bytes()
    return share_ms, clock.lap()[0]
