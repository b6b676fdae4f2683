"""What a request comes to: the digest and the tweak of each message."""

from __future__ import annotations

import coincurve
import pytest

from contracts.errors import ContractError
from contracts.primitives import Curve
from contracts.requests import SignItem
from contracts.verification import child
from tests.protocols.simulate import coins, reconstruct
from tests.session.builders import facts, key, signing_request
from tests.session.ecdsa_sessions import ITEMS
from workers.protocols.groups import SECP256K1
from workers.session import tasks
from workers.session.errors import RefusedError
from workers.session.tasks import ecdsa_tasks, tweak

FACTS = facts("secp256k1")
PATHS = ["m/0", "m/1", "m/44/60/0/0/7", "m/2147483647", "m" + "/1" * 16]


def _item(path: str | None) -> SignItem:
    return SignItem(message=bytes(32), derivation_path=path)


@pytest.mark.parametrize("path", PATHS)
def test_the_tweak_leads_from_the_key_to_its_child(path: str) -> None:
    tau = tweak(FACTS, _item(path))
    assert tau is not None
    derived = child(FACTS, path)
    secret = reconstruct({i: share for i, share in key("secp256k1").items() if i != 2})
    assert ((secret + tau) * SECP256K1.generator).to_bytes() == derived.public_key
    # The same by another library, from the secret that nobody has.
    private = coincurve.PrivateKey((secret + tau).to_bytes())
    assert private.public_key.format() == derived.public_key


def test_no_path_is_no_tweak() -> None:
    assert tweak(FACTS, _item(None)) is None


def test_paths_differ_and_so_do_keys() -> None:
    other = FACTS.model_copy(update={"chain_code": coins("other")})
    found = {tweak(each, _item(path)) for each in (FACTS, other) for path in PATHS}
    assert len(found) == 2 * len(PATHS)


def test_a_path_that_leads_to_no_key_is_refused_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody knows one (2^-127).
    def no_child(*_: object) -> None:
        raise ContractError("use the next index")

    monkeypatch.setattr(tasks, "child", no_child)
    with pytest.raises(RefusedError, match="path m/7: use the next index"):
        tweak(FACTS, _item("m/7"))


def test_a_curve_without_derivation_refuses_every_path() -> None:
    assert facts().curve is Curve.ED25519
    with pytest.raises(RefusedError, match="no standard derivation"):
        tweak(facts(), _item("m/0"))


def test_a_list_comes_to_one_task_for_each_message_in_order() -> None:
    request = signing_request(scheme="ecdsa", message=None, items=ITEMS)
    found = ecdsa_tasks(FACTS, request, session_id=coins("s"), request_digest=coins("r"))
    assert [task.digest for task in found] == [item["message"] for item in ITEMS]
    assert [task.tweak for task in found] == [
        tweak(FACTS, item) or SECP256K1.scalar(0) for item in request.tasks
    ]
    assert {(task.session_id, task.request_digest) for task in found} == {(coins("s"), coins("r"))}


def test_a_single_message_comes_to_one_task() -> None:
    request = signing_request(scheme="ecdsa", message=coins("m"), derivation_path="m/3")
    (task,) = ecdsa_tasks(FACTS, request, session_id=coins("s"), request_digest=coins("r"))
    assert task.digest == coins("m")
    assert task.tweak == tweak(FACTS, _item("m/3"))
