"""Failures that nobody but the coordinator could tell, told by others; and what its own prove."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from contracts import addresses
from contracts.client import Client, ClientError
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.results import SignResult

from . import asking
from .adversary import Adversary
from .forms import may_exist
from .in_its_place import failed, told, told_before
from .under_way import outcome

FAILURES = [("cancelled", "cancelled"), ("expired", "expired"), ("failed", "unknown_key")]


@pytest.mark.parametrize(("status", "code"), FAILURES)
async def test_a_strangers_failure_is_not_believed(
    victim: Client, key: CertifiedKey, stranger: Adversary, status: str, code: str
) -> None:
    call = victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519)
    believed = await told(
        stranger,
        call,
        "sign",
        lambda signed: failed(signed, status, code, key_id=key.facts.key_id),
        queue=addresses.SIGNING_QUEUE,
    )
    assert isinstance(believed, SignResult), believed


@pytest.mark.parametrize(("status", "code"), FAILURES)
async def test_the_coordinators_own_failure_does_not_say_that_there_is_no_signature(
    victim: Client, key: CertifiedKey, insider: Adversary, status: str, code: str
) -> None:
    request_id = f"told-{secrets.token_hex(4)}"
    call = victim.sign(
        key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
    )
    async with told_before(
        insider,
        call,
        "sign",
        lambda signed: failed(signed, status, code, key_id=key.facts.key_id),
        queue=addresses.SIGNING_QUEUE,
    ) as task:
        pass
    told_so = await outcome(task)
    assert isinstance(told_so, ClientError | SignResult)
    assert isinstance(told_so, SignResult) or may_exist(told_so)


async def test_a_call_that_waits_in_vain_does_not_say_that_there_is_no_signature(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    async with told_before(
        stranger,
        victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, timeout_s=1),
        "sign",
        None,
        queue=addresses.SIGNING_QUEUE,
    ) as task:
        await asyncio.wait([task], timeout=10)
        assert may_exist(await outcome(task))
