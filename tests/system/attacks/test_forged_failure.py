"""Failures that nobody but the coordinator could tell, told by others; and what its own prove."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from contracts.client import Client, RequestFailedError, ResultTimeoutError
from contracts.keys import CertifiedKey
from contracts.primitives import Scheme
from contracts.results import SignResult

from . import asking
from .adversary import Adversary, is_result
from .in_its_place import failed, told, told_before
from .under_way import outcome

FAILURES = [("cancelled", "cancelled"), ("expired", "expired"), ("failed", "unknown_key")]


@pytest.mark.parametrize(("status", "code"), FAILURES)
async def test_a_failure_is_the_coordinators_to_tell_and_proves_nothing(
    victim: Client, key: CertifiedKey, adversary: Adversary, status: str, code: str
) -> None:
    """The same words: another's are not believed, and the signature comes; its own are, and do not
    say that there is no signature, for there is one."""
    request_id = f"told-{secrets.token_hex(4)}"
    heard = await told(
        adversary,
        victim,
        victim.sign(
            key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, request_id=request_id
        ),
        "sign",
        lambda signed: failed(signed, status, code, key_id=key.facts.key_id),
    )
    if adversary.is_coordinator:
        assert isinstance(heard.outcome, RequestFailedError)
        assert (heard.outcome.failure.code, heard.outcome.signature_may_exist) == (code, True)
        true = is_result("sign", request_id)
        _, made = await adversary.recording.count(true, 2, 20)
        assert made.json()["status"] == "completed"
    else:
        assert isinstance(heard.outcome, SignResult)
        assert heard.disbelieved == 1


async def test_a_call_that_waits_in_vain_does_not_say_that_there_is_no_signature(
    victim: Client, key: CertifiedKey, stranger: Adversary
) -> None:
    async with told_before(
        stranger,
        victim,
        victim.sign(key.facts.key_id, message=asking.MESSAGE, scheme=Scheme.ED25519, timeout_s=1),
        "sign",
        None,
    ) as (task, _):
        await asyncio.wait([task], timeout=10)
        error = await outcome(task)
    assert isinstance(error, ResultTimeoutError)
    assert error.signature_may_exist
