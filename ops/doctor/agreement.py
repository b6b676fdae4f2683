"""What the files that were given say of each other, and how far each follows operators' lists."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts.client_list import ClientList
from contracts.errors import ContractError, UnauthenticatedError
from contracts.identity import PublicIdentity
from contracts.list_file import ListFileError
from contracts.numbered_lists import NumberedList, SignedEntry
from contracts.party_list import PartyList
from contracts.peers import identities
from gateway.settings import GatewaySettings
from ops.configurations import Role
from ops.doctor.checks import Check, OfAll, OfFile, Trouble
from ops.doctor.report import Group
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings
from workers.delivery.lists import ListFollower, said_so_far
from workers.settings import CoordinatorSettings, PartySettings
from workers.store.floors import Floor

TAG = b"warren/doctor/v1"
"""Under which a coordinator's identity signs nothing, to see who believes it."""


@dataclass(frozen=True, slots=True)
class _Named:
    """A party, as a file has it. A client's and a gateway's files have no index for it."""

    keys: Collection[PublicIdentity]
    index: int | None = None


async def pins(surroundings: Surroundings) -> list[Trouble]:
    """Of coordinators, parties and clients, as far as their own files were given too."""
    able = [each for each in surroundings.subjects if each.settings is not None]
    if len(able) < 2:
        raise NotLookedError("only one file was given")
    troubles: list[Trouble] = []
    for one in able:
        parties = await _parties(surroundings, one)
        for other in able:
            if one is not other:
                troubles += _of(one, parties, other, surroundings.clock())
    return troubles


def _of(
    one: Subject, parties: Mapping[str, _Named] | None, other: Subject, now_s: float
) -> Iterator[Trouble]:
    """What `one` says of `other`, beside what that says of itself.

    Arguments:
        parties: As `one` knows them.
    """
    match other.settings:
        case CoordinatorSettings() as coordinator:
            if not _believes(one, coordinator, int(now_s * 1000)):
                yield Trouble(f"{one.name} does not believe the identity of the coordinator's file")
        case PartySettings() as party:
            if parties is not None:
                me = _Named((party.identity.public,), party.peers[party.party_id].index)
                yield from _party(one, other.name, parties.get(other.name), me)
        case _:
            yield from _client(one, other)


def _party(one: Subject, name: str, said: _Named | None, own: _Named) -> Iterator[Trouble]:
    if said is None:
        yield Trouble(f"{one.name} does not know {name}")
    elif not set(own.keys) <= set(said.keys):
        yield Trouble(f"{one.name} has another public key of {name} than its own file")
    elif said.index is not None and said.index != own.index:
        yield Trouble(f"{one.name} has index {said.index} for {name}, its own file {own.index}")


def _client(one: Subject, other: Subject) -> Iterator[Trouble]:
    """Whom a list may name, the list decides."""
    if not isinstance(one.settings, CoordinatorSettings | PartySettings):
        return
    client = other.client
    own = [each for each in one.settings.clients if each.client_id == client.client_id]
    known = any(each.identity == client.identity.public for each in own)
    if not known and not one.settings.list_operators:
        what = "another public key of" if own else "no client"
        yield Trouble(f"{one.name} has {what} {other.name}")


def _believes(one: Subject, coordinator: CoordinatorSettings, now: int) -> bool:
    """Whether it would take what the coordinator signs now. The coordinator itself pins nobody."""
    match one.settings:
        case PartySettings() as party:
            pinned = party.coordinators
        case CoordinatorSettings() | None:
            return True
        case _:
            pinned = one.client.coordinators
    try:
        pinned.verify(TAG, b"", coordinator.identity.sign(TAG, b""), now=now)
    except UnauthenticatedError:
        return False
    return True


