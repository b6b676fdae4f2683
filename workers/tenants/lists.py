"""What stands in the list, and what it changes at a party."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from enum import StrEnum

from contracts.keys import CertifiedKey, KeyFacts
from contracts.tenants import KeyTenant, TenantList

from ..store.interface import CoordinatorStore, PartyStore
from ..store.records import KeyShareRecord, Outcome, TenantRecord

PAGE = 500


class Given(StrEnum):
    """What came of one key of a list."""

    GIVEN = "given"
    KNOWN = "known"
    """It was given the same tenant before."""
    NOT_HERE = "not_here"
    """This party holds no share of it."""
    REFUSED = "refused"
    """It is another key than the list says, was given another tenant before, or its owner has
    another key of this id. Nothing was changed."""


async def keys_without_tenant(store: CoordinatorStore) -> AsyncIterator[KeyTenant]:
    """The coordinator's keys of version 1, as it knows their owners."""
    after = b""
    while page := await store.all_keys(after=after, limit=PAGE):
        for record in page:
            facts = CertifiedKey.model_validate_json(record.certified).facts
            if facts.version == 1:
                _, slash, tenant = record.owner.partition("/")
                yield KeyTenant(
                    key_session=facts.session_id,
                    public_key=facts.public_key,
                    key_id=facts.key_id,
                    client_id=facts.client_id,
                    tenant=tenant if slash else None,
                )
        after = page[-1].key_session


async def shares_without_tenant(store: PartyStore) -> list[KeyShareRecord]:
    """Those that sign only what is asked for without a tenant, because no list has come."""
    given = {each.key_session for each in await store.tenants()}
    return [
        share
        for share in await store.key_shares()
        if share.key_session not in given and not _has_tenant(share)
    ]


async def give(store: PartyStore, wanted: TenantList, *, now: int) -> Counter[Given]:
    """Give each key its tenant, once and for ever."""
    shares = {share.key_session: share for share in await store.key_shares()}
    given = {each.key_session: each.owner for each in await store.tenants()}
    counted: Counter[Given] = Counter()
    for key in wanted.keys:
        share = shares.get(key.key_session)
        if share is None:
            counted[Given.NOT_HERE] += 1
        elif key.key_session in given or _has_tenant(share):
            counted[Given.KNOWN if share.owner == key.owner else Given.REFUSED] += 1
        elif not _is(key, share) or await _named_otherwise(store, key):
            counted[Given.REFUSED] += 1
        else:
            counted[await _give(store, key, now)] += 1
    return counted


async def _give(store: PartyStore, key: KeyTenant, now: int) -> Given:
    record = TenantRecord(
        key_session=key.key_session, owner=key.owner, tenant=key.tenant, given_at=now
    )
    committed = await store.give_tenant(record) is Outcome.COMMITTED
    return Given.GIVEN if committed else Given.REFUSED


async def _named_otherwise(store: PartyStore, key: KeyTenant) -> bool:
    # Without a tenant, shares of the client's other keys that wait for theirs are in the way.
    return key.tenant is not None and await store.name_taken(key.owner, key.key_id, key.key_session)


def _is(key: KeyTenant, share: KeyShareRecord) -> bool:
    facts = KeyFacts.model_validate_json(share.facts)
    return (facts.version, facts.public_key, facts.client_id, facts.key_id) == (
        1,
        key.public_key,
        key.client_id,
        key.key_id,
    )


def _has_tenant(share: KeyShareRecord) -> bool:
    facts = KeyFacts.model_validate_json(share.facts)
    return facts.version != 1 or share.owner != facts.owner
