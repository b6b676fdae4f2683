"""What a signing request comes to: the same at every signer and at the coordinator."""

from __future__ import annotations

from contracts.errors import ContractError
from contracts.keys import KeyFacts
from contracts.requests import SignItem, SignRequest
from contracts.verification import child

from ..protocols import dkls23
from ..protocols.groups import SECP256K1, Scalar
from .errors import RefusedError


def tweak(facts: KeyFacts, item: SignItem) -> Scalar | None:
    """What BIP-32 adds to the key on the item's path; None for the key itself.

    Raises:
        RefusedError: the path leads to no key.
    """
    if item.derivation_path is None:
        return None
    try:
        return SECP256K1.scalar_from_bytes_checked(child(facts, item.derivation_path).tweak)
    except ContractError as error:
        raise RefusedError(f"path {item.derivation_path}: {error}") from None


def ecdsa_tasks(
    facts: KeyFacts, request: SignRequest, *, session_id: bytes, request_digest: bytes
) -> list[dkls23.Task]:
    """One for each message, in order. Raises RefusedError as `tweak`."""
    return [
        dkls23.Task(
            session_id=session_id,
            digest=item.message,
            tweak=tweak(facts, item) or SECP256K1.scalar(0),
            request_digest=request_digest,
        )
        for item in request.tasks
    ]
