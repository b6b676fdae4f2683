"""Whose keys are that were made before certificates told the tenant: an operator's list.

The list is JSON for people to read, and the signature stands in a file of its own beside it, over
the list's bytes as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pydantic import Field, ValidationError

from . import strict_json
from .errors import ContractError
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Hex, Id, Owner, SessionId
from .signing import explain

LIST_TAG = b"warren/tenants/v1"


class KeyTenant(Contract):
    """One key, by what nobody can mistake it for, and whose it is."""

    key_session: SessionId
    public_key: Hex
    key_id: Id
    client_id: Id | None
    tenant: Id | None
    """None: the client's own."""

    @property
    def owner(self) -> str:
        """As `KeyFacts.owner`."""
        return Owner(client_id=self.client_id, tenant=self.tenant).name


class TenantList(Contract):
    """What an operator signs."""

    kind: Literal["tenants"] = "tenants"
    keys: list[KeyTenant] = Field(min_length=1)


class ListSignature(Contract):
    """What stands beside a list."""

    signer: Base64
    """The operator's public key, DER SubjectPublicKeyInfo."""
    signature: Base64


def read_list(data: bytes) -> TenantList:
    """Raises ContractError."""
    try:
        return TenantList.model_validate_json(strict_json.checked(data))
    except (ValidationError, ContractError) as error:
        raise ContractError(f"no list of tenants: {explain(error)}") from None


def sign_list(data: bytes, operator: Identity) -> ListSignature:
    """Raises ContractError if it is none."""
    read_list(data)
    return ListSignature(signer=operator.public.der, signature=operator.sign(LIST_TAG, data))


def open_list(data: bytes, signature: bytes, operators: Iterable[PublicIdentity]) -> TenantList:
    """
    Arguments:
        operators: Those whose word counts.

    Raises:
        ContractError: no list, or not signed by one of them.
    """
    try:
        signed = ListSignature.model_validate_json(strict_json.checked(signature))
    except (ValidationError, ContractError) as error:
        raise ContractError(f"no signature of a list: {explain(error)}") from None
    for operator in operators:
        if operator.der == signed.signer:
            try:
                operator.verify(LIST_TAG, data, signed.signature)
            except ContractError:
                raise ContractError(
                    "the signature is that of another list, or of this one before it was changed"
                ) from None
            return read_list(data)
    raise ContractError(
        "signed by a key that is no operator's here: it must stand under [[clients]] with "
        "operator = true"
    )
