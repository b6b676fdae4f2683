"""What happens to the shares of keys while faults strike: they are made anew, lost with a party's
database, and come back from a backup of before."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from urllib.parse import urlsplit

import migrations
from contracts.keys import KeyFacts
from contracts.requests import KeygenRequest, ReshareRequest
from contracts.results import ADAPTER, KeygenResult, ReshareResult, Status
from ops.stack import databases
from ops.stack.deployment import Deployment
from workers.session.epochs import ENDS_S, SIGNS_ON_S, SWITCH_S
from workers.settings import PartySettings
from workers.store.interface import PartyStore
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

from .crew import Crew
from .facts import Facts
from .faults import COMMITTEE, PARTIES, SPARE
from .load import Load
from .producer import Producer

AT_ONCE = 4
LOOK_EVERY_S = 0.5
OVER_WITHIN_S = SIGNS_ON_S + ENDS_S + 30
GONE_OVER_S = SWITCH_S + 16
"""After an epoch was made, every process of the coordinator asks its holders."""
SHOWN_WITHIN_S = 20.0
SHOWN_TRIES = 5
ROUNDS = 3
REFUSED = 1
"""What `warren backup` ends with when it will not."""

Name = tuple[str, str]
"""Producer and key id."""


class Shares:
    """
    Arguments:
        clock: Seconds since the run began.
        tolerance_s: For so long after a new beginning a party takes no request.
    """

    def __init__(
        self,
        deployment: Deployment,
        crew: Crew,
        load: Load,
        facts: Facts,
        clock: Callable[[], float],
        *,
        tolerance_s: float,
    ) -> None:
        self._tolerance_s = tolerance_s
        self._deployment = deployment
        self._crew = crew
        self._load = load
        self._facts = facts
        self._clock = clock
        self._next_epoch: dict[Name, int] = {}
        self._made_s = -GONE_OVER_S

    async def grow_old(self) -> None:
        """Back all parties up, and give all keys other shares: these backups are old soon."""
        await asyncio.gather(*(self._back_up(party_id, "old") for party_id in PARTIES))
        await self._each(self._refreshed(*key) for key in self._load.in_use())

    async def reshare(self, how: str, random: Random) -> int:
        """Give one key other shares. Returns 0 if that did not come to its end."""
        known = newest(self._facts)
        producer, key_id = random.choice(self._load.in_use())
        facts = known[producer.name, key_id]
        parties = {holder.party_id for holder in facts.holders}
        if how == COMMITTEE:
            leaver = random.choice(PARTIES)
            parties = set(PARTIES) if SPARE in parties else {*PARTIES, SPARE} - {leaver}
        return int(await self._reshare(producer, facts, parties))

    async def lose(self, party_id: str) -> int:
        """Without any backup: the others have to deal."""
        async with self._down(party_id):
            await self._empty(party_id)
        return 1 + await self._heal(party_id)

    async def go_back(self, party_id: str, *, blind: bool) -> int:
        """To the backup that was made at first, where nobody knows better; else to that of now.

        Arguments:
            blind: The witness is gone, and all that stands beside it.
        """
        if not self._is_over(party_id):
            return 0
        await self._back_up(party_id, "new")
        settings = self._settings(party_id)
        witness = settings.incarnation_file
        async with self._down(party_id):
            await self._empty(party_id)
            if blind:
                witness.unlink(missing_ok=True)
                tombstones_beside(witness).unlink(missing_ok=True)
                shutil.rmtree(settings.share_keys_folder)
            said = await self._backup("restore", party_id, str(self._file(party_id, "old")))
            if not blind and not said:
                self._facts.revived.append(f"{party_id} took a backup of epochs that are over")
            if blind and said:
                self._facts.revived.append(f"{party_id}, without its witness: {said}")
            if not blind:
                await self._backup("restore", party_id, str(self._file(party_id, "new")))
        return 1 + await self._heal(party_id)

    async def show_that_all_sign(self) -> None:
        """With each key that was given other shares, or lost some, have any t of its holders sign,
        one set after another. What came of it stands in the facts."""
        await asyncio.sleep(max(0.0, self._made_s + GONE_OVER_S - self._clock()))
        known = newest(self._facts)
        await self._each(
            self._signs(producer, known[producer.name, key_id], signers)
            for producer, key_id in self._load.in_use()
            if (producer.name, key_id) in self._next_epoch
            for signers in itertools.combinations(
                [holder.party_id for holder in known[producer.name, key_id].holders],
                known[producer.name, key_id].threshold,
            )
        )

    async def _signs(self, producer: Producer, facts: KeyFacts, signers: Iterable[str]) -> None:
        names = list(signers)
        # What was made ahead before a disaster is gone, and costs a request each time.
        for _ in range(SHOWN_TRIES):
            request_id, result = await self._load.sign_by(producer, facts, names)
            if result is not None and result.status is Status.COMPLETED:
                break
            self._facts.asides.add(request_id)
        shown = f"key {facts.key_id} of {producer.name} in epoch {facts.epoch}"
        self._facts.proving[request_id] = f"{shown} by {' and '.join(names)}"

    ###
    ### Reshares
    ###

    async def _refreshed(self, producer: Producer, key_id: str) -> None:
        facts = newest(self._facts)[producer.name, key_id]
        await self._reshare(producer, facts, (holder.party_id for holder in facts.holders))

    async def _reshare(
        self,
        producer: Producer,
        facts: KeyFacts,
        parties: Iterable[str],
        dealers: list[str] | None = None,
    ) -> bool:
        name = producer.name, facts.key_id
        first = self._next_epoch.get(name, facts.epoch + 1)
        result = await self._load.reshare(producer, facts, first, sorted(parties), dealers)
        made = isinstance(result, ReshareResult) and result.bundle is not None
        self._next_epoch[name] = highest_asked(self._facts, name) + 1
        self._made_s = self._clock()
        return made

    ###
    ### Disasters
    ###

    @asynccontextmanager
    async def _down(self, party_id: str) -> AsyncIterator[None]:
        async with self._crew.down(
            name for name in self._crew.names if name.startswith(f"{party_id}.")
        ):
            yield

    async def _empty(self, party_id: str) -> None:
        url = self._deployment.database_urls[party_id]
        if url.startswith("sqlite:///"):
            path = Path(url.removeprefix("sqlite:///"))
            for each in path.parent.glob(f"{path.name}*"):
                each.unlink()
        else:
            admin, name = self._deployment.services.database_url, urlsplit(url).path[1:]
            await databases.drop(admin, name)
            await databases.create(admin, name)
        await migrations.upgrade("party", url)

    async def until_over(self, party_id: str) -> None:
        """Wait, if not too long, until the party has deleted what is in its old backup."""
        until = self._clock() + OVER_WITHIN_S
        while not self._is_over(party_id) and self._clock() < until:  # noqa: ASYNC110  # files
            await asyncio.sleep(LOOK_EVERY_S)

    def _is_over(self, party_id: str) -> bool:
        known = newest(self._facts)
        beside = Tombstones(tombstones_beside(self._settings(party_id).incarnation_file))
        sessions = [
            known[producer.name, key_id].session_id
            for producer, key_id in self._load.in_use()
            if known[producer.name, key_id].epoch
        ]
        return bool(sessions) and all(map(beside.below, sessions))

    async def _heal(self, party_id: str) -> int:
        """Have the others deal to it for every key whose share it lacks, again where that comes to
        nothing. Returns how many."""
        # Until then it takes nothing that may have been issued before its memory began.
        await asyncio.sleep(self._tolerance_s)
        made = 0
        for _ in range(ROUNDS):
            lacking = await self._lacking(party_id)
            results = await self._each(self._dealt_to(party_id, *each) for each in lacking)
            made += sum(results)
            if all(results):
                break
        return made

    async def _lacking(self, party_id: str) -> list[tuple[Producer, KeyFacts, list[str]]]:
        async with self._store(party_id) as store:
            usable = {
                (share.key_session, share.epoch)
                for share in await store.key_shares()
                if share.active
            }
        known = newest(self._facts)  # now: keys come into use meanwhile
        lacking = []
        for producer, key_id in self._load.in_use():
            facts = known[producer.name, key_id]
            holders = [holder.party_id for holder in facts.holders]
            if party_id in holders and (facts.session_id, facts.epoch) not in usable:
                lacking.append((producer, facts, holders))
        return lacking

    async def _dealt_to(
        self, party_id: str, producer: Producer, facts: KeyFacts, holders: list[str]
    ) -> bool:
        others = [name for name in holders if name != party_id]
        await self._shown(party_id, producer, facts, others)
        return await self._reshare(producer, facts, holders, others[: facts.threshold])

    async def _shown(
        self, party_id: str, producer: Producer, facts: KeyFacts, others: list[str]
    ) -> None:
        """A party that knows the key by an epoch of before is asked to sign, and hears of it."""
        until = self._clock() + SHOWN_WITHIN_S
        while self._clock() < until and await self._is_behind(party_id, facts):
            signers = [party_id, *others][: facts.threshold]
            request_id, _ = await self._load.sign_by(producer, facts, signers)
            self._facts.asides.add(request_id)

    async def _is_behind(self, party_id: str, facts: KeyFacts) -> bool:
        async with self._store(party_id) as store:
            held = [
                share.epoch
                for share in await store.key_shares()
                if share.key_session == facts.session_id and share.active
            ]
            proven = [
                each.epoch
                for each in await store.epochs(facts.session_id)
                if each.bundle is not None
            ]
        return bool(held) and max(held + proven) < facts.epoch

    ###
    ### Backups
    ###

    async def _back_up(self, party_id: str, name: str) -> None:
        path = self._file(party_id, name)
        path.unlink(missing_ok=True)
        await self._backup("create", party_id, "--out", str(path))

    async def _backup(self, command: str, party_id: str, *words: str) -> str:
        """As an operator does it. Returns why it was refused; "" if it was not. Raises
        BackupFailedError for what is no refusal."""
        config = self._deployment.directory / f"{party_id}.toml"
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ops.cli", "backup", command, "--config", str(config)),
            *words,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        code = process.returncode or 0
        if code not in ({0, REFUSED} if command == "restore" else {0}):
            raise BackupFailedError(
                f"warren backup {command} at {party_id}: {said.decode()[-500:]}"
            )
        return said.decode().strip()[-500:] if code else ""

    def _file(self, party_id: str, name: str) -> Path:
        return self._deployment.directory / f"{party_id}.{name}.backup"

    def _settings(self, party_id: str) -> PartySettings:
        return PartySettings.load(self._deployment.directory / f"{party_id}.toml")

    @asynccontextmanager
    async def _store(self, party_id: str) -> AsyncIterator[PartyStore]:
        async with self._settings(party_id).opened() as store:
            yield store

    async def _each(self, tasks: Iterable[Awaitable[bool | None]]) -> list[bool]:
        """All of them, a few at once."""
        free = asyncio.Semaphore(AT_ONCE)

        async def one(task: Awaitable[bool | None]) -> bool:
            async with free:
                return bool(await task)

        return list(await asyncio.gather(*(one(task) for task in tasks)))


class BackupFailedError(Exception):
    """A backup could not be made or restored, and nobody refused it."""


def newest(facts: Facts) -> dict[Name, KeyFacts]:
    """Each key by the newest epoch that its owner was told of."""
    found: dict[Name, KeyFacts] = {}
    for request_id, asked in facts.asked.items():
        if not isinstance(asked.request, KeygenRequest | ReshareRequest):
            continue
        for answer in facts.answers.get(request_id, [])[:1]:
            result = ADAPTER.validate_json(answer.body)
            made = None
            if isinstance(result, KeygenResult) and result.status is Status.COMPLETED:
                made = result.key
            elif isinstance(result, ReshareResult) and result.bundle is not None:
                made = result.bundle.key
            name = asked.client, asked.request.key_id
            if made is not None and (name not in found or found[name].epoch < made.facts.epoch):
                found[name] = made.facts
    return found


def highest_asked(facts: Facts, name: Name) -> int:
    """The highest epoch of a key that any request allowed."""
    return max(
        (
            asked.request.epochs[-1]
            for asked in facts.asked.values()
            if isinstance(asked.request, ReshareRequest)
            and (asked.client, asked.request.key_id) == name
        ),
        default=0,
    )
