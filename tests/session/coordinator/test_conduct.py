"""What the coordinator remembers of a session."""

from __future__ import annotations

import pytest

from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve
from tests.protocols.simulate import coins
from tests.session.builders import LIFETIME_MS, NOW, facts, signing_session
from tests.session.conducts import keygen_conduct, replaceable
from tests.session.ecdsa_sessions import CURVE, ecdsa_session, list_session
from workers.session.coordinator.conduct import Conduct, Presigned
from workers.store.records import PooledPresignature

###
### Tokens
###


def test_the_join_secret_hides_in_its_repr() -> None:
    assert "join_secret" not in repr(keygen_conduct())


###
### Presignatures
###


def test_nobody_lacks_a_commitment_where_there_are_presignatures() -> None:
    session = ecdsa_session()
    assert session.conduct().presigned
    assert session.conduct().lacking() == []
    assert not signing_session().conduct().presigned
    assert not signing_session(scheme="secp256k1").conduct().presigned
    assert not keygen_conduct(curve="secp256k1").presigned


def test_the_public_half_of_a_pooled_presignature_is_what_a_session_keeps() -> None:
    pooled = PooledPresignature(
        batch=coins("b"),
        position=7,
        key_session=coins("k"),
        epoch=0,
        signers="1,3",
        point=facts(CURVE).public_key,
    )
    kept = Presigned.of(pooled)
    assert (kept.batch, kept.position, kept.point) == (pooled.batch, 7, pooled.point)


###
### Other signers
###


def test_signers_have_so_long_and_never_longer_than_the_request() -> None:
    assert replaceable().until(NOW) == NOW + 5_000
    assert replaceable().until(NOW + LIFETIME_MS - 1) == NOW + LIFETIME_MS
    assert replaceable(try_ms=None).until(NOW) == NOW + LIFETIME_MS


@pytest.mark.parametrize("code", FailureCode)
def test_other_signers_are_tried_where_they_may_do_better(code: FailureCode) -> None:
    signers_fault = {"expired", "party_fault", "party_refused", "spoilt", "stale_epoch"}
    failure = Failure.of(code, "because")
    assert replaceable().may_go_on(failure, NOW) == (code.value in signers_fault)


def test_other_signers_are_not_tried_for_ever() -> None:
    failure = Failure.of(FailureCode.EXPIRED, "because")
    assert replaceable(tries=2).may_go_on(failure, NOW)
    assert not replaceable(tries=3).may_go_on(failure, NOW)
    assert not replaceable(try_ms=None).may_go_on(failure, NOW)
    assert not replaceable().may_go_on(failure, NOW + LIFETIME_MS - 299)


###
### What its owner asks
###


def test_a_session_says_its_key_s_curve_and_parties() -> None:
    making = keygen_conduct(curve=Curve.SECP256K1)
    assert (making.curve, making.party_count) == (Curve.SECP256K1, 3)
    two_of_three = signing_session().conduct()
    assert (two_of_three.curve, two_of_three.party_count) == (Curve.ED25519, 3)
    assert len(two_of_three.terms.members) == 2


###
### Stored form
###


def test_a_conduct_is_stored_and_read_back() -> None:
    for conduct in (keygen_conduct(), signing_session().conduct()):
        assert Conduct.model_validate_json(conduct.model_dump_json()) == conduct


def test_a_conduct_with_presignatures_is_stored_and_read_back() -> None:
    for session in (ecdsa_session(), list_session()):
        conduct = session.conduct()
        assert Conduct.model_validate_json(conduct.model_dump_json()) == conduct
