"""API keys that prove themselves: a chain of entries that an authority signs.

A gateway pins the authority's public key and holds no private one. Each entry has a number and the
digest of the entry before, so that nobody between authority and gateway can make one up, leave one
out or put one in another place. All that they can do is to hide the newest end.
"""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, ValidationError, model_validator

from . import strict_json
from .encoding import digest
from .errors import ContractError, sentence
from .identity import Identity, PublicIdentity
from .primitives import Base64, Contract, Hex32, Id, Scope, UnixMillis
from .views import ApiKeyView

ENTRY_TAG = b"warren/api-key-entry/v1"
CHAIN_TAG = b"warren/api-key-chain/v1"
MAX_DAYS = 90
DAY_MS = 86_400_000
MAX_VALIDITY_MS = MAX_DAYS * DAY_MS
MAX_ENTRY_BYTES = 2048
FIRST = bytes(32)
"""What the first entry has for its predecessor's digest."""


class Action(StrEnum):
    """What an entry says."""

    PUT = "put"
    """Lets whoever shows a certain secret in; again, under the same id, it changes the scopes and
    the time."""
    REVOKE = "revoke"
    """Ends an API key for good."""
    NOTHING_AFTER = "nothing_after"
    """Gateways may go by the chain up to here `until` then, and want a newer word afterwards."""


_FIELDS = {
    Action.PUT: {"api_key_id", "holder", "key_digest", "scopes", "valid_until"},
    Action.REVOKE: {"api_key_id"},
    Action.NOTHING_AFTER: {"until"},
}


class ApiKeyEntry(Contract):
    """One link of the chain of one authority for one client's gateways."""

    number: int = Field(ge=1, lt=2**53)
    """From 1, without gaps."""
    previous: Hex32
    """Digest of the entry before; zeros in the first."""
    authority: Base64
    """Whose chain it is: a public key, DER SubjectPublicKeyInfo."""
    client_id: Id
    """Whose gateways it is for."""
    action: Action
    api_key_id: Id | None = None
    """`put` and `revoke` only."""
    holder: Id | None = None
    """`put` only, as are the next three. The tenant that it acts for. A tenant may have several
    keys, to change them in turn."""
    key_digest: Hex32 | None = None
    """SHA-256 of the secret, which stays with the tenant."""
    scopes: list[Scope] | None = Field(default=None, min_length=1, max_length=len(Scope))
    valid_until: UnixMillis | None = None
    """At most 90 days after `issued_at`."""
    issued_at: UnixMillis
    until: UnixMillis | None = None
    """`nothing_after` only; at most 90 days after `issued_at`."""

    @model_validator(mode="after")
    def _fields_of_its_action(self) -> ApiKeyEntry:
        for name in sorted(set().union(*_FIELDS.values())):
            if (getattr(self, name) is not None) != (name in _FIELDS[self.action]):
                word = "needs" if name in _FIELDS[self.action] else "has no"
                raise ValueError(f"{self.action} {word} {name}")
        for name in ("valid_until", "until"):
            end: int | None = getattr(self, name)
            if end is not None and not 0 < end - self.issued_at <= MAX_VALIDITY_MS:
                raise ValueError(f"{name} must be after issued_at, by at most {MAX_DAYS} days")
        return self


class SignedApiKeyEntry(Contract):
    """An entry as its authority wrote and signed it. Not to be believed before `verified`."""

    body: Base64 = Field(max_length=MAX_ENTRY_BYTES)
    """JSON of an `ApiKeyEntry`."""
    signature: Base64 = Field(max_length=256)
    """ECDSA-P256-SHA256, DER, over the tag ``warren/api-key-entry/v1`` and the body, each behind
    its length in four bytes."""

    @classmethod
    def of(cls, entry: ApiKeyEntry, authority: Identity) -> SignedApiKeyEntry:
        """Raises ValueError if the entry names another authority."""
        if entry.authority != authority.public.der:
            raise ValueError("the entry names another authority")
        body = entry.model_dump_json(exclude_none=True).encode()
        return cls(body=body, signature=authority.sign(ENTRY_TAG, body))

    @property
    def digest(self) -> bytes:
        """What the next entry names. Without the signature, for there are many of one body."""
        return digest(CHAIN_TAG, self.body)

    def verified(self, authority: PublicIdentity) -> ApiKeyEntry:
        """Raises ContractError unless the authority signed it, and it is an entry."""
        try:
            authority.verify(ENTRY_TAG, self.body, self.signature)
        except ContractError:
            raise ContractError("not signed by the API-key authority") from None
        entry = self.claimed()
        if entry.authority != authority.der:
            raise ContractError("an entry of another authority's chain")
        return entry

    def claimed(self) -> ApiKeyEntry:
        """What it says, whoever signed it. Raises ContractError if it is no entry."""
        try:
            return ApiKeyEntry.model_validate_json(strict_json.checked(self.body))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"]))
            what = sentence(first)
            raise ContractError(f"no entry: {where}: {what}" if where else what) from None


class ChainError(ContractError):
    """An entry does not continue the chain: a gap, a fork, or something that its authority must not
    say. Either somebody between lies, or two copies of the authority's chain are in use."""


