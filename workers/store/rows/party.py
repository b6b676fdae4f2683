"""A party's records as rows and back: sealed to the party, and each to its own place."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import replace

from contracts.results import Status

from ..database import Row
from ..records import (
    AnswerRecord,
    BanRecord,
    CancellationRecord,
    EpochRecord,
    EpochStatus,
    EvidenceRecord,
    KeyShareRecord,
    NonceRecord,
    Parked,
    PartyChange,
    PresignatureRecord,
    Received,
    Session,
    SessionChange,
    TenantRecord,
    WordRecord,
)
from ..sealing import Kind, Sealer, is_erasable
from .halves import Halves, KeyEpoch
from .sessions import SessionRows

KEY_SHARE_COLUMNS = "key_session, epoch, owner, key_id, facts, certificates, secret, active"
EPOCH_COLUMNS = "key_session, epoch, session_id, status, bundle, at, due_at"
NONCE_COLUMNS = "nonce_id, key_session, epoch, scheme, secret"
PRESIGNATURE_COLUMNS = "batch, position, key_session, epoch, secret"
PRESIGNATURE_NAMES = PRESIGNATURE_COLUMNS.split(", ")
ANSWER_COLUMNS = "owner, request_id, session_id, digest, committed, at"
CANCELLATION_COLUMNS = "owner, request_id, issued_until, forbidden_until, statement"
BAN_COLUMNS = "party_id, session_id, failed_check, at"
SUSPENSION_BYTES = 32
EVIDENCE_COLUMNS = "session_id, slot, sender, first_body, second_body, at"

_EPOCH_BYTES = 4


class NoIncarnationError(RuntimeError):
    """A mistake of ours: the store was opened without a witness, and only for what outlives one."""

    def __init__(self) -> None:
        super().__init__("without a witness a store is for key shares, bans and evidence only")


class PartyRows(SessionRows):
    """What is ephemeral is sealed to the database's incarnation as well: from another one, it does
    not open. What tells a share is sealed under its epoch's half: after that, it does not either.

    Attributes:
        halves: Of the keys of what is sealed.
    """

    def __init__(self, party_id: str, sealer: Sealer) -> None:
        self._party = party_id.encode()
        self._sealer = sealer
        self.halves = Halves(sealer.erasable)
        self._incarnation: bytes | None = None

    @property
    def incarnation(self) -> bytes:
        """Raises NoIncarnationError."""
        if self._incarnation is None:
            raise NoIncarnationError
        return self._incarnation

    def enter(self, incarnation: bytes) -> None:
        """From now on, seal to this one."""
        self._incarnation = incarnation

    def needs(self, change: PartyChange) -> set[KeyEpoch]:
        """The halves under which something of it is to be sealed."""
        names = {(each.key_session, each.epoch) for each in change.nonces}
        names |= {(each.key_session, each.epoch) for each in change.presignatures}
        if (name := _tells(change)) is not None:
            names.add(name)
        if (share := change.key_share) is not None:
            names.add((share.key_session, share.epoch))
        return names

    def state(self, change: SessionChange) -> bytes:
        """Sealed, with the number of the epoch that it is sealed under behind it; nothing at all
        once the session is over."""
        # No state is no bytes, so that anyone can see that it was wiped.
        if not _keeps_state(change):
            return b""
        place, name = self._state_place(change.session_id), _tells(change)
        half = None if name is None else self.halves.to_seal(name)
        sealed = self._sealer.seal(Kind.ROUND_STATE, change.state, *place, erasable=half)
        return sealed if half is None or name is None else sealed + name[1].to_bytes(_EPOCH_BYTES)

    def received(self, change: SessionChange) -> tuple[Received, ...]:
        """Each body sealed to its place; none once the session is over."""
        if Status(change.status).final:
            return ()
        return tuple(
            replace(
                row,
                body=self._sealer.seal(
                    Kind.INBOX, row.body, *self._inbox_place(change.session_id, row)
                ),
            )
            for row in change.received
        )

    def session(self, row: Row, inbox: Iterable[Received]) -> Session:
        """Opened. Raises SealError, ErasedError if what its state tells is over."""
        session = super().session(row, inbox)
        session_id = session.session_id
        return replace(
            session,
            state=session.state and self._opened_state(session),
            received=tuple(
                replace(
                    received,
                    body=self._sealer.open(
                        Kind.INBOX, received.body, *self._inbox_place(session_id, received)
                    ),
                )
                for received in session.received
            ),
        )

    def key_share_values(self, share: KeyShareRecord) -> tuple[object, ...]:
        """In the order of `KEY_SHARE_COLUMNS`."""
        return sealed_key_share_values(self.sealed(share))

    def sealed(self, share: KeyShareRecord) -> KeyShareRecord:
        """As it belongs into the database: erasable, where we have what that needs."""
        return self._sealed(share, self.halves.made((share.key_session, share.epoch)))

    def portable(self, sealed: KeyShareRecord) -> KeyShareRecord:
        """As it belongs into a backup, which the master key alone opens. Raises SealError."""
        return self._sealed(self.opened(sealed), None)

    def key_share(self, row: Row) -> KeyShareRecord:
        """Opened. Raises SealError."""
        return self.opened(sealed_key_share(row))

    def opened(self, sealed: KeyShareRecord) -> KeyShareRecord:
        """Raises SealError."""
        name = sealed.key_session, sealed.epoch
        half, place = self.halves.to_open(sealed.secret, name), self._share_place(*name)
        secret = self._sealer.open_share(sealed.secret, *place, erasable=half)
        return replace(sealed, secret=secret)

    def _opened_state(self, session: Session) -> bytes:
        place = self._state_place(session.session_id)
        sealed, behind = session.state[:-_EPOCH_BYTES], session.state[-_EPOCH_BYTES:]
        if not is_erasable(sealed):
            return self._sealer.open(Kind.ROUND_STATE, session.state, *place)
        name = session.key_session or session.session_id, int.from_bytes(behind)
        half = self.halves.to_open(sealed, name)
        return self._sealer.open(Kind.ROUND_STATE, sealed, *place, erasable=half)

    def _sealed(self, share: KeyShareRecord, half: bytes | None) -> KeyShareRecord:
        place = self._share_place(share.key_session, share.epoch)
        secret = self._sealer.seal_share(share.secret, *place, erasable=half)
        return replace(share, secret=secret)

    def nonce_values(self, nonce: NonceRecord) -> tuple[object, ...]:
        """In the order of `NONCE_COLUMNS`."""
        place, half = (
            self._nonce_place(nonce),
            self.halves.to_seal((nonce.key_session, nonce.epoch)),
        )
        secret = self._sealer.seal(Kind.NONCE, nonce.secret, *place, erasable=half)
        return nonce.nonce_id, nonce.key_session, nonce.epoch, nonce.scheme, secret

    def nonce(self, row: Row) -> NonceRecord:
        """Opened. Raises SealError."""
        sealed = NonceRecord(
            nonce_id=row["nonce_id"],
            key_session=row["key_session"],
            epoch=row["epoch"],
            scheme=row["scheme"],
            secret=row["secret"],
        )
        place, secret = self._nonce_place(sealed), sealed.secret
        half = self.halves.to_open(secret, (sealed.key_session, sealed.epoch))
        opened = self._sealer.open(Kind.NONCE, secret, *place, erasable=half)
        return replace(sealed, secret=opened)

    def presignature_values(self, made: PresignatureRecord) -> tuple[object, ...]:
        """In the order of `PRESIGNATURE_COLUMNS`."""
        place, half = (
            self._presignature_place(made),
            self.halves.to_seal((made.key_session, made.epoch)),
        )
        secret = self._sealer.seal(Kind.PRESIGNATURE, made.secret, *place, erasable=half)
        return made.batch, made.position, made.key_session, made.epoch, secret

    def presignature(self, row: Row) -> PresignatureRecord:
        """Opened. Raises SealError."""
        sealed = PresignatureRecord(
            batch=row["batch"],
            position=row["position"],
            key_session=row["key_session"],
            epoch=row["epoch"],
            secret=row["secret"],
        )
        place, secret = self._presignature_place(sealed), sealed.secret
        half = self.halves.to_open(secret, (sealed.key_session, sealed.epoch))
        opened = self._sealer.open(Kind.PRESIGNATURE, secret, *place, erasable=half)
        return replace(sealed, secret=opened)

    def _state_place(self, session_id: bytes) -> tuple[bytes, ...]:
        return session_id, self._party, self.incarnation

    def _inbox_place(self, session_id: bytes, row: Received) -> tuple[bytes, ...]:
        slot, sender = row.slot.encode(), row.sender.encode()
        return session_id, self._party, slot, sender, row.digest, self.incarnation

    def _share_place(self, key_session: bytes, epoch: int) -> tuple[bytes, ...]:
        # To no incarnation: a key share is meant to outlive them.
        return key_session, self._party, epoch.to_bytes(4)

    def _nonce_place(self, nonce: NonceRecord) -> tuple[bytes, ...]:
        # With the key and the scheme: a nonce that serves another one is a leak of both keys.
        return (
            nonce.nonce_id,
            self._party,
            nonce.key_session,
            nonce.epoch.to_bytes(4),
            nonce.scheme.encode(),
            self.incarnation,
        )

    def _presignature_place(self, presignature: PresignatureRecord) -> tuple[bytes, ...]:
        return (
            presignature.batch,
            presignature.position.to_bytes(4),
            self._party,
            presignature.key_session,
            presignature.epoch.to_bytes(4),
            self.incarnation,
        )


def _keeps_state(change: SessionChange) -> bool:
    return bool(change.state) and not Status(change.status).final


def _tells(change: SessionChange) -> KeyEpoch | None:
    """The epoch whose half its state is sealed under."""
    if change.erased_with is None or not _keeps_state(change):
        return None
    return change.key_session or change.session_id, change.erased_with


def answer_values(change: PartyChange, answers: AnswerRecord) -> tuple[object, ...]:
    """In the order of `ANSWER_COLUMNS`."""
    return (
        answers.owner,
        answers.request_id,
        change.session_id,
        answers.digest,
        answers.commits,
        change.at,
    )


def cancellation_values(forbids: CancellationRecord) -> tuple[object, ...]:
    """In the order of `CANCELLATION_COLUMNS`."""
    return (
        forbids.owner,
        forbids.request_id,
        forbids.issued_until,
        forbids.forbidden_until,
        forbids.statement,
    )


def epoch(row: Row) -> EpochRecord:
    return EpochRecord(
        key_session=row["key_session"],
        epoch=row["epoch"],
        session_id=row["session_id"],
        status=EpochStatus(row["status"]),
        bundle=row["bundle"],
        at=row["at"],
        due_at=row["due_at"],
    )


def certified_values(
    record: EpochRecord, certificates: Mapping[str, bytes] | None
) -> tuple[object, ...]:
    """Key, epoch, session, bundle, certificates, and the two times."""
    return (
        record.key_session,
        record.epoch,
        record.session_id,
        record.bundle,
        None if certificates is None else _certificates_to_json(certificates),
        record.at,
        record.due_at,
    )


def suspended_values(share: KeyShareRecord, at: int | None) -> tuple[object, ...]:
    """Key, epoch, a number to ask others with (FRESH), and since when."""
    return share.key_session, share.epoch, secrets.token_bytes(SUSPENSION_BYTES), at


def word(row: Row) -> WordRecord:
    return WordRecord(row["epoch"], row["session_id"] or None)


def word_values(share: KeyShareRecord) -> tuple[object, ...] | None:
    """Key, epoch and session of one that was made of another; None of a key's first."""
    made = json.loads(share.facts).get("reshared")
    if made is None:
        return None
    return share.key_session, share.epoch, bytes.fromhex(made["session_id"])


