"""Batches of presignatures in memory, stopped between any two rounds.

Everything goes through its bytes on the way, messages and states alike, as it would in a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from workers.protocols import dkls23
from workers.protocols.groups import SECP256K1, Scalar
from workers.protocols.key_share import KeyShare
from workers.protocols.ot import pprf
from workers.protocols.ot.arithmetic import Arithmetic
from workers.protocols.rounds import PartyIndex

from ..simulate import coins, indices, random_key

SESSION_ID = b"\x5e" * 32


def parameters_of(
    keys: Mapping[PartyIndex, KeyShare],
    signers: Sequence[int],
    *,
    count: int = 1,
    session_id: bytes = SESSION_ID,
    context: bytes = b"key id, epoch, request",
) -> dict[PartyIndex, dkls23.Parameters]:
    """What each signer starts from."""
    return {
        i: dkls23.Parameters(
            session_id=session_id,
            index=i,
            signers=tuple(indices(sorted(signers))),
            count=count,
            public_key=keys[i].public_key,
            context=context,
        )
        for i in indices(signers)
    }


@dataclass
class Batch:
    """One batch. A test calls the rounds in order and changes what it likes in between.

    Messages are kept as ``sent[sender][recipient]``, or ``[sender]`` where they are broadcast.
    """

    keys: Mapping[PartyIndex, KeyShare]
    parameters: Mapping[PartyIndex, dkls23.Parameters]
    seed: object = "batch"
    arithmetic: Arithmetic | None = None
    offered: dict[PartyIndex, dkls23.Offered] = field(default_factory=dict)
    set_ups: dict[PartyIndex, dict[PartyIndex, dkls23.SetUp]] = field(default_factory=dict)
    extended: dict[PartyIndex, dkls23.Extended] = field(default_factory=dict)
    commitments: dict[PartyIndex, dkls23.Commitment] = field(default_factory=dict)
    extensions: dict[PartyIndex, dict[PartyIndex, dkls23.Extension]] = field(default_factory=dict)
    answered: dict[PartyIndex, dkls23.Answered] = field(default_factory=dict)
    answers: dict[PartyIndex, dict[PartyIndex, dkls23.Answer]] = field(default_factory=dict)

    @property
    def signers(self) -> list[PartyIndex]:
        return list(self.parameters)

    def copy(self) -> Batch:
        """Another future of the same past."""
        return Batch(
            keys=self.keys,
            parameters=dict(self.parameters),
            seed=self.seed,
            arithmetic=self.arithmetic,
            offered=dict(self.offered),
            set_ups={i: dict(sent) for i, sent in self.set_ups.items()},
            extended=dict(self.extended),
            commitments=dict(self.commitments),
            extensions={i: dict(sent) for i, sent in self.extensions.items()},
            answered=dict(self.answered),
            answers={i: dict(sent) for i, sent in self.answers.items()},
        )

    def randomness(self, i: PartyIndex, *label: object) -> bytes:
        return coins(self.seed, i, *label)

    # One round of one party.

    def offer(self, i: PartyIndex) -> None:
        state, outbox = dkls23.round0(
            self.parameters[i], self.keys[i], randomness=self.randomness(i, 0)
        )
        self.offered[i] = dkls23.Offered.from_bytes(state.to_bytes())
        self.set_ups[i] = {
            j: dkls23.SetUp.from_bytes(self.parameters[j], message.to_bytes())
            for j, message in outbox.direct.items()
        }

    def extend(self, i: PartyIndex, *label: object) -> None:
        inbox = {j: self.set_ups[j][i] for j in self.parameters[i].others}
        state, outbox = dkls23.round1(
            self.offered[i], self.keys[i], inbox, randomness=self.randomness(i, 1, *label)
        )
        assert outbox.broadcast is not None
        self.extended[i] = dkls23.Extended.from_bytes(state.to_bytes())
        self.commitments[i] = dkls23.Commitment.from_bytes(
            self.parameters[i], outbox.broadcast.to_bytes()
        )
        self.extensions[i] = {
            j: dkls23.Extension.from_bytes(self.parameters[j], message.to_bytes())
            for j, message in outbox.direct.items()
        }

    def answer(self, i: PartyIndex) -> None:
        others = self.parameters[i].others
        state, outbox = dkls23.round2(
            self.extended[i],
            self.keys[i],
            {j: self.commitments[j] for j in others},
            {j: self.extensions[j][i] for j in others},
            arithmetic=self.arithmetic,
        )
        self.answered[i] = dkls23.Answered.from_bytes(state.to_bytes())
        self.answers[i] = {
            j: dkls23.Answer.from_parts(self.parameters[j], message.to_parts())
            for j, message in outbox.direct.items()
        }

    def finish(self, i: PartyIndex) -> tuple[dkls23.Presignature, ...]:
        inbox = {j: self.answers[j][i] for j in self.parameters[i].others}
        made = dkls23.finish(self.answered[i], inbox, arithmetic=self.arithmetic)
        return tuple(dkls23.Presignature.from_bytes(one.to_bytes()) for one in made)

    # A round of everybody.

    def offer_all(self) -> Batch:
        for i in self.signers:
            self.offer(i)
        return self

    def extend_all(self) -> Batch:
        for i in self.signers:
            self.extend(i)
        return self

    def answer_all(self) -> Batch:
        for i in self.signers:
            self.answer(i)
        return self

    def finish_all(self) -> dict[PartyIndex, tuple[dkls23.Presignature, ...]]:
        return {i: self.finish(i) for i in self.signers}


def new_batch(
    t: int,
    n: int,
    signers: Iterable[int],
    *,
    count: int = 1,
    seed: object = "batch",
    session_id: bytes = SESSION_ID,
    arithmetic: Arithmetic | None = None,
) -> Batch:
    keys = random_key(SECP256K1, t, n, (seed, "key"))
    parameters = parameters_of(keys, list(signers), count=count, session_id=session_id)
    return Batch(keys, parameters, seed=seed, arithmetic=arithmetic)


def presign(batch: Batch) -> dict[PartyIndex, tuple[dkls23.Presignature, ...]]:
    """An undisturbed run."""
    return batch.offer_all().extend_all().answer_all().finish_all()


def extension_over_a_spoilt_tree(
    batch: Batch, sender: PartyIndex, recipient: PartyIndex, *, side: int
) -> dkls23.Extension:
    """What a sender says who spoils one side of its first tree's second level, and is consistent
    about it: the matrix is bound to the correction that goes with it."""
    grow, liar = pprf.grow, batch.copy()

    def spoilt(*arguments: Any) -> tuple[bytes, pprf.Trees]:
        correction, trees = grow(*arguments)
        changed = bytearray(correction)
        changed[32 * side] ^= 1
        return bytes(changed), trees

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pprf, "grow", spoilt)
        liar.extend(sender)
    return liar.extensions[sender][recipient]


@cache
def _offered() -> Batch:
    return new_batch(3, 4, (1, 2, 3), count=2).offer_all()


@cache
def _extended() -> Batch:
    return _offered().copy().extend_all()


@cache
def _answered() -> Batch:
    return _extended().copy().answer_all()


def offered() -> Batch:
    """Three signers of four after round 0; party 2 is the one who will lie."""
    return _offered().copy()


def extended() -> Batch:
    return _extended().copy()


def answered() -> Batch:
    return _answered().copy()


def task_of(digest: bytes, *, tweak: Scalar | None = None, entropy: bytes = b"") -> dkls23.Task:
    return dkls23.Task(
        session_id=coins("signing"),
        digest=digest,
        tweak=tweak or SECP256K1.scalar(0),
        request_digest=coins("request"),
        entropy=entropy,
    )


def sign_all(presignatures: Iterable[dkls23.Presignature], task: dkls23.Task) -> dkls23.Signature:
    made = list(presignatures)
    view = dkls23.PresignatureView.from_bytes(made[0].view.to_bytes())
    shares = {
        one.index: dkls23.SignatureShare.from_bytes(dkls23.sign(one, task).to_bytes())
        for one in made
    }
    return dkls23.combine(view, task, shares)
