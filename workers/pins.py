"""Whom a worker's configuration names: other parties, clients, operators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from contracts.admission import ClientPolicy
from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.numbered_lists import ListOperator
from contracts.operations import known_right
from contracts.primitives import Id

from .session.peers import Peer


class SettingsError(Exception):
    """The configuration cannot be used; says which file and field, never a secret."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PeerSection(_Section):
    """A party that this one deals with, or that the coordinator may choose."""

    party_id: Id
    index: int = Field(ge=1)
    """Orders the parties of every key; the same in everyone's configuration."""
    public_key: str
    """Base64 DER SubjectPublicKeyInfo."""


class ClientSection(_Section):
    """A key that may sign requests for one client id (none: a legacy producer)."""

    client_id: Id | None = None
    public_key: str
    operations: list[Annotated[str, AfterValidator(known_right)]] | None = None
    operator: bool = False
    """It may cancel anybody's requests and look at their sessions; parties take its lists of
    tenants; and what it signs of the lists that all follow, such as that of the clients, counts."""
    signed_entries_up_to: int | None = Field(default=None, ge=1)
    """Of somebody who was an operator: the last entry of those lists that may be theirs."""

    @model_validator(mode="after")
    def _is_or_was(self) -> ClientSection:
        if self.operator and self.signed_entries_up_to is not None:
            raise ValueError("signed_entries_up_to is for somebody who is no operator any more")
        return self


def peers(path: Path, section: str, sections: list[PeerSection]) -> dict[str, Peer]:
    """By id, in the order of their indices. Raises SettingsError."""
    return {
        peer.party_id: Peer(
            peer.index, _public(f"{path}: {section}: {peer.party_id}", peer.public_key)
        )
        for peer in sorted(sections, key=lambda peer: peer.index)
    }


def clients(path: Path, sections: list[ClientSection]) -> tuple[ClientPolicy, ...]:
    """Who may ask. Raises SettingsError."""
    return tuple(
        ClientPolicy(
            identity=_public(
                f"{path}: clients: {client.client_id or '(no client_id)'}", client.public_key
            ),
            client_id=client.client_id,
            operations=None if client.operations is None else frozenset(client.operations),
            operator=client.operator,
        )
        for client in sections
        if client.signed_entries_up_to is None  # which was an operator, and is nobody now
    )


def list_operators(path: Path, sections: list[ClientSection]) -> tuple[ListOperator, ...]:
    """Who may sign the lists that all follow. Raises SettingsError."""
    return tuple(
        ListOperator(_public(f"{path}: clients", each.public_key), each.signed_entries_up_to)
        for each in sections
        if each.operator or each.signed_entries_up_to is not None
    )


def _public(owner: str, text: str) -> PublicIdentity:
    try:
        return PublicIdentity.from_base64(text)
    except ContractError as error:
        raise SettingsError(f"{owner}: public_key: {error}") from None
