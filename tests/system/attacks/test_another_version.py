"""A client's request that says of itself that it is of no version, or of another, or says it in
other words."""

from __future__ import annotations

import pytest

from contracts.keys import CertifiedKey
from contracts.signing import REQUEST_TAG, SignedRequest

from . import asking
from .adversary import Adversary
from .false_coordinator import FalseCoordinator

SIGNERS = ["party-1", "party-2"]
WRITTEN = b'"version":1,'


@pytest.mark.parametrize(
    "version", [b"", b'"version":true,', b'"version":"1",', b'"version":1.0,', b'"version":2,']
)
async def test_no_party_signs_what_does_not_say_its_version(
    key: CertifiedKey, insider: Adversary, version: bytes
) -> None:
    settings = insider.client_settings()
    signed = asking.sign(settings, key.facts.key_id)
    assert signed.body.count(WRITTEN) == 1
    body = signed.body.replace(WRITTEN, version)
    other = SignedRequest(
        request=signed.request,
        body=body,
        signature=settings.private_identity.sign(REQUEST_TAG, body),
    )
    await FalseCoordinator(insider).refused(other, key.facts, SIGNERS, "version")
