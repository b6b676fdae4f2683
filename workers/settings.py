"""Settings of the workers: read once from TOML, secrets from the environment or files.

Addresses and secrets may come from the environment, so that the file holds none:
``WARREN_AMQP_URL``, ``WARREN_DATABASE_URL``, ``WARREN_MASTER_KEY``, ``WARREN_PRIVATE_KEY``, and for
TLS ``WARREN_AMQP_CA_FILE`` and its like, see `places`.
What a file does say itself wins, so that one machine can run several parties. The broker's address
may name all hosts of a cluster: ``amqp://user:password@host1,host2,host3/vhost``.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from contracts.admission import ClientPolicy
from contracts.coordinators import Coordinators, PinSection
from contracts.errors import ContractError
from contracts.hosts import AddressError
from contracts.identity import Identity
from contracts.numbered_lists import ListOperator
from contracts.primitives import Id
from contracts.requests import MAX_LIFETIME_MS
from contracts.signing import explain

from . import pins, private_keys
from .pins import ClientSection, PeerSection
from .places import PlacesSection
from .pool_limits import PoolLimits
from .session.epochs import SHORTEST_SWITCH_S, SWITCH_S
from .session.peers import Peer
from .store.interface import PartyStore
from .store.opening import open_party_store
from .store.promise_marks import PromiseMarks
from .store.sealing import MasterKeys, Sealer
from .store.share_keys import ShareKeys

T = TypeVar("T", bound=BaseModel)

SettingsError = pins.SettingsError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lane(StrEnum):
    """What a process of a party serves. Where nothing may make signatures wait, each lane gets
    processes of its own."""

    SIGNING = "signing"
    """The inbox: signatures and cancels."""
    KEYGEN = "keygen"
    """Key generations, of several rounds each."""
    PRESIGNING = "presigning"
    """Batches of presignatures, which take tens of milliseconds at a time."""


def _require_memory(limits: PartyLimits | CoordinatorLimits, *names: str) -> None:
    needed = MAX_LIFETIME_MS / 1000 + 2 * limits.clock_tolerance_seconds
    for name in names:
        if getattr(limits, name) < needed:
            raise ValueError(
                f"{name} must be at least {needed:g}: what is forgotten while its request still "
                "counts could be done again"
            )


MAX_BACKUP_WAIT_S = 86_400.0


class PartyLimits(_Section):
    session_seconds: float = Field(default=300, gt=0)
    """No session runs longer here, whatever its request says."""
    clock_tolerance_seconds: float = Field(default=15, ge=0)
    """How far the clock of a client or the coordinator may be off before what it sends counts as
    expired, or as of the future."""
    nonces_per_key: int = Field(default=1024, ge=1)
    """Nonce pairs kept for one key and scheme; the oldest go first."""
    presignatures_per_key: int = Field(default=4096, ge=64)
    """Presignatures kept for one key, of all signer sets; the oldest go first."""
    presignatures: int = Field(default=65_536, ge=64)
    """The same for all keys together; some 500 bytes each."""
    parked_messages: int = Field(default=1000, ge=1)
    """Of one sender, waiting for sessions that are not there yet."""
    parked_bytes: int = Field(default=16_000_000, ge=1)
    parked_seconds: float = Field(default=600, gt=0)
    retention_seconds: float = Field(default=900, gt=0)
    """How long a finished session is remembered, and answers its redelivered messages."""
    statements_seconds: float = Field(default=86_400, gt=0)
    """How long it is remembered which requests were answered. Of older ones nothing is stated when
    they are cancelled."""
    cancellations_per_owner: int = Field(default=10_000, ge=1)
    """Cancellations kept for one client and tenant, some ten minutes each. None goes early: beyond
    that, others are refused."""
    backup_wait_seconds: float = Field(default=MAX_BACKUP_WAIT_S, ge=0, le=MAX_BACKUP_WAIT_S)
    """So long at most the share of an epoch that is over is kept, without signing, until that of
    the next one stands in a backup (`warren backup create`). 0: not at all."""
    prefetch: int = Field(default=32, ge=1, le=1000)
    keygen_prefetch: int = Field(default=16, ge=1, le=1000)
    presigning_prefetch: int = Field(default=8, ge=1, le=1000)
    """Up to 2.7 MB each."""
    database_connections: int = Field(default=4, ge=1)

    @model_validator(mode="after")
    def _remembers(self) -> PartyLimits:
        _require_memory(self, "retention_seconds", "statements_seconds")
        return self

    def prefetch_of(self, lane: Lane) -> int:
        """How many deliveries of the lane's queue a process handles at once."""
        return {
            Lane.SIGNING: self.prefetch,
            Lane.KEYGEN: self.keygen_prefetch,
            Lane.PRESIGNING: self.presigning_prefetch,
        }[lane]