class Chain:
    """What an authority has said so far to one client's gateways, verified entry by entry.

    Whatever is refused changes nothing.
    """

    def __init__(self, authority: PublicIdentity, client_id: str) -> None:
        self._authority = authority
        self._client_id = client_id
        self._digests: list[bytes] = []
        self._keys: dict[str, ApiKeyView] = {}
        self._by_digest: dict[bytes, str] = {}
        self._revoked: dict[str, int] = {}
        self._until: int | None = None

    @property
    def authority(self) -> PublicIdentity:
        """Whose chain it is."""
        return self._authority

    @property
    def client_id(self) -> str:
        """Whose gateways it is for."""
        return self._client_id

    @property
    def number(self) -> int:
        """Of the last entry; 0 before the first."""
        return len(self._digests)

    @property
    def head(self) -> bytes:
        """Digest of the last entry."""
        return self._digests[-1] if self._digests else FIRST

    def take(self, signed: SignedApiKeyEntry) -> bool:
        """Go on by one entry. False if it is known already. Raises ContractError."""
        if signed.digest == self.head:
            return False
        entry = self._verified(signed)
        if entry.number <= self.number:
            if self._digests[entry.number - 1] != signed.digest:
                raise ChainError(
                    f"a fork: entry {entry.number} is another one than was verified before"
                )
            return False
        if entry.number != self.number + 1:
            raise ChainError(f"a gap: entry {entry.number} came after entry {self.number}")
        if entry.previous != self.head:
            raise ChainError(
                f"a fork: entry {entry.number} follows another entry {self.number} than was "
                "verified before"
            )
        self._apply(entry)
        self._digests.append(signed.digest)
        return True

    def revoke(self, signed: SignedApiKeyEntry) -> tuple[str, bool]:
        """Heed a revocation that came by any way, wherever in the chain it stands.

        Returns which API key it ends, and whether that is news. Raises ContractError.
        """
        entry = self._verified(signed)
        if entry.action is not Action.REVOKE or entry.api_key_id is None:
            raise ContractError("not a revocation")
        return entry.api_key_id, self._end(entry.api_key_id, entry.issued_at)

    def listed(self) -> list[ApiKeyView]:
        """All of them, in the order of their ids."""
        return [self._view(self._keys[name]) for name in sorted(self._keys)]

    def key(self, api_key_id: str) -> ApiKeyView | None:
        """The key of this id, also one that was revoked."""
        found = self._keys.get(api_key_id)
        return None if found is None else self._view(found)

    def shown(self, key_digest: bytes) -> ApiKeyView | None:
        """The key with this digest, also one that was revoked or has expired."""
        name = self._by_digest.get(key_digest)
        return None if name is None else self.key(name)

    def whole(self, now_ms: int) -> bool:
        """Whether the authority's last word about what may have come since, if there was one, still
        counts."""
        return self._until is None or now_ms < self._until

    def _verified(self, signed: SignedApiKeyEntry) -> ApiKeyEntry:
        entry = signed.verified(self._authority)
        if entry.client_id != self._client_id:
            raise ContractError(
                f"an entry for the gateways of {entry.client_id!r}, not of {self._client_id!r}"
            )
        return entry

    def _view(self, key: ApiKeyView) -> ApiKeyView:
        revoked_at = self._revoked.get(key.api_key_id)
        return key if revoked_at is None else key.model_copy(update={"revoked_at": revoked_at})

    def _end(self, api_key_id: str, at: int) -> bool:
        if api_key_id in self._revoked:
            return False
        self._revoked[api_key_id] = at
        return True

    def _apply(self, entry: ApiKeyEntry) -> None:
        if entry.action is Action.NOTHING_AFTER:
            self._until = entry.until
            return
        assert entry.api_key_id is not None  # by `_fields_of_its_action`, as are the others
        if entry.action is Action.REVOKE:
            self._end(entry.api_key_id, entry.issued_at)
            return
        key = _key_of(entry)
        before = self._keys.get(key.api_key_id)
        whose = self._by_digest.get(key.key_digest, key.api_key_id)
        if whose != key.api_key_id:
            raise ChainError(f"entry {entry.number} gives the secret of {whose} another id")
        if before is not None:
            if (before.holder, before.key_digest) != (key.holder, key.key_digest):
                raise ChainError(
                    f"entry {entry.number} gives {key.api_key_id} another holder or secret"
                )
            key = key.model_copy(update={"created_at": before.created_at})
        self._keys[key.api_key_id] = key
        self._by_digest[key.key_digest] = key.api_key_id


def _key_of(entry: ApiKeyEntry) -> ApiKeyView:
    assert entry.api_key_id is not None
    assert entry.holder is not None
    assert entry.key_digest is not None
    assert entry.scopes is not None
    return ApiKeyView(
        api_key_id=entry.api_key_id,
        holder=entry.holder,
        key_digest=entry.key_digest,
        scopes=sorted(set(entry.scopes)),
        created_at=entry.issued_at,
        valid_until=entry.valid_until,
        revoked_at=None,
    )


def valid(key: ApiKeyView, now_ms: int) -> bool:
    """Whether whoever shows its secret may enter. A key without an end proves nothing: no authority
    signs one."""
    return key.revoked_at is None and key.valid_until is not None and now_ms < key.valid_until
