"""A backup is good for its own party's key shares, whole and as they were, or for nothing."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts.identity import Identity
from contracts.keys import KeyFacts
from tests.protocols.simulate import coins
from tests.session.builders import facts, key
from workers.backup import archive
from workers.backup.archive import Backup
from workers.backup.checking import check_shares
from workers.backup.errors import BackupError
from workers.backup.restoring import missing
from workers.protocols.rounds import PartyIndex
from workers.store.records import KeyShareRecord
from workers.store.rows.party import PartyRows
from workers.store.sealing import Kind, MasterKeys, Sealer

from .shares import CREATED_AT, KEYS, PINNED, ROWS, certified, sealed

SHARES = (sealed(certified()), sealed(certified(curve="secp256k1", session_id=coins("other"))))


def check(*shares: KeyShareRecord, rows: PartyRows = ROWS, party_id: str = "party-1") -> None:
    check_shares(shares, rows, party_id, PINNED)


def backup(shares: tuple[KeyShareRecord, ...] = SHARES) -> Backup:
    return Backup(party_id="party-1", created_at=CREATED_AT, shares=shares)


###
### The file
###


@pytest.mark.parametrize("shares", [(), SHARES[:1], SHARES])
def test_what_was_backed_up_is_read_back(shares: tuple[KeyShareRecord, ...]) -> None:
    data = backup(shares).to_bytes(KEYS)
    assert Backup.from_bytes(data, KEYS) == backup(shares)
    label, _ = archive.read_label(data)
    assert (label.party_id, label.created_at, label.shares) == (
        "party-1",
        CREATED_AT,
        len(shares),
    )


def test_nobody_reads_anything_but_the_label_without_the_master_key() -> None:
    data = backup().to_bytes(KEYS)
    secret = certified().secret
    for hidden in [secret, SHARES[0].secret, SHARES[0].facts.encode(), b"key-1"]:
        assert hidden not in data
    with pytest.raises(BackupError, match="a master key that is not this party's"):
        Backup.from_bytes(data, MasterKeys({1: bytes(32)}))


def test_a_backup_opens_after_the_master_key_was_rotated() -> None:
    data = backup().to_bytes(KEYS)
    rotated = MasterKeys({1: bytes(range(32)), 2: bytes(32)})
    assert Backup.from_bytes(data, rotated) == backup()
    with pytest.raises(BackupError, match="sealed under master key version 1, which is not here"):
        Backup.from_bytes(data, MasterKeys({2: bytes(32)}))


def test_no_byte_of_a_backup_can_be_changed() -> None:
    data = backup().to_bytes(KEYS)
    places = [*range(120), *range(120, len(data), 97), len(data) - 1]
    for at in places:
        with pytest.raises(BackupError):
            Backup.from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], KEYS)


def test_no_part_of_a_backup_can_be_left_out() -> None:
    data = backup().to_bytes(KEYS)
    for length in [*range(150), *range(150, len(data), 97), len(data) - 1]:
        with pytest.raises(BackupError):
            Backup.from_bytes(data[:length], KEYS)
    with pytest.raises(BackupError, match="cut short or was changed"):
        Backup.from_bytes(data + b"\0", KEYS)


def test_the_label_of_another_backup_does_not_fit() -> None:
    data, newer = backup().to_bytes(KEYS), replace(backup(), created_at=CREATED_AT + 1)
    _, head = archive.read_label(data)
    _, other = archive.read_label(newer.to_bytes(KEYS))
    with pytest.raises(BackupError, match="cut short or was changed"):
        Backup.from_bytes(other + data[len(head) :], KEYS)


@pytest.mark.parametrize("version", [b"0", b"2", b"01", b"one", b""])
def test_an_unknown_format_is_refused_by_name(version: bytes) -> None:
    data = (
        backup().to_bytes(KEYS).replace(b"warren-backup 1\n", b"warren-backup " + version + b"\n")
    )
    with pytest.raises(BackupError, match="use the release that made it, or a later one"):
        Backup.from_bytes(data, KEYS)


@pytest.mark.parametrize("data", [b"", b"\n", b"warren-backup", b"PGDMP", bytes(5000)])
def test_another_file_is_no_backup(data: bytes) -> None:
    with pytest.raises(BackupError, match="no backup of key shares"):
        Backup.from_bytes(data, KEYS)


def test_a_label_that_names_a_field_twice_is_refused() -> None:
    data = backup().to_bytes(KEYS)
    doubled = data.replace(b'{"party_id":', b'{"party_id":"party-9","party_id":', 1)
    assert doubled != data
    with pytest.raises(BackupError, match="its label was changed"):
        archive.read_label(doubled)


def seal_body(body: bytes, shares: int) -> bytes:
    """As somebody with the master key may write it: another release, or a mistake."""
    label = archive.Label(party_id="party-1", created_at=CREATED_AT, shares=shares)
    head = b"warren-backup 1\n" + label.model_dump_json().encode() + b"\n"
    return head + KEYS.seal(Kind.BACKUP, body, head)


@pytest.mark.parametrize("body", [b"", b"{}", b"[{}]", b'[{"epoch": "0"}]'])
def test_a_body_that_makes_no_sense_is_refused(body: bytes) -> None:
    with pytest.raises(BackupError, match="none of a release that we know"):
        Backup.from_bytes(seal_body(body, 1), KEYS)


def test_a_backup_with_fewer_shares_than_it_says_is_refused() -> None:
    with pytest.raises(BackupError, match="not hold as many shares"):
        Backup.from_bytes(seal_body(b"[]", 1), KEYS)


def test_a_backup_is_its_owner_s_alone_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    archive.write(path, b"precious")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BackupError, match="a backup is never overwritten"):
        archive.write(path, b"other")
    assert archive.read(path) == b"precious"


def test_a_backup_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackupError, match="No such file or directory"):
        archive.write(tmp_path / "none" / "backup", b"data")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BackupError, match="No space left on device"):
        archive.write(tmp_path / "backup", b"data")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackupError, match=r"none: No such file"):
        archive.read(tmp_path / "none")
    (tmp_path / "large").write_bytes(bytes(11))
    monkeypatch.setattr(archive, "MAX_BYTES", 10)
    with pytest.raises(BackupError, match="too large"):
        archive.read(tmp_path / "large")


###
### The shares
###


@pytest.mark.parametrize("curve", ["ed25519", "secp256k1"])
def test_a_share_that_is_certified_is_in_order(curve: str) -> None:
    check(sealed(certified(curve=curve)))


def test_a_share_whose_key_generation_did_not_end_is_in_order() -> None:
    share = certified()
    own = {"party-1": share.certificates["party-1"]}
    check(sealed(replace(share, certificates=own, active=False)))
    with pytest.raises(BackupError, match="no certificate of party party-2"):
        check(sealed(replace(share, certificates=own)))


def spoilt_certificate(share: KeyShareRecord) -> KeyShareRecord:
    certificates = dict(share.certificates)
    certificates["party-2"] = certificates["party-3"]
    return replace(share, certificates=certificates)


def with_facts(**changes: Any) -> Callable[[KeyShareRecord], KeyShareRecord]:
    """Certified by all, for the sake of the argument."""
    return lambda share: replace(certified(**changes), secret=share.secret)


def with_secret(secret: bytes) -> Callable[[KeyShareRecord], KeyShareRecord]:
    return lambda share: replace(share, secret=secret)


OTHER = key(seed="another key")[PartyIndex(1)]
OURS = key()[PartyIndex(1)]


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (spoilt_certificate, "does not verify|signature"),
        (lambda share: spoilt_certificate(replace(share, active=False)), "signature"),
        (lambda share: replace(share, key_id="key-2"), "about another key or epoch"),
        (lambda share: replace(share, owner="svcB"), "about another key or epoch"),
        (lambda share: replace(share, epoch=1), "about another key or epoch"),
        (lambda share: replace(share, key_session=bytes(32)), "about another key or epoch"),
        (lambda share: replace(share, facts="{}"), "facts that make no sense"),
        (with_secret(b"no share"), "no key share"),
        (with_secret(OTHER.to_bytes()), "does not belong to the public share"),
        (
            with_secret(replace(OURS, secret_share=OTHER.secret_share).to_bytes()),
            "does not belong to the public share",
        ),
        (
            with_secret(key()[PartyIndex(2)].to_bytes()),
            "does not belong to the public share",
        ),
        (with_secret(replace(OURS, index=PartyIndex(2)).to_bytes()), "does not belong"),
        (
            with_secret(replace(OURS, public_shares=OTHER.public_shares).to_bytes()),
            "do not agree",
        ),
        (with_secret(replace(OURS, threshold=3).to_bytes()), "do not agree"),
        (with_secret(replace(OURS, chain_code=bytes(32)).to_bytes()), "do not agree"),
        (with_facts(public_key=OTHER.public_key.to_bytes()), "do not agree"),
        (with_facts(threshold=3), "do not agree"),
    ],
)
def test_a_share_that_is_not_what_was_certified_is_refused(
    spoil: Callable[[KeyShareRecord], KeyShareRecord], complaint: str
) -> None:
    with pytest.raises(BackupError, match=complaint) as caught:
        check(sealed(spoil(certified())))
    for secret in (OURS.secret_share, OTHER.secret_share):
        assert secret.to_bytes().hex() not in str(caught.value)


def test_a_share_of_which_some_public_shares_are_missing_is_refused() -> None:
    fewer = {i: point for i, point in OURS.public_shares.items() if i != 3}
    share = replace(certified(), secret=replace(OURS, public_shares=fewer).to_bytes())
    with pytest.raises(BackupError, match="do not agree"):
        check(sealed(share))


def test_certificates_of_identities_that_we_do_not_know_are_refused() -> None:
    strangers = {**PINNED, "party-2": Identity.generate().public}
    with pytest.raises(BackupError, match="party-2 has another identity than we know"):
        check_shares([sealed(certified())], ROWS, "party-1", strangers)


def test_a_share_that_does_not_open_is_refused() -> None:
    for rows in [
        PartyRows("party-1", Sealer(MasterKeys({1: bytes(32)}))),
        PartyRows("party-2", Sealer(KEYS)),
    ]:
        with pytest.raises(BackupError, match="is this the right master key"):
            check(sealed(certified()), rows=rows)


def test_a_share_of_others_is_refused() -> None:
    rows = PartyRows("party-9", Sealer(KEYS))
    with pytest.raises(BackupError, match="party-1, party-2, party-3, and not of party-9"):
        check(sealed(certified(), rows), rows=rows, party_id="party-9")


def test_two_epochs_of_one_key_are_never_in_one_backup() -> None:
    with pytest.raises(BackupError, match="epochs 0 and 1 of one key are mixed"):
        check(sealed(certified()), sealed(certified(epoch=1)))


###
### Beside what is there
###


def epoch(number: int, **changes: Any) -> KeyShareRecord:
    return sealed(replace(certified(epoch=number), **changes))


def test_only_what_is_not_there_is_added() -> None:
    assert missing(SHARES, [], ROWS) == list(SHARES)
    assert missing(SHARES, SHARES[:1], ROWS) == [SHARES[1]]
    # Sealed anew, and with certificates that were signed anew, it is the same share.
    again = (sealed(certified()), sealed(certified(curve="secp256k1", session_id=coins("other"))))
    assert again != SHARES
    assert missing(SHARES, again, ROWS) == []


def test_a_share_of_a_past_epoch_is_refused() -> None:
    for present in [[epoch(2)], [epoch(1), epoch(2)]]:
        with pytest.raises(BackupError, match="has epoch 1, and the database epoch 2"):
            missing([epoch(1)], present, ROWS)


def test_a_share_of_a_later_epoch_is_not_mixed_with_an_earlier_one() -> None:
    with pytest.raises(BackupError, match="two epochs of one key would be mixed"):
        missing([epoch(1)], [epoch(0)], ROWS)


def test_a_database_that_has_more_epochs_takes_the_backup_of_the_latest() -> None:
    assert missing([epoch(1)], [epoch(0), epoch(1)], ROWS) == []


@pytest.mark.parametrize(
    "other",
    [
        {"secret": OTHER.to_bytes()},
        {"facts": KeyFacts(**facts(threshold=3).model_dump()).model_dump_json()},
    ],
)
def test_another_share_of_the_same_key_and_epoch_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(BackupError, match="another share of this key and epoch"):
        missing([epoch(0)], [epoch(0, **other)], ROWS)


def test_a_database_from_before_the_key_s_end_is_refused() -> None:
    with pytest.raises(BackupError, match="its key generation has not ended"):
        missing([epoch(0)], [epoch(0, active=False)], ROWS)
    assert missing([epoch(0, active=False)], [epoch(0)], ROWS) == []


def test_a_backup_s_json_has_nothing_that_is_used_once() -> None:
    data = backup().to_bytes(KEYS)
    _, head = archive.read_label(data)
    body = json.loads(KEYS.open(Kind.BACKUP, data[len(head) :], head))
    assert {name for share in body for name in share} == {
        "key_session",
        "epoch",
        "owner",
        "key_id",
        "facts",
        "certificates",
        "secret",
        "active",
    }
