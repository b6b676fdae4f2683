"""Key shares with their certificates, and as they are in a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.session.builders import IDENTITIES, facts, key_record
from workers.store.records import KeyShareRecord
from workers.store.rows.party import KEY_SHARE_COLUMNS, PartyRows
from workers.store.sealing import MasterKeys, Sealer

KEYS = MasterKeys({1: bytes(range(32))})
ROWS = PartyRows("party-1", Sealer(KEYS))
PINNED = {name: identity.public for name, identity in IDENTITIES.items()}
CREATED_AT = 1_700_000_000_000


def certified(i: int = 1, curve: str = "ed25519", **changes: Any) -> KeyShareRecord:
    """A key share with the certificates of all parties."""
    about = facts(curve, **changes)
    return key_record(
        i,
        curve,
        key_session=about.session_id,
        epoch=about.epoch,
        owner=about.client_id or "",
        key_id=about.key_id,
        facts=about.model_dump_json(),
        certificates={
            holder.party_id: about.certify(IDENTITIES[holder.party_id]) for holder in about.holders
        },
    )


def sealed(share: KeyShareRecord, rows: PartyRows = ROWS) -> KeyShareRecord:
    """As it is in the database."""
    values = dict(zip(KEY_SHARE_COLUMNS.split(", "), rows.key_share_values(share), strict=True))
    return replace(share, secret=values["secret"])  # type: ignore[arg-type]


def as_dict(share: KeyShareRecord) -> dict[str, Any]:
    return {name: getattr(share, name) for name in KeyShareRecord.__slots__}