LEAST_WAITING = 16
"""Of a client's own queue, however many clients there are."""


class CoordinatorLimits(_Section):
    clock_tolerance_seconds: float = Field(default=15, ge=0)
    """How far another process's clock may be off before what it sends counts as of another time."""
    grace_seconds: float = Field(default=1.0, ge=0)
    """After the deadline, for the parties' last words about who was silent."""
    try_seconds: float = Field(default=5, gt=0)
    """Signers that make no progress for so long are given up for others, if there are any."""
    party_silent_seconds: float = Field(default=10, gt=0)
    """Without a sign of life for so long a party is chosen last."""
    nonce_batch: int = Field(default=4, ge=1, le=64)
    switch_seconds: float = Field(default=SWITCH_S, ge=SHORTEST_SWITCH_S, le=SWITCH_S)
    """After a key's next epoch is made, requests go to its holders: by then they have made what
    signatures need, and all processes have heard of it. Shorter, for who waits for it: until then
    one that has signed with the key in the last seconds still asks the former holders."""
    sessions_per_owner: int = Field(
        default=1000,
        ge=1,
        validation_alias=AliasChoices("sessions_per_owner", "sessions_per_client"),
    )
    """Unfinished ones, of a client or of each of its tenants. What they ask for beyond is answered
    with `overloaded`. `sessions_per_client` in files of before."""
    sessions: int = Field(default=4000, ge=1)
    """The same for all clients together."""
    retention_seconds: float = Field(default=86_400, gt=0)
    """How long a request is answered with the same result again."""
    signatures_at_once: int = Field(default=4, ge=1)
    """Messages that the parties are given to sign at a time, of those that one process takes; the
    others wait for their turn. Parties that are far away are given more, see `Rates.enough`."""
    signatures_at_once_alone: int = Field(default=16, ge=1)
    """The same while one owner asks and nobody else, if that is more: then each comes later."""
    keys_at_once: int = Field(default=2, ge=1)
    """The same for key generations, and for reshares."""
    keys_at_once_alone: int = Field(default=4, ge=1)
    reshare_rest: float = Field(default=2.0, ge=0, le=10)
    """While signatures are asked for, reshares go one at a time, and each is followed by a rest of
    so many times what it took, but of 2 seconds at most: nobody waits for new shares as for a
    signature. 0: no rest."""
    cancels_at_once: int = Field(default=4, ge=1)
    questions_at_once: int = Field(default=2, ge=1)
    """Requests that are answered at once. One of an owner who has none under way comes besides."""
    questions_at_once_alone: int = Field(default=4, ge=1)
    refusals_at_once: int = Field(default=4, ge=1)
    refusals_at_once_alone: int = Field(default=16, ge=1)
    waiting_per_owner: int = Field(default=128, ge=1)
    """Requests of a client, or of each of its tenants, that wait in one process for their turn, of
    each lane; and no more than half of `waiting`. Others are answered with `overloaded`."""
    waiting: int = Field(default=256, ge=2, le=1000)
    """Deliveries of a queue of requests that a process takes, most of which wait; of the clients'
    own queues, all together."""
    prefetch: int = Field(default=64, ge=1, le=1000)
    """Reports that are handled at once."""
    database_connections: int = Field(default=8, ge=1)

    @model_validator(mode="after")
    def _remembers(self) -> CoordinatorLimits:
        _require_memory(self, "retention_seconds")
        return self

    def prefetch_of_each(self, clients: int) -> int:
        """Of one client's own queue. However many clients there are, some."""
        return min(self.waiting, max(LEAST_WAITING, self.waiting // max(clients, 1)))


class DeliverySection(_Section):
    bundles: bool = True
    """Send what waits for the same queue in one message. Bundles are taken apart in any case; no,
    while workers of before, who cannot, still run beside this one."""


class PartySection(PlacesSection):
    party_id: Id
    index: int = Field(ge=1)
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    other_private_key_files: list[Path] = Field(default_factory=list)
    """During a rotation: of the next identity before the others know it, and of the former one
    after. What others call the party by at a moment decides which of them it uses."""
    master_key_file: Path | None = None
    incarnation_file: Path | None = None
    """What tells that the database has gone back: on another volume and in no backup of it, kept
    across restarts. Beside this file, and called after the party, if not said otherwise."""
    share_keys_folder: Path | None = None
    """Half of what opens each key share, erased when its epoch is over. **To be kept**: without it
    the database's shares are lost, and only a backup has them. The same for all processes of the
    party, in no backup of the database. Beside this file, and called after the party, if not said
    otherwise."""


class CoordinatorSection(PlacesSection):
    private_key: SecretStr | None = None
    private_key_file: Path | None = None
    other_private_key_files: list[Path] = Field(default_factory=list)
    """During a rotation: of the next identity before it signs, and of the former one after."""


class _PartyFile(_Section):
    party: PartySection
    peers: list[PeerSection] = Field(min_length=1)
    coordinators: list[PinSection] = Field(default_factory=list)
    clients: list[ClientSection] = Field(default_factory=list)
    limits: PartyLimits = PartyLimits()
    delivery: DeliverySection = DeliverySection()


class _CoordinatorFile(_Section):
    coordinator: CoordinatorSection = CoordinatorSection()
    parties: list[PeerSection] = Field(min_length=2)
    clients: list[ClientSection] = Field(default_factory=list)
    limits: CoordinatorLimits = CoordinatorLimits()
    delivery: DeliverySection = DeliverySection()
    pools: PoolLimits = PoolLimits()

    @field_validator("parties")
    @classmethod
    def _distinct(cls, parties: list[PeerSection]) -> list[PeerSection]:
        _require_distinct(parties)
        return parties


def _require_distinct(peers: list[PeerSection]) -> None:
    for name in ("party_id", "index", "public_key"):
        if len({getattr(peer, name) for peer in peers}) != len(peers):
            raise ValueError(f"two parties have the same {name}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartySettings:
    """
    Attributes:
        other_identities: Further keys of this party, while one takes the place of another.
        peers: All parties by id, this one included.
        coordinators: Whose instructions count.
        list_operators: Whose entries of the lists count that all follow.
    """

    party_id: str
    identity: Identity
    other_identities: tuple[Identity, ...] = ()
    peers: Mapping[str, Peer]
    coordinators: Coordinators
    clients: tuple[ClientPolicy, ...]
    list_operators: tuple[ListOperator, ...] = ()
    limits: PartyLimits
    delivery: DeliverySection = field(default_factory=DeliverySection)
    amqp_url: str = field(repr=False)
    database_url: str = field(repr=False)
    master_key_file: Path | None
    incarnation_file: Path
    share_keys_folder: Path

    @classmethod
    def load(cls, path: Path, environ: Mapping[str, str] = os.environ) -> PartySettings:
        """Raises SettingsError."""
        file = _read(path, _PartyFile)
        party = file.party
        identity = _identity(path, "party", party, environ)
        own = PeerSection(
            party_id=party.party_id,
            index=party.index,
            public_key=identity.public.to_base64(),
        )
        others = [peer for peer in file.peers if peer.party_id != party.party_id]
        other_identities = _others(path, "party", party.other_private_key_files)
        ours = {own.public_key, *(each.public.to_base64() for each in other_identities)}
        for peer in file.peers:
            if peer.party_id == party.party_id and (
                peer.index != party.index or peer.public_key not in ours
            ):
                raise SettingsError(
                    f"{path}: peers lists {party.party_id} with another index or public key "
                    "than this party's own"
                )
        try:
            _require_distinct([own, *others])
        except ValueError as error:
            raise SettingsError(f"{path}: peers: {error}") from None
        return cls(
            party_id=party.party_id,
            identity=identity,
            other_identities=other_identities,
            peers=pins.peers(path, "peers", [own, *others]),
            coordinators=_coordinators(path, file.coordinators),
            clients=pins.clients(path, file.clients),
            list_operators=pins.list_operators(path, file.clients),
            limits=file.limits,
            delivery=file.delivery,
            amqp_url=_place(party.broker, path, environ),
            database_url=_place(party.database, path, environ),
            master_key_file=None
            if party.master_key_file is None
            else path.parent / party.master_key_file,
            incarnation_file=path.parent
            / (party.incarnation_file or f"{party.party_id}.incarnation"),
            share_keys_folder=path.parent
            / (party.share_keys_folder or f"{party.party_id}.share-keys"),
        )

    def sealer(self) -> Sealer:
        """Raises SealError."""
        return Sealer(self.master_keys(), erasable=self.share_keys)

    def opened(self, *, fenced: bool = False, max_connections: int = 1) -> PartyStore:
        """This party's store; open while its `async with` lasts, see `open_party_store`.

        Arguments:
            fenced: With the witness, as whoever uses more than key shares, bans and evidence needs.
        """
        return open_party_store(
            self.database_url,
            party_id=self.party_id,
            sealer=self.sealer(),
            witness=self.incarnation_file if fenced else None,
            max_connections=max_connections,
        )

    @property
    def share_keys(self) -> ShareKeys:
        return ShareKeys(self.share_keys_folder, self.party_id)

    @property
    def promise_marks(self) -> PromiseMarks:
        return PromiseMarks(self.share_keys_folder)

    def master_keys(self) -> MasterKeys:
        """From the key file, or the environment. Raises SealError."""
        if self.master_key_file is None:
            return MasterKeys.from_environment()
        return MasterKeys.from_file(self.master_key_file)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorSettings:
    """
    Attributes:
        other_identities: What was sealed for them is read too; they sign nothing.
        list_operators: Whose entries of the lists count that all follow.
    """

    identity: Identity
    other_identities: tuple[Identity, ...] = ()
    parties: Mapping[str, Peer]
    clients: tuple[ClientPolicy, ...]
    list_operators: tuple[ListOperator, ...] = ()
    limits: CoordinatorLimits
    delivery: DeliverySection = field(default_factory=DeliverySection)
    pools: PoolLimits
    amqp_url: str = field(repr=False)
    database_url: str = field(repr=False)

    @classmethod
    def load(cls, path: Path, environ: Mapping[str, str] = os.environ) -> CoordinatorSettings:
        """Raises SettingsError."""
        file = _read(path, _CoordinatorFile)
        own = file.coordinator
        return cls(
            identity=_identity(path, "coordinator", own, environ),
            other_identities=_others(path, "coordinator", own.other_private_key_files),
            parties=pins.peers(path, "parties", file.parties),
            clients=pins.clients(path, file.clients),
            list_operators=pins.list_operators(path, file.clients),
            limits=file.limits,
            delivery=file.delivery,
            pools=file.pools,
            amqp_url=_place(own.broker, path, environ),
            database_url=_place(own.database, path, environ),
        )


def party_in(path: Path, environ: Mapping[str, str]) -> tuple[PartySection, Identity]:
    """Of a party's file, before it has its places. Raises SettingsError."""
    party = _read(path, _PartyFile).party
    return party, _identity(path, "party", party, environ)


def _read(path: Path, shape: type[T]) -> T:
    try:
        with path.open("rb") as file:
            content: dict[str, Any] = tomllib.load(file)
        return shape.model_validate(content)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {explain(error)}") from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not TOML: not UTF-8 text") from None


def _identity(
    path: Path,
    section: str,
    own: PartySection | CoordinatorSection,
    environ: Mapping[str, str],
) -> Identity:
    given = None if own.private_key is None else own.private_key.get_secret_value()
    try:
        return private_keys.find(path, section, given, own.private_key_file, environ)
    except ContractError as error:
        raise SettingsError(str(error)) from None


def _others(path: Path, section: str, files: list[Path]) -> tuple[Identity, ...]:
    named = f"{path}: {section}.other_private_key_files"
    try:
        return tuple(private_keys.read(path.parent / each, named) for each in files)
    except ContractError as error:
        raise SettingsError(str(error)) from None


def _place(
    of: Callable[[Path, Mapping[str, str]], str], path: Path, environ: Mapping[str, str]
) -> str:
    try:
        return of(path, environ)
    except AddressError as error:
        raise SettingsError(str(error)) from None


def _coordinators(path: Path, sections: list[PinSection]) -> Coordinators:
    try:
        return Coordinators.pinned(sections)
    except ContractError as error:
        raise SettingsError(f"{path}: {error}") from None
