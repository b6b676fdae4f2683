"""A nonce is one signer's and signs once; randomness that repeats gives no nonce again."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.primitives import Scheme
from contracts.results import Status
from tests.protocols.simulate import coins
from tests.session.builders import (
    NOW,
    accepted_by,
    key_record,
    nonce,
    nonces_made,
    nonces_wanted,
    party,
    signing_session,
)
from tests.session.conducts import waiting
from workers.protocols import frost
from workers.session.coordinator import reports as reporting
from workers.session.coordinator.combining import well_formed
from workers.session.errors import RefusedError
from workers.session.nonce_batches import batch_id
from workers.session.party import signing

FROST = [each for each in Scheme if each is not Scheme.ECDSA]
AGAIN = coins("a cloned machine"), coins("draws this again")


def test_a_session_that_gives_two_signers_one_nonce_id_is_refused() -> None:
    session = signing_session()
    one, three = session.commitments.values()
    accepted_by(session.created(commitments=[one, three]), 1, now=NOW)
    doubled = three.model_copy(update={"nonce_id": one.nonce_id})
    for i in (1, 3):
        with pytest.raises(RefusedError, match="two signers are given one nonce id"):
            accepted_by(session.created(commitments=[one, doubled]), i, now=NOW)


def test_nonces_under_equal_ids_name_their_sender() -> None:
    """Whether the commitments are equal too, or not."""
    _, conduct = waiting()
    one, other = nonce(3, Scheme.ED25519)[1], nonce(3, Scheme.ED25519, "other")[1]
    for fresh in ([one, one], [one, other.model_copy(update={"nonce_id": one.nonce_id})]):
        assert not well_formed(Scheme.ED25519, fresh)
        progress = reporting.nonces_made(
            conduct, "party-3", nonces_made(fresh), request=b"{}", signature=b"", now=NOW
        )
        assert progress.status is Status.FAILED
        assert progress.failure is not None
        assert progress.failure.culprits == ["party-3"]
    assert well_formed(Scheme.ED25519, [one, other])


###
### Randomness that repeats
###


def made(count: int, scheme: Scheme, **changes: Any) -> list[bytes]:
    wanted = nonces_wanted(2, scheme, count=count, **changes)
    step = signing.make_nonces(
        wanted, party(2), key_record(2, scheme.curve.value), randomness=b"".join(AGAIN) * count
    )
    return [each.secret for each in step.nonces]


@pytest.mark.parametrize("scheme", FROST)
def test_equal_randomness_gives_other_nonces_in_every_batch_and_position(scheme: Scheme) -> None:
    another = coins("another session")
    changes = {"session_id": another, "batch_id": batch_id(another, "party-2")}
    secrets = [*made(3, scheme), *made(3, scheme, **changes)]
    drawn = [frost.Nonces.from_bytes(each) for each in secrets]
    assert len({number for each in drawn for number in (each.hiding, each.binding)}) == 12


@pytest.mark.parametrize("scheme", FROST)
def test_equal_randomness_gives_another_next_nonce_in_every_session(scheme: Scheme) -> None:
    message = coins("message")
    fresh = set[bytes]()
    for salt in ("one", "two"):
        session = signing_session(
            scheme=scheme, message=message, terms_changes={"salt": coins(salt)}
        )
        step = signing.answer(
            session.accepted(1),
            party(1),
            key_record(1, session.curve),
            session.nonces[1],
            randomness=b"".join(AGAIN),
        )
        (record,) = step.nonces
        fresh.add(record.secret)
    assert len(fresh) == 2
    assert not fresh & set(made(1, scheme))
