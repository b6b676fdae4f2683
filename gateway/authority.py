"""The API-key authority: who signs which API keys there are.

Its private key belongs on a machine of the operators, never on a gateway.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from contracts.api_keys import Action, ApiKeyEntry, Chain, SignedApiKeyEntry
from contracts.client import Client
from contracts.errors import ContractError
from contracts.identity import Identity, PublicIdentity
from contracts.primitives import ID_PATTERN
from contracts.signing import explain

from .entry.secrets import EXAMPLE_DIGESTS
from .ledger import Ledger


class AuthorityError(Exception):
    """The authority's files cannot be used, or its chain is not what somebody else knows."""


def new_authority(path: Path, client_id: str) -> Identity:
    """Make the private key and the empty chain, in files of one's own alone. Raises
    AuthorityError."""
    if re.fullmatch(ID_PATTERN, client_id) is None:
        raise AuthorityError(f"{client_id!r} is no client id: those are 1 to 64 of A-Z a-z 0-9 _ -")
    made = Identity.generate()
    for file, text in ((path, made.to_base64() + "\n"), (entries(path, client_id), "")):
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise AuthorityError(f"{file}: {error.strerror}") from None
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
    return made


def entries(path: Path, client_id: str) -> Path:
    """Where an authority keeps what it has signed for one client's gateways.

    Arguments:
        path: Of its private key.
    """
    return path.with_name(f"{path.name}.{client_id}.entries")


class Authority:
    """The key, and beside it what it has signed for one client's gateways: `FILE.CLIENT.entries`.

    Whoever loses that file may put a gateway's `api_keys_file` in its place: they are alike.

    Arguments:
        path: Of the private key.
        pinned: Whom the gateways believe.

    Raises AuthorityError.
    """

    def __init__(self, path: Path, client_id: str, *, pinned: PublicIdentity | None = None) -> None:
        self._identity = _read(path)
        if pinned not in {None, self._identity.public}:
            raise AuthorityError(
                f"{path} is another key than the gateways' api_key_authority: they would believe "
                "nothing that it signs"
            )
        self.ledger = Ledger(Chain(self._identity.public, client_id), entries(path, client_id))
        if not entries(path, client_id).exists():
            raise AuthorityError(
                f"{entries(path, client_id)} is missing: put the newest copy of it there, or a "
                "gateway's api_keys_file; an authority that does not know what it has signed would "
                "sign a second chain"
            )
        self.ledger.catch_up()

    @property
    def chain(self) -> Chain:
        """What was signed so far."""
        return self.ledger.chain

    def sign(self, action: Action, **fields: Any) -> SignedApiKeyEntry:
        """The next entry, kept before anybody sees it. Raises AuthorityError."""
        if fields.get("key_digest") in EXAMPLE_DIGESTS:
            raise AuthorityError("nothing was signed: the secret is a placeholder from an example")
        with self.ledger.held() as file:
            chain = self.chain
            try:
                entry = ApiKeyEntry(
                    number=chain.number + 1,
                    previous=chain.head,
                    authority=self._identity.public.der,
                    client_id=chain.client_id,
                    action=action,
                    issued_at=now_ms(),
                    **fields,
                )
            except ValidationError as error:
                raise AuthorityError(f"nothing was signed: {explain(error)}") from None
            signed = SignedApiKeyEntry.of(entry, self._identity)
            self.ledger.append(file, signed)
            return signed

    def revocation(self, api_key_id: str) -> SignedApiKeyEntry:
        """The one that ends the key: signed now, unless one was before."""
        for signed in self.ledger.entries():
            entry = signed.claimed()
            if (entry.action, entry.api_key_id) == (Action.REVOKE, api_key_id):
                return signed
        return self.sign(Action.REVOKE, api_key_id=api_key_id)

    async def catch_up(self, client: Client) -> None:
        """See that the coordinator has nothing that is not in the file, and send what it lacks.

        Raises AuthorityError where it has more, or something else.
        """
        authority, chain = self._identity.public, self.chain
        told = await client.api_key_entries(authority, limit=1)
        if told.highest > chain.number:
            raise AuthorityError(
                f"the coordinator has {told.highest} entries of this authority, and "
                f"{self.ledger.path} has {chain.number}: take the newest copy of that file, or a "
                "gateway's api_keys_file; to sign without it would make every gateway refuse both"
            )
        if told.highest:
            last = await client.api_key_entries(authority, after=told.highest - 1, limit=1)
            mine = self._numbered()[told.highest - 1]
            if [each.digest for each in last.entries] != [mine.digest]:
                raise AuthorityError(
                    f"the coordinator's entry {told.highest} is another one than that of "
                    f"{self.ledger.path}: two copies of the authority are in use, or it lies"
                )
        for signed in self._numbered()[told.highest :]:
            await send(client, signed)

    def _numbered(self) -> list[SignedApiKeyEntry]:
        """By number; a gateway's file may have one twice."""
        found = {signed.claimed().number: signed for signed in self.ledger.entries()}
        return [found[number] for number in range(1, self.chain.number + 1)]


async def send(client: Client, signed: SignedApiKeyEntry) -> None:
    """To the coordinator, which keeps it for all gateways."""
    if signed.claimed().action is Action.REVOKE:
        await client.revoke_api_key(signed)
    else:
        await client.put_api_key(signed)


def now_ms() -> int:
    return round(time.time() * 1000)


def _read(path: Path) -> Identity:
    try:
        return Identity.from_base64(path.read_text().strip())
    except (OSError, UnicodeDecodeError, ContractError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a private key"
        raise AuthorityError(f"{path}: {reason}") from None
