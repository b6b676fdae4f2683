"""Are the signatures in these results true? By other code than the product's."""

from __future__ import annotations

from collections.abc import Mapping

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from contracts.identity import PublicIdentity
from contracts.keys import CertifiedKey, KeyFacts
from contracts.primitives import Scheme
from contracts.requests import KeygenRequest, Request, SignRequest
from contracts.results import KeygenResult, Result, SignResult
from contracts.verification import check_key

from . import curve


class Verifier:
    """Knows the keys whose certificates it has seen.

    Arguments:
        parties: The identities that count.
    """

    def __init__(self, parties: Mapping[str, PublicIdentity]) -> None:
        self._parties = parties
        self._keys: dict[tuple[str | None, str], KeyFacts] = {}

    def learn(self, key: CertifiedKey, client_id: str | None) -> None:
        """Raises ContractError unless all its parties certified it for this client, which has no
        tenants."""
        check_key(key, pinned=self._parties, client_id=client_id, tenant=None)
        self._keys[client_id, key.facts.key_id] = key.facts

    def doubts(self, request: Request, result: Result) -> str | None:
        """What is wrong with a completed result; None if nothing is."""
        if isinstance(request, KeygenRequest) and isinstance(result, KeygenResult):
            made = result.key
            if made is None or made.facts.key_id != request.key_id:
                return "another key than was asked for"
            if (made.facts.curve, made.facts.threshold) != (request.curve, request.threshold):
                return "a key of another kind than was asked for"
            if (made.facts.tenant, made.facts.schemes) != (request.tenant, request.schemes):
                return "a key for another owner or purpose than was asked for"
            return None
        if isinstance(request, SignRequest) and isinstance(result, SignResult):
            return self._signed(request, result)
        return None

    def _signed(self, request: SignRequest, result: SignResult) -> str | None:
        facts = self._keys.get((request.client_id, request.key_id))
        if facts is None:
            return "signed with a key that nobody certified"
        if len(result.signed) != len(request.tasks):
            return "not one signature for each message"
        for task, item in zip(request.tasks, result.signed, strict=True):
            public_key = facts.public_key
            if task.derivation_path is not None:
                public_key = curve.child(public_key, facts.chain_code, task.derivation_path)
            if not verifies(request.scheme, public_key, task.message, item.signature):
                return f"the {request.scheme} signature does not verify under {public_key.hex()}"
        return None


def verifies(scheme: Scheme, public_key: bytes, message: bytes, signature: bytes) -> bool:
    match scheme:
        case Scheme.ED25519:
            try:
                VerifyKey(public_key).verify(message, signature)
            except (BadSignatureError, ValueError):
                return False
            return True
        case Scheme.BIP340:
            return curve.verifies_bip340(public_key[1:], message, signature)
        case Scheme.ECDSA:
            return curve.verifies_ecdsa(public_key, message, signature)
    raise ValueError(f"the load asks for no {scheme}")
