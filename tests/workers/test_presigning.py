"""ECDSA through real handlers and stores: pools, those who wait for them, and what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from contracts.failures import FailureCode
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.requests import SignRequest
from contracts.results import KeygenResult, SignResult, Status
from contracts.verification import check_answer, check_signed

from .simulate import World, world

DIGEST = bytes(range(32))


@pytest.fixture
async def shire(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as made:
        yield made


async def make_key(shire: World, **changes: Any) -> CertifiedKey:
    await shire.ask(shire.keygen_request(curve="secp256k1", **changes))
    await shire.run()
    (result,) = shire.results()
    assert isinstance(result, KeygenResult)
    assert result.key is not None
    shire.network.sent.clear()
    shire.network.waiting.clear()
    return result.key


def ecdsa_request(shire: World, key: CertifiedKey, **changes: Any) -> SignRequest:
    fields: dict[str, Any] = {"scheme": "ecdsa", "message": DIGEST, "key_id": key.facts.key_id}
    return shire.sign_request(**(fields | changes))


async def test_a_digest_is_signed_with_a_presignature_made_on_demand(shire: World) -> None:
    key = await make_key(shire)
    request = ecdsa_request(shire, key, derivation_path="m/44/60/0/0/7")
    await shire.ask(request)
    await shire.run(Random(1), doubled=0.2)
    (result,) = shire.results()
    assert isinstance(result, SignResult)
    assert result.status is Status.COMPLETED, result.failure
    check_answer(request, result)
    check_signed(result, key, None)
    assert shire.dead == []
