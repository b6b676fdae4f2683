"""What is believed of a page of keys, and what is handed out of it."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.client import trust as trust_module
from contracts.client.trust import Trust
from contracts.errors import ContractError
from contracts.keys import CertifiedKey
from contracts.primitives import Curve
from contracts.requests import QueryKeysRequest
from contracts.results import QueryKeysResult, Status
from contracts.signing import sign_request

from . import samples
from .samples import CLIENT, PINNED, keygen_request, sign_result
from .trusting import ED25519, fetches_nothing, heard, made, trust


def query_keys(**changes: Any) -> QueryKeysRequest:
    return QueryKeysRequest(**samples.fields("query_keys", **changes))


def listed(asked: QueryKeysRequest, keys: list[CertifiedKey]) -> QueryKeysResult:
    return QueryKeysResult(
        request_id=asked.request_id,
        client_id="svcA",
        session_id=None,
        request_digest=bytes(32),
        status=Status.COMPLETED,
        finished_at=1,
        keys=keys,
    )


async def test_one_key_that_does_not_check_out_hides_no_other_of_a_list() -> None:
    good, bad = ED25519.certified(key_id="good"), ED25519.certified(key_id="bad")
    bad = bad.model_copy(update={"certificates": {}})
    knowing, request = trust(), query_keys()
    page = listed(request, [bad, good])
    await heard(knowing, page, sign_request(request, CLIENT))
    assert list(knowing.doubted) == [(None, "bad")]
    assert "no certificate of" in knowing.doubted[None, "bad"]
    with pytest.raises(ContractError, match="there is no key bad"):
        await knowing.check(sign_result(samples.sign_request(key_id="bad"), ED25519), None)
    # Who asks for it alone is told so.
    only = query_keys(only="bad")
    with pytest.raises(ContractError, match="no certificate"):
        await heard(knowing, listed(only, [bad]), sign_request(only, CLIENT))
    again = listed(request, [ED25519.certified(key_id="bad")])
    await heard(knowing, again, sign_request(request, CLIENT))
    assert not knowing.doubted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"tenant": "alice"}, "another tenant"), ({"client_id": "svcB"}, "another client")],
)
async def test_somebody_elses_key_spoils_all_of_a_list(
    changes: dict[str, Any], reason: str
) -> None:
    own, others = ED25519.certified(key_id="own"), ED25519.certified(key_id="other", **changes)
    knowing, request = trust(), query_keys()
    with pytest.raises(ContractError, match=reason):
        await heard(knowing, listed(request, [own, others]), sign_request(request, CLIENT))
    assert not knowing.doubted
    assert knowing.accepted(None, "other") is None


async def test_a_key_that_is_listed_again_is_not_the_first_to_be_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust_module, "KEPT", 2)
    one, two, three = (ED25519.certified(key_id=name) for name in ("one", "two", "three"))
    knowing, request = trust(), query_keys()
    for page in ([one, two], [one, three]):
        await heard(knowing, listed(request, page), sign_request(request, CLIENT))
    assert knowing.accepted(None, "one") == one
    assert knowing.accepted(None, "two") is None


async def test_doubted_keys_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust_module, "KEPT", 1)
    knowing, request = trust(), query_keys()
    bad = [
        ED25519.certified(key_id=name).model_copy(update={"certificates": {}})
        for name in ("one", "two")
    ]
    page = listed(request, bad)
    await heard(knowing, page, sign_request(request, CLIENT))
    assert list(knowing.doubted) == [(None, "two")]


async def test_a_new_key_needs_parties_keys_that_count_now_and_a_known_one_does_not() -> None:
    request = keygen_request(curve=Curve.ED25519)
    result, signed = made(ED25519, request), sign_request(request, CLIENT)
    nobody = Trust("svcA", PINNED, [CLIENT.public], fetches_nothing, speaking={})
    with pytest.raises(ContractError, match="not one that we know"):
        await nobody.check(result, signed)
    asked = query_keys()
    assert result.key is not None
    await heard(nobody, listed(asked, [result.key]), sign_request(asked, CLIENT))
    assert not nobody.doubted
