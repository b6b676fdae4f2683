"""A backup as one file: what it says of itself, and the key shares.

    warren-backup 1                                  what this is
    {"party_id": ..., "created_at": ..., ...}        the label, for whoever finds the file
    ...                                              the shares, sealed

The body is sealed under the master key with the two lines before it as associated data, so nothing
in the file can be changed, left out or taken from another one. Within it, each share is sealed a
second time, as in the database: under a data key of its own, to this party. It needs no erasable
key: a backup signs as its epoch does, until it is destroyed. Nonces,
presignatures and round state have no place in it: a backup of them is a way to use them twice.
"""

from __future__ import annotations

import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from contracts import strict_json
from contracts.errors import ContractError
from contracts.primitives import Base64, Hex32, Id

from ..store.records import KeyShareRecord
from ..store.sealing import Kind, MasterKeys, SealError
from .errors import BackupError

FORMAT = 1
MAX_BYTES = 1 << 30
"""More than any party's shares; a file that is larger is none of ours."""

_MAGIC = b"warren-backup "
_LONGEST_LINE = 4096


class Label(BaseModel):
    """What can be read without the master key, and is believed only with it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    party_id: Id
    created_at: int = Field(ge=0)
    """Unix milliseconds by this party's clock."""
    shares: int = Field(ge=0)


class _Share(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    key_session: Hex32
    epoch: int = Field(ge=0, lt=2**32)
    owner: str
    key_id: Id
    facts: str
    certificates: dict[Id, Base64]
    secret: Base64
    active: bool


_SHARES = TypeAdapter(list[_Share])


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """
    Attributes:
        shares: Each `secret` sealed to this party; see `PartyRows.portable`.
    """

    party_id: str
    created_at: int
    shares: tuple[KeyShareRecord, ...]

    def to_bytes(self, keys: MasterKeys) -> bytes:
        """The label in clear, and behind it everything sealed under the master key, bound to the
        label."""
        label = Label(party_id=self.party_id, created_at=self.created_at, shares=len(self.shares))
        head = b"%s%d\n%s\n" % (_MAGIC, FORMAT, label.model_dump_json().encode())
        body = _SHARES.dump_json([_Share(**asdict(share)) for share in self.shares])
        return head + keys.seal(Kind.BACKUP, body, head)

    @classmethod
    def from_bytes(cls, data: bytes, keys: MasterKeys) -> Backup:
        """Raises BackupError."""
        label, head = read_label(data)
        try:
            body = keys.open(Kind.BACKUP, data[len(head) :], head)
        except SealError as error:
            # The reason may be a master key's version.
            raise BackupError(
                f"the backup does not open ({error}): it is cut short or was changed, or it was "
                "made under a master key that is not this party's; take another copy of the file, "
                "or the master key file of its time"
            ) from None
        try:
            shares = _SHARES.validate_json(body, strict=True)
        except ValidationError:
            raise BackupError("the backup opens, and is none of a release that we know") from None
        if len(shares) != label.shares:
            raise BackupError("the backup does not hold as many shares as it says")
        return cls(
            party_id=label.party_id,
            created_at=label.created_at,
            shares=tuple(KeyShareRecord(**dict(share)) for share in shares),
        )


def read_label(data: bytes) -> tuple[Label, bytes]:
    """With the bytes before the body. Raises BackupError."""
    first, second = data.find(b"\n") + 1, 0
    if not data.startswith(_MAGIC) or not 0 < first <= _LONGEST_LINE:
        raise BackupError("this is no backup of key shares")
    version = data[len(_MAGIC) : first - 1]
    if version != b"%d" % FORMAT:
        raise BackupError(
            f"the backup has format {version[:20].decode(errors='replace')}, and this release "
            f"reads format {FORMAT}: use the release that made it, or a later one"
        )
    second = data.find(b"\n", first, first + _LONGEST_LINE) + 1
    try:
        label = Label.model_validate_json(strict_json.checked(data[first : second or None]))
    except (ValidationError, ContractError):
        raise BackupError("the backup is cut short, or its label was changed") from None
    return label, data[:second]


def read(path: Path) -> bytes:
    """Raises BackupError."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BackupError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise BackupError(f"{path} is too large to be a backup of key shares")
    return data


def write(path: Path, data: bytes) -> None:
    """Into a new file of our own user alone, and onto the disk. Raises BackupError."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        file = os.open(path, flags, stat.S_IRUSR | stat.S_IWUSR)
    except FileExistsError:
        raise BackupError(f"{path} exists: a backup is never overwritten") from None
    except OSError as error:
        raise BackupError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        _sync(path.parent)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise BackupError(f"cannot write {path}: {error.strerror}") from None


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
