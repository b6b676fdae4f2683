"""A client's key may be somewhere else."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

import contracts
from contracts import front
from contracts.client import ClientSettings, SettingsError
from contracts.errors import ContractError
from contracts.identity import Identity
from contracts.requests import KeygenRequest
from contracts.signer import ServiceSigner, sign_request_by
from contracts.signing import REQUEST_TAG

from .producers import settings
from .samples import CLIENT, COORDINATOR, PARTIES, keygen_request

EXAMPLE = Path(contracts.__path__[0]) / "examples" / "kms_signer.py"


class Kms:
    """As much of AWS KMS as the example asks for."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def get_public_key(self, **words: str) -> dict[str, Any]:
        assert words == {"KeyId": "alias/warren"}
        return {"PublicKey": self._identity.public.der}

    def sign(self, **words: Any) -> dict[str, Any]:
        digest = words["Message"]
        assert (words["MessageType"], len(digest)) == ("DIGEST", 32)
        prehashed = ec.ECDSA(utils.Prehashed(hashes.SHA256()))
        return {"Signature": self._identity.key.sign(digest, prehashed)}


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setitem(sys.modules, "warren_client", front)
    spec = importlib.util.spec_from_file_location("kms_signer", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_a_key_in_this_process_signs() -> None:
    request = keygen_request()
    signed = await sign_request_by(request, CLIENT)
    CLIENT.public.verify(REQUEST_TAG, signed.body, signed.signature)
    assert signed.digest == hashlib.sha256(signed.body).digest()


async def test_the_example_signs_with_a_service(example: ModuleType) -> None:
    signer = example.signer_of(Kms(CLIENT), "alias/warren")
    assert signer.public == CLIENT.public
    signed = await sign_request_by(keygen_request(), signer)
    CLIENT.public.verify(REQUEST_TAG, signed.body, signed.signature)
    assert "signs" not in repr(signer)


async def test_what_a_service_gives_is_looked_at() -> None:
    async def sign(_: bytes) -> bytes:
        return bytes(64)

    with pytest.raises(ContractError, match="DER"):
        await sign_request_by(keygen_request(), ServiceSigner(CLIENT.public, sign))


async def test_a_request_of_another_signer_is_not_signed() -> None:
    request: KeygenRequest = keygen_request(signer=COORDINATOR.public.der)
    with pytest.raises(ValueError, match="another signer"):
        await sign_request_by(request, CLIENT)


def test_a_file_needs_no_private_key_then(tmp_path: Path, example: ModuleType) -> None:
    def pin(identity: Identity) -> str:
        return f'public_key = "{base64.b64encode(identity.public.der).decode()}"'

    lines = ["[client]", 'client_id = "svcA"', 'amqp_url = "amqp://localhost/warren"']
    lines += ["[[coordinators]]", pin(COORDINATOR)]
    for name, party in PARTIES.items():
        lines += ["[[parties]]", f'party_id = "{name}"', pin(party)]
    path = tmp_path / "client.toml"
    path.write_text("\n".join(lines))
    signer = example.signer_of(Kms(CLIENT), "alias/warren")
    loaded = ClientSettings.load(path, {}, signer=signer)
    assert loaded.identity.public == CLIENT.public
    with pytest.raises(SettingsError, match="signer"):
        _ = loaded.private_identity
    with pytest.raises(SettingsError, match="no private key"):
        ClientSettings.load(path, {})


def test_a_key_that_is_here_is_shown_to_who_asks() -> None:
    assert settings("amqp://localhost/warren").private_identity == CLIENT
