"""Key generation as it must not be used: a mistake of ours is refused and blames nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from workers.protocols import keygen
from workers.protocols.groups import SECP256K1
from workers.protocols.rounds import (
    MisuseError,
)

from .simulate import (
    index,
    indices,
    parameters_of,
)


@pytest.mark.parametrize(("t", "n"), [(1, 3), (0, 2), (4, 3), (2, 21), (2, 1), (-1, 2)])
def test_an_impossible_threshold_is_refused(t: int, n: int) -> None:
    with pytest.raises(MisuseError, match="threshold"):
        parameters_of(SECP256K1, t, max(n, 1))


@pytest.mark.parametrize("i", [0, 4, -1])
def test_an_index_outside_the_session_is_refused(i: int) -> None:
    with pytest.raises(MisuseError, match="not among"):
        replace(parameters_of(SECP256K1, 2, 3)[index(1)], index=index(i))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_session_id_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MisuseError, match="session id"):
        parameters_of(SECP256K1, 2, 3, session_id=bytes(size))


@pytest.mark.parametrize("size", [0, 31, 33])
def test_randomness_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(MisuseError, match="randomness"):
        keygen.round1(parameters_of(SECP256K1, 2, 3)[index(1)], randomness=bytes(size))


@pytest.mark.parametrize("senders", [(), (2,), (1, 2, 3), (2, 4), (2, 3, 4)])
def test_a_step_does_not_run_on_an_incomplete_or_foreign_inbox(senders: tuple[int, ...]) -> None:
    parameters = parameters_of(SECP256K1, 2, 3)[index(1)]
    committed, outbox = keygen.round1(parameters, randomness=bytes(32))
    assert outbox.broadcast is not None
    commitments = dict.fromkeys(indices(senders), outbox.broadcast)
    with pytest.raises(MisuseError, match="inbox"):
        keygen.round2(committed, commitments)

    opened, _ = keygen.round2(committed, dict.fromkeys(parameters.others, outbox.broadcast))
    with pytest.raises(MisuseError, match="inbox"):
        keygen.round3(opened, dict.fromkeys(indices(senders), committed.opening))

    dealt = keygen.Dealt(
        parameters=parameters,
        own_value=SECP256K1.scalar(1),
        vectors={},
        chain_code=bytes(32),
        transcript_digest=bytes(32),
    )
    share = keygen.Share(SECP256K1.scalar(1), bytes(32))
    with pytest.raises(MisuseError, match="inbox"):
        keygen.finish(dealt, dict.fromkeys(indices(senders), share))
