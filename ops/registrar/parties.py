"""Parties of a running system come, drain, change their keys and leave.

As with clients: each step can be done twice, and followers learn of it by the list that the
operator signs, see `contracts.party_list`. Here no private key is made: a party brings its card.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from contracts.errors import ContractError
from contracts.identity import PublicIdentity
from contracts.list_file import ListFile
from contracts.party_card import MAX_CARD_BYTES, PartyCard, read_card
from contracts.party_list import (
    MAX_KEYS,
    Action,
    ListedParty,
    PartyEntry,
    PartyKey,
    PartyList,
)
from contracts.peers import Role
from topology import InFiles, members_file
from topology.access import Credentials
from topology.passwords import referenced, write_secret
from topology.registrar import Registrar, part_of_party

from .counter import ListCounter
from .errors import RefusedError
from .handover import HandoverError, Login, at_the_broker
from .settings import RegistrarSettings

GROUP: Final = "parties"
HEARD_MS: Final = 5_000
"""After so long everybody has heard of a new key, and sessions may name the party by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Let:
    """What a party gets: an address with its login at the broker. None: it keeps its own."""

    party_id: str
    number: int
    address: Path | None = None


class PartyDesk:
    """
    Arguments:
        say: Is told each step.
        clock: Unix milliseconds.
    """

    def __init__(
        self,
        settings: RegistrarSettings,
        *,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._settings = settings
        self._say = say
        self._clock = clock
        self._owner = InFiles(settings.secrets)

    ###
    ### What can be asked for
    ###

    async def add(self, card: PartyCard, out: Path) -> Let:
        """Let a party in: queues, a broker user, and its key in the list. Raises RefusedError."""
        name = card.party_id
        async with self._open() as counter:
            known = self._known(counter.listed, name)
            wish = _put(card, (PartyKey(public_key=card.public_key),))
            if known is not None and known.retired:
                raise RefusedError(f"{name} has retired, and nobody is called so again")
            if known is not None and not _is_as(known, card):
                raise RefusedError(
                    f"{name} is a party already: `warren party rotate` gives it another key"
                )
            self._require_free(card, counter.listed)
            if known is None:
                counter.require_fit_for(**wish)
            members_file.add(self._settings.members_file, GROUP, name)
            address = self._hand_over(name, await self._admit(name), out)
            # Of the configuration, and not in the list yet: it is there, and stays as it is.
            number = counter.listed.number if known is not None else await counter.say(**wish)
            return Let(party_id=name, number=number, address=address)

    async def rotate(self, card: PartyCard, *, valid_until: int | None = None) -> Let:
        """Give a party another key beside those that it has; role and labels stay. Raises
        RefusedError."""
        name = card.party_id
        async with self._open() as counter:
            known = self._require(counter.listed, name)
            if card.index != known.index:
                raise RefusedError(f"{name} has index {known.index}, and keeps it")
            if card.public_key in {key.public_key for key in known.keys}:
                return Let(party_id=name, number=counter.listed.number)
            if len(known.keys) >= MAX_KEYS:
                raise RefusedError(f"{name} changes its keys already: end that with --finish")
            self._require_free(card, counter.listed)
            old = [
                key.model_copy(update={"valid_until": valid_until or key.valid_until})
                for key in known.keys
            ]
            new = PartyKey(public_key=card.public_key, valid_from=self._clock() + HEARD_MS)
            number = await counter.say(**_as(known, keys=(*old, new)))
            return Let(party_id=name, number=number)

    async def finish(self, party_id: str) -> int:
        """End a rotation: the former keys speak no more. Raises RefusedError."""
        async with self._open() as counter:
            known = self._require(counter.listed, party_id)
            if len(known.keys) < 2:
                return counter.listed.number
            newest = known.keys[-1]
            if newest.valid_from is not None and newest.valid_from > self._clock():
                raise RefusedError("the new key has not begun: wait a few seconds")
            return await counter.say(
                **_as(known, keys=(newest.model_copy(update={"valid_until": None}),))
            )

    async def drain(self, party_id: str, *, undo: bool = False) -> int:
        """Give a party nothing new, or what there is once more. Raises RefusedError."""
        async with self._open() as counter:
            known = self._require(counter.listed, party_id)
            if known.drained != undo:
                return counter.listed.number
            if undo:
                return await counter.say(**_as(replace(known, drained=False)))
            await self._put_in_list(counter, known)
            return await counter.say(action=Action.DRAIN, party_id=party_id)

    async def retire(self, party_id: str) -> int:
        """Make it a party no more, for ever. Raises RefusedError."""
        async with self._open() as counter:
            listed = counter.listed.party(party_id)
            if listed is not None and listed.retired:
                return counter.listed.number
            known = self._require(counter.listed, party_id)
            if not known.drained:
                raise RefusedError(
                    f"{party_id} still gets new work: `warren party drain {party_id}` first"
                )
            return await counter.say(action=Action.RETIRE, party_id=party_id)

    async def lose(self, party_id: str, key: PublicIdentity) -> int:
        """Let a key say nothing any more, for ever. Raises RefusedError."""
        async with self._open() as counter:
            known = self._require(counter.listed, party_id)
            if key.der in known.lost:
                return counter.listed.number
            await self._put_in_list(counter, known)
            return await counter.say(action=Action.LOST, party_id=party_id, lost=key.der)

    async def publish(self) -> int:
        """Bring what the broker has lost of the list back to it. Returns its last number."""
        async with self._open() as counter:
            return counter.listed.number

    async def look(self) -> tuple[list[ListedParty], int, list[str]]:
        """All parties, of list and configuration; the last number; what is wrong in the stream."""
        async with self._open() as counter:
            listed = counter.listed
            names = {party.party_id for party in listed.parties()}
            configured = (self._known(listed, name) for name in self._settings.parties)
            others = [each for each in configured if each and each.party_id not in names]
            everybody = sorted([*listed.parties(), *others], key=lambda party: party.index)
            more = counter.file.refused_count - len(counter.file.refused)
            told = counter.file.refused + [f"and {more} more"] * (more > 0)
            return everybody, listed.number, told

    ###
    ### Whether it may be
    ###

    def _known(self, listed: PartyList, party_id: str) -> ListedParty | None:
        """As the list has it, or the configuration, which it follows."""
        if (party := listed.party(party_id)) is not None:
            return party
        peer = self._settings.parties.get(party_id)
        if peer is None:
            return None
        return ListedParty(
            party_id=party_id,
            index=peer.index,
            role=peer.role,
            labels=peer.labels,
            keys=(PartyKey(public_key=peer.identity.der),),
            seen=(peer.identity,),
        )

    def _require(self, listed: PartyList, party_id: str) -> ListedParty:
        party = self._known(listed, party_id)
        if party is None:
            raise RefusedError(
                f"no party {party_id} is known here: neither in the list nor under [[parties]]"
            )
        if party.retired:
            raise RefusedError(f"{party_id} has retired, and nobody is called so again")
        return party

    def _require_free(self, card: PartyCard, listed: PartyList) -> None:
        """What the list cannot know: what the configuration gives to others."""
        for name, peer in self._settings.parties.items():
            if name != card.party_id and peer.index == card.index:
                raise RefusedError(f"{card.index} is the index of {name}: each party has its own")
            if name != card.party_id and card.identity in peer.ever:
                raise RefusedError(f"this is the key of {name}: each party has its own")
        if any(card.identity == each.identity for each in self._settings.operators):
            raise RefusedError("this is an operator's key: each party has its own")
        free = all(party.index != card.index for party in listed.parties())
        if not free and listed.party(card.party_id) is None:
            raise RefusedError(f"{card.index} is or was the index of another party")

    ###
    ### Steps
    ###

    async def _put_in_list(self, counter: _PartyCounter, known: ListedParty) -> None:
        """One that only the configuration has."""
        if counter.listed.party(known.party_id) is None:
            await counter.say(**_as(known))

    async def _admit(self, party_id: str) -> Login:
        """Queues, user, rights."""
        own = self._settings
        members = members_file.load(own.members_file)
        users = part_of_party(members, party_id, vhost=own.vhost, directory=own.topology).users
        async with own.management() as management:
            credentials = Credentials(referenced(users), self._owner)
            registrar = Registrar(
                management, vhost=own.vhost, credentials=credentials, directory=own.topology
            )
            await registrar.admit_party(
                members, party_id, made=lambda change: self._say(f"{change.target.ref} is there")
            )
        (user,) = users
        kept = credentials.kept.get(user.name)
        made = self._owner.path_of(user.name) if user.has_password and kept is None else None
        return Login(user=user.name, password=made, kept=kept)

    def _hand_over(self, party_id: str, login: Login, out: Path) -> Path | None:
        """The address, once: done before, it is where it was put."""
        path = out / f"{party_id}.broker"
        if login.password is not None and not login.password.exists():
            return path if path.exists() else None
        try:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
            told = at_the_broker(self._settings.clients_amqp_url, login)
            write_secret(
                path, "".join(f"{name} = {json.dumps(value)}\n" for name, value in told.items())
            )
            if login.password is not None:
                login.password.unlink()
        except OSError as error:
            raise HandoverError(f"{path}: {error.strerror}") from None
        self._say(f"{path} is for {party_id} alone")
        return path

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[_PartyCounter]:
        """With the list as far as it goes, here and at the broker."""
        listed, path = PartyList(self._settings.operators), self._settings.party_list_file
        with ListFile.held(listed, path) as file:
            counter = _PartyCounter(self._settings, listed, file, path)
            await counter.agree()
            yield counter


class _PartyCounter(ListCounter[PartyEntry]):
    def __init__(
        self,
        settings: RegistrarSettings,
        listed: PartyList,
        file: ListFile[PartyEntry],
        path: Path,
    ) -> None:
        super().__init__(settings, listed, file, path)
        self.listed = listed


def card_in(path: Path) -> PartyCard:
    """Raises ContractError, HandoverError."""
    try:
        with path.open("rb") as file:
            return read_card(file.read(2 * MAX_CARD_BYTES))
    except OSError as error:
        raise HandoverError(f"{path}: {error.strerror}") from None
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None


def _put(card: PartyCard, keys: tuple[PartyKey, ...]) -> dict[str, Any]:
    return _content(card.party_id, card.index, card.role, dict(card.labels), keys)


def _as(party: ListedParty, *, keys: tuple[PartyKey, ...] | None = None) -> dict[str, Any]:
    content = _content(
        party.party_id, party.index, party.role, dict(party.labels), keys or party.keys
    )
    return content | {"drained": True if party.drained else None}


def _content(
    party_id: str, index: int, role: Role, labels: dict[str, str], keys: tuple[PartyKey, ...]
) -> dict[str, Any]:
    return {
        "action": Action.PUT,
        "party_id": party_id,
        "index": index,
        "role": role,
        "labels": labels or None,
        "keys": keys,
    }


def _is_as(party: ListedParty, card: PartyCard) -> bool:
    """Whether the card says nothing new: then what was cut short is done to its end."""
    return (party.index, party.role, dict(party.labels)) == (
        card.index,
        card.role,
        card.labels,
    ) and card.public_key in {key.public_key for key in party.keys}