def public_key_share(row: Row) -> KeyShareRecord:
    """Without its secret."""
    return replace(sealed_key_share(row), secret=b"")


def sealed_key_share(row: Row) -> KeyShareRecord:
    """With its secret as it is stored."""
    return KeyShareRecord(
        key_session=row["key_session"],
        epoch=row["epoch"],
        owner=row["owner"],
        key_id=row["key_id"],
        facts=row["facts"],
        certificates=_certificates_from_json(row["certificates"]),
        secret=row["secret"],
        active=bool(row["active"]),
    )


def sealed_key_share_values(share: KeyShareRecord) -> tuple[object, ...]:
    """In the order of `KEY_SHARE_COLUMNS`; the secret is sealed already."""
    return (
        share.key_session,
        share.epoch,
        share.owner,
        share.key_id,
        share.facts,
        _certificates_to_json(share.certificates),
        share.secret,
        share.active,
    )


def tenant(row: Row) -> TenantRecord:
    return TenantRecord(
        key_session=row["key_session"],
        owner=row["owner"],
        tenant=row["tenant"],
        given_at=row["given_at"],
    )


def ban_values(ban: BanRecord) -> tuple[object, ...]:
    """In the order of `BAN_COLUMNS`."""
    return ban.party_id, ban.session_id, ban.check, ban.at


