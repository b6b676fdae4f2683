"""Are the signatures in these results true? By other code than the product's."""

from __future__ import annotations

from collections.abc import Mapping

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from contracts.errors import ContractError
from contracts.keys import CertifiedKey, KeyFacts
from contracts.peers import Pinned
from contracts.primitives import Scheme
from contracts.requests import KeygenRequest, Request, ReshareRequest, SignRequest
from contracts.results import KeygenResult, ReshareResult, Result, SignResult
from contracts.verification import check_key

from . import curve


class Verifier:
    """Knows the keys whose certificates it has seen.

    Arguments:
        parties: The identities that count.
    """

    def __init__(self, parties: Mapping[str, Pinned]) -> None:
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
        if isinstance(request, ReshareRequest) and isinstance(result, ReshareResult):
            return self._reshared(request, result)
        return None

    def _reshared(self, request: ReshareRequest, result: ReshareResult) -> str | None:
        facts = self._keys.get((request.client_id, request.key_id))
        if facts is None or result.bundle is None:
            return "other shares of a key that nobody certified"
        made = result.bundle.key
        try:
            check_key(made, pinned=self._parties, client_id=request.client_id, tenant=None)
        except ContractError as error:
            return f"the new epoch is not certified: {error}"
        if (made.facts.public_key, made.facts.chain_code) != (facts.public_key, facts.chain_code):
            return "the new epoch is of another key"
        if made.facts.epoch not in request.epochs:
            return f"epoch {made.facts.epoch} was not asked for"
        if {holder.party_id for holder in made.facts.holders} != set(request.parties):
            return "other parties hold the new shares than was asked for"
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