async def _parties(surroundings: Surroundings, subject: Subject) -> dict[str, _Named] | None:
    """Whom it knows; None where its file does not tell."""
    match subject.settings:
        case PartySettings() | CoordinatorSettings():
            peers = await surroundings.parties_of(subject)
        case _ if subject.client.list_operators:
            return None  # the list is in a file of its own, or only in the process that reads it
        case _:
            pinned = subject.client.parties
            return {name: _Named(identities(keys)) for name, keys in pinned.items()}
    return {name: _Named(peer.ever, peer.index) for name, peer in peers.items()}


@dataclass(frozen=True, slots=True)
class _Followed:
    """
    Attributes:
        listed: As its processes have it.
        before: How far it had come outside of the database.
    """

    listed: NumberedList[Any]
    before: int


async def lists(surroundings: Surroundings, subject: Subject) -> list[Trouble]:
    """What is stored, against what lies in the stream and what counted here before. The stream is
    read, and nothing is taken out of it; its entries are verified, and kept nowhere."""
    followed = {each.listed.name: each for each in await _followed(surroundings, subject)}
    await surroundings.connected(subject)
    behind: Counter[str] = Counter()
    async with contextlib.aclosing(said_so_far(subject.amqp_url)) as said:
        async for name, body in said:
            if name in followed:
                with contextlib.suppress(ContractError):  # nobody's, or of a fork
                    behind[name] += followed[name].listed.take(SignedEntry.from_bytes(body))
    troubles = (_behind(each, behind[name]) for name, each in followed.items())
    return [trouble for trouble in troubles if trouble is not None]


def _behind(followed: _Followed, behind: int) -> Trouble | None:
    name, number = followed.listed.name, followed.listed.number
    if behind:
        return Trouble(f"the list of {name} has {number} entries, {behind} of them not here")
    if number < followed.before:
        return Trouble(
            f"entry {followed.before} of the list of {name} counted here before, and is nowhere",
            todo=f"publish it again: `warren {_COMMANDS[name]} publish`",
        )
    return None


async def _followed(surroundings: Surroundings, subject: Subject) -> list[_Followed]:
    if isinstance(subject.settings, GatewaySettings):
        return _gateways(subject.settings)
    worker = subject.worker
    if not worker.list_operators:
        raise NotLookedError("it pins no operator, and follows no list")
    store = await surroundings.store_of(subject)
    found = []
    for listed in (ClientList(worker.list_operators), PartyList(worker.list_operators)):
        await ListFollower(store, listed).load()
        reached = None
        if isinstance(worker, PartySettings):
            path = worker.incarnation_file
            reached = Floor(path.with_name(f"{path.name}.{listed.name}")).read()
        found.append(_Followed(listed, 0 if reached is None else reached.number))
    return found


def _gateways(settings: GatewaySettings) -> list[_Followed]:
    kept: list[tuple[NumberedList[Any] | None, Path | None]] = [
        (settings.client_list(), settings.door.client_list_file),
        (PartyList(settings.client.list_operators), settings.client.party_list_file),
    ]
    found = []
    for listed, path in kept:
        if listed is not None and path is not None and path.exists():
            for line in path.read_bytes().splitlines():
                try:
                    listed.take(SignedEntry.from_bytes(line))
                except ContractError as error:
                    raise ListFileError(f"{path}: {error}") from None
            found.append(_Followed(listed, listed.number))
    if not found:
        raise NotLookedError("it follows no list, or keeps none")
    return found


_COMMANDS = {ClientList.name: "client", PartyList.name: "party"}


CHECKS: tuple[Check, ...] = (
    OfAll(
        group=Group.CONFIGURATION,
        name="pins",
        must="The files agree on the public keys of coordinator, parties and clients",
        todo="copy the public key from its owner, into [[coordinators]], [[parties]], [[peers]] or "
        "[[clients]]",
        runbook="coordinator-identity.md",
        look=pins,
    ),
    OfFile(
        group=Group.CONFIGURATION,
        name="lists",
        must="Operators' lists are followed to their end",
        todo="start its processes, which read on; if they run, their logs say what they refuse",
        runbook="clients.md",
        roles=frozenset({Role.PARTY, Role.COORDINATOR, Role.GATEWAY}),
        look=lists,
    ),
)