def ban(row: Row) -> BanRecord:
    return BanRecord(
        party_id=row["party_id"],
        session_id=row["session_id"],
        check=row["failed_check"],
        at=row["at"],
    )


def evidence_values(evidence: EvidenceRecord) -> tuple[object, ...]:
    """In the order of `EVIDENCE_COLUMNS`."""
    return (
        evidence.session_id,
        evidence.slot,
        evidence.sender,
        evidence.first,
        evidence.second,
        evidence.at,
    )


def evidence(row: Row) -> EvidenceRecord:
    return EvidenceRecord(
        session_id=row["session_id"],
        slot=row["slot"],
        sender=row["sender"],
        first=row["first_body"],
        second=row["second_body"],
        at=row["at"],
    )


def parked(row: Row) -> Parked:
    """As it came: an envelope is sealed by its sender."""
    return Parked(
        session_id=row["session_id"], sender=row["sender"], slot=row["slot"], body=row["body"]
    )


def _certificates_to_json(certificates: Mapping[str, bytes]) -> str:
    return json.dumps(
        {party: base64.b64encode(value).decode() for party, value in certificates.items()}
    )


def _certificates_from_json(text: str) -> dict[str, bytes]:
    return {party: base64.b64decode(value) for party, value in json.loads(text).items()}
