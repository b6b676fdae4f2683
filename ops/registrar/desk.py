"""Clients of a running system are let in, given other keys, and shown out.

Each step can be done twice, and what was begun is written down first: whoever is cut short anywhere
runs the same command again. Followers learn of it by the list that the operator signs, see
`contracts.client_list`; nothing is restarted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from contracts import addresses
from contracts.client_list import MAX_KEYS, Action, ClientEntry, ClientKey, ClientList
from contracts.identity import PublicIdentity
from contracts.list_file import ListFile
from topology import InFiles, Members, members_file
from topology.access import Credentials
from topology.apply import SETTLE_S
from topology.passwords import referenced
from topology.registrar import Part, Registrar, group_of, part_of

from .counter import Counter
from .errors import HeldError, RefusedError
from .handover import Login, own_identity, write_file
from .intents import Intent, Intents
from .settings import RegistrarSettings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Who is to be let in, or to change keys.

    Attributes:
        public_key: The client's own; None: one is made, and handed over.
        out: Where the client's files go.
        operations: None: all that need not be named; of who changes keys, what it might ask before.
        again: For an id that was removed before.
        valid_until: Until when the old keys count; None: until told.
    """

    client_id: str
    out: Path
    public_key: PublicIdentity | None = None
    group: str = "clients"
    operations: tuple[str, ...] | None = None
    again: bool = False
    valid_until: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the client gets: a file for `warren --config`, and its key if it was made here."""

    config: Path
    key: Path | None
    number: int


class Desk:
    """
    Arguments:
        say: Is told each step.
        settle_s: Until the broker's statistics have caught up.
    """

    def __init__(
        self,
        settings: RegistrarSettings,
        *,
        say: Say = lambda _: None,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._settings = settings
        self._say = say
        self._settle_s = settle_s
        self._intents = Intents(settings.list_file)
        self._owner = InFiles(settings.secrets)

    ###
    ### What can be asked for
    ###

    async def add(self, wish: Wish) -> Given:
        """Let a client in. Raises RefusedError."""
        async with self._open() as counter:
            intent = self._begun(wish, counter, "add") or self._may_add(wish, counter.listed)
            key = self._key_file(wish, intent.login)
            identity = self._identity(wish, intent, key, counter.listed)
            intent = intent.model_copy(update={"public_key": identity.der})
            keys = (ClientKey(public_key=identity.der),)
            counter.require_fit(wish.client_id, keys, intent.operations, again=intent.again)
            self._intents.keep(intent)
            members_file.add(self._settings.members_file, intent.group, wish.client_id)
            login = await self._admit(wish.client_id)
            given = self._hand_over(wish, intent, login, None if wish.public_key else key)
            number = await counter.put(wish.client_id, keys, intent.operations, again=intent.again)
            self._intents.done(wish.client_id)
            return replace(given, number=number)

    async def rotate(self, wish: Wish) -> Given:
        """Give a client another key and another login, beside those that it has. Raises
        RefusedError."""
        async with self._open() as counter:
            entry = self._entry_of(wish.client_id, counter.listed)
            intent = self._begun(wish, counter, "rotate") or self._may_rotate(wish, entry)
            key = self._key_file(wish, intent.login)
            identity = self._identity(wish, intent, key, counter.listed)
            old = [
                each.model_copy(update={"valid_until": intent.valid_until or each.valid_until})
                for each in entry.keys or ()
                if each.public_key != identity.der
            ]
            keys = (*old, ClientKey(public_key=identity.der))
            operations = entry.operations if intent.operations is None else intent.operations
            counter.require_fit(wish.client_id, keys, operations)
            self._intents.keep(intent.model_copy(update={"public_key": identity.der}))
            logins = (intent.login - 1, intent.login)
            members_file.set_logins(self._settings.members_file, wish.client_id, logins)
            login = await self._admit(wish.client_id, intent.login)
            given = self._hand_over(wish, intent, login, None if wish.public_key else key)
            number = await counter.put(wish.client_id, keys, operations)
            self._intents.done(wish.client_id)
            return replace(given, number=number)

    async def finish(self, client_id: str) -> int:
        """End a rotation: the old keys and logins are none any more. Raises RefusedError."""
        async with self._open() as counter:
            entry = self._entry_of(client_id, counter.listed)
            if counter.listed.client(client_id) is None:
                raise RefusedError(f"{client_id} does not change its keys: there is nothing to end")
            self._require_nothing_begun(client_id)
            logins = self._members().logins.get(client_id, (1,))
            newest = (entry.keys or ())[-1].model_copy(update={"valid_until": None})
            number = await counter.put(client_id, (newest,), entry.operations)
            members_file.set_logins(self._settings.members_file, client_id, logins[-1:])
            await self._expel(client_id, range(1, logins[-1]))
            return number

    async def remove(self, client_id: str, *, discard_results: int | None = None) -> int:
        """Show a client out: nobody is this client any more.

        Raises:
            RefusedError: Results wait for it; nothing was changed.
            HeldError: Results came meanwhile.
        """
        async with self._open() as counter:
            members, listed = self._members(), counter.listed
            begun = (intent := self._intents.of(client_id)) and intent.action == "remove"
            if group_of(members, client_id) is None and not begun:
                return self._gone(client_id, listed)
            if not begun:
                await self._require_read(client_id, discard_results)
            group = group_of(members, client_id) or (intent.group if intent else "clients")
            self._intents.keep(Intent(action="remove", client_id=client_id, group=group))
            number = listed.number
            if not listed.removed(client_id):
                number = await counter.remove(client_id)
            await self._show_out(members, client_id, discard_results)
            members_file.remove(self._settings.members_file, group, client_id)
            self._intents.done(client_id)
            return number

    async def publish(self) -> int:
        """Bring what the broker has lost of the list back to it. Returns its last number."""
        async with self._open() as counter:
            return counter.listed.number

    async def look(self) -> tuple[ClientList, Members, list[str]]:
        """The list, the members, and what is wrong in the stream."""
        async with self._open() as counter:
            told = counter.file.refused
            more = counter.file.refused_count - len(told)
            return counter.listed, self._members(), told + [f"and {more} more"] * (more > 0)

    ###
    ### Whether it may be
    ###

    def _begun(self, wish: Wish, counter: Counter, action: str) -> Intent | None:
        """The same, if it was cut short before. Raises RefusedError for another one."""
        intent = self._intents.of(wish.client_id)
        if intent is None:
            return None
        own = wish.public_key
        as_it_was = (
            intent.action == action
            and (own is None or intent.public_key == own.der)
            and intent.operations == wish.operations
            and (action == "rotate" or intent.group == wish.group)
            and (action == "add" or intent.valid_until == wish.valid_until)
        )
        if not as_it_was:
            self._require_nothing_begun(wish.client_id)
        return intent

    def _require_nothing_begun(self, client_id: str) -> None:
        intent = self._intents.of(client_id)
        if intent is not None:
            raise RefusedError(
                f"`warren client {intent.action} {client_id}` was begun and not ended"
                f"{intent.in_words}: run it again first, as it was"
            )

    def _identity(self, wish: Wish, intent: Intent, key: Path, known: ClientList) -> PublicIdentity:
        """Whose key the list will have: the wish's, or one that is made. Raises RefusedError."""
        begun = intent.public_key
        if wish.public_key is None and begun is not None and not key.exists():
            raise RefusedError(
                f"`warren client {intent.action} {wish.client_id}` was begun with another key, and "
                f"{key} is not there: run it again with --out or --public-key as it was"
            )
        identity = wish.public_key or own_identity(key).public
        if begun not in (None, identity.der):
            raise RefusedError(f"{wish.client_id} was begun with another key than {key} has")
        if wish.public_key is None and begun is None and known.seen(identity.der):
            raise RefusedError(f"the key in {key} was in use before: say another --out")
        others = (
            name
            for name, theirs in self._settings.configured.items()
            if name != wish.client_id and identity in theirs.keys
        )
        if (other := next(others, None)) is not None:
            raise RefusedError(f"this is the key of {other}: each client has its own")
        if any(identity == each.identity for each in self._settings.operators):
            raise RefusedError("this is an operator's key: each client has its own")
        return identity

    def _may_add(self, wish: Wish, listed: ClientList) -> Intent:
        client_id = wish.client_id
        group = group_of(self._members(), client_id)
        configured = client_id in self._settings.configured and not listed.removed(client_id)
        if group is not None and listed.client(client_id) is None and not configured:
            raise RefusedError(
                f"{client_id} is in {self._settings.members_file} already, among {group}, and its "
                "key is neither in the list nor under [[clients]] of the registrar's file. If the "
                "followers' files have it, name it there and say `warren client rotate`; if nobody "
                "has, take it out of the members"
            )
        if listed.client(client_id) is not None or group is not None or configured:
            raise RefusedError(
                f"{client_id} is a client already{f', among {group}' if group else ''}: "
                "`warren client rotate` gives it another key"
            )
        if listed.removed(client_id) and not wish.again:
            raise RefusedError(
                f"{client_id} was removed: whoever is called so again has the keys that the former "
                "one made. Take another id, or say --again if that is meant"
            )
        return Intent(
            action="add",
            client_id=client_id,
            public_key=None if wish.public_key is None else wish.public_key.der,
            group=wish.group,
            operations=wish.operations,
            again=wish.again,
        )

    def _may_rotate(self, wish: Wish, entry: ClientEntry) -> Intent:
        members = self._members()
        logins = members.logins.get(wish.client_id, (1,))
        if group_of(members, wish.client_id) is None:
            raise RefusedError(
                f"{wish.client_id} is not in {self._settings.members_file}: it has no login there"
            )
        if len(logins) > 1 or len(entry.keys or ()) >= MAX_KEYS:
            raise RefusedError(
                f"{wish.client_id} changes its keys already: end that first, with "
                f"`warren client rotate {wish.client_id} --finish`"
            )
        return Intent(
            action="rotate",
            client_id=wish.client_id,
            public_key=None if wish.public_key is None else wish.public_key.der,
            login=logins[-1] + 1,
            valid_until=wish.valid_until,
            operations=wish.operations,
        )

    def _entry_of(self, client_id: str, listed: ClientList) -> ClientEntry:
        """As the list has it, or the configuration, which it follows. Raises RefusedError."""
        entry = listed.client(client_id)
        if entry is not None:
            return entry
        known = self._settings.configured.get(client_id)
        if listed.removed(client_id) or known is None:
            raise RefusedError(
                f"no client {client_id} is known here: neither in the list nor under [[clients]]"
            )
        return ClientEntry(
            number=1,
            previous=bytes(32),
            signer=self._settings.operator.public.der,
            issued_at=0,
            action=Action.PUT,
            client_id=client_id,
            keys=tuple(ClientKey(public_key=each.der) for each in known.keys),
            operations=known.operations,
        )

    def _gone(self, client_id: str, listed: ClientList) -> int:
        if listed.client(client_id) is not None:
            raise RefusedError(
                f"{client_id} is in the list and not in {self._settings.members_file}, so its "
                "queues and logins would stay. Put it back there, under its role, and run this "
                "again; nothing was changed"
            )
        if not listed.removed(client_id):
            raise RefusedError(f"there is no client {client_id}")
        self._say(f"{client_id} was removed before")
        return listed.number

    ###
    ### Steps
    ###

    def _members(self) -> Members:
        return members_file.load(self._settings.members_file)

    def _part(self, members: Members, client_id: str) -> Part:
        settings = self._settings
        return part_of(members, client_id, vhost=settings.vhost, directory=settings.topology)

    async def _admit(self, client_id: str, login: int = 1) -> Login:
        """Queues, users, rights. Returns the newest login."""
        members = self._members()
        part = self._part(members, client_id)
        credentials = Credentials(referenced(part.users), self._owner)
        async with self._registrar(credentials) as registrar:
            await registrar.admit(
                members, client_id, made=lambda change: self._say(f"{change.target.ref} is there")
            )
        users = sorted(part.users, key=lambda user: (len(user.name), user.name))
        user = users[0] if login == 1 else users[-1]
        kept = credentials.kept.get(user.name)
        made = self._owner.path_of(user.name) if user.has_password and kept is None else None
        return Login(user=user.name, password=made, kept=kept)

    def _hand_over(self, wish: Wish, intent: Intent, login: Login, key: Path | None) -> Given:
        path = self._config_file(wish, intent.login)
        write_file(
            path,
            client_id=wish.client_id,
            amqp_url=self._settings.clients_amqp_url,
            login=login,
            key=key,
            trusted=self._settings.trusted,
        )
        self._say(f"{path} is for {wish.client_id} alone")
        if login.password is None and login.kept is None:
            self._say(f"beside it goes a certificate in the name of {login.user}, which it names")
        return Given(config=path, key=key, number=0)

    async def _expel(self, client_id: str, logins: range) -> None:
        """Delete logins that the client has no more."""
        if not logins:
            return
        members = self._members()
        former = _entering_by(members, client_id, logins)
        part, left = self._part(former, client_id), self._part(members, client_id)
        async with self._registrar() as registrar:
            for user in part.users:
                await registrar.expel(user)
                self._say(f"user {user.name} is gone, and its connections are closed")
            await registrar.disown(part.resources.keys() - left.resources.keys())

    async def _require_read(self, client_id: str, discard: int | None) -> None:
        async with self._registrar() as registrar:
            count = await registrar.waiting(addresses.results_queue(client_id))
        if (reason := _held(client_id, count, discard)) is not None:
            raise RefusedError(f"{reason}; nothing was changed")

    async def _show_out(self, members: Members, client_id: str, discard: int | None) -> None:
        """Its results first: as long as it has not read them, it may."""
        if group_of(members, client_id) is None:
            return
        # Sessions that were under way end meanwhile, and the broker has counted what came of them.
        await asyncio.sleep(self._settle_s)
        # All logins that it ever had: who ended a rotation may have been cut short before the last
        # step, in which the old ones go.
        newest = members.logins.get(client_id, (1,))[-1]
        part = self._part(_entering_by(members, client_id, range(1, newest + 1)), client_id)
        results = addresses.results_queue(client_id)
        async with self._registrar() as registrar:
            await self._require_empty(registrar, results, client_id, discard)
            for user in part.users:
                await registrar.expel(user)
                self._say(f"user {user.name} is gone, and its connections are closed")
            # The broker closes its connections after it has answered us. Then what it had in hand
            # is in its queue again, nobody can take it out, and the statistics get to know of it.
            await asyncio.sleep(self._settle_s)
            count = await registrar.waiting(results)
            if (reason := _held(client_id, count, discard)) is not None:
                raise HeldError(f"{reason}. Its login is gone, and its queues are kept")
            for queue in part.queues:
                left = await registrar.waiting(queue)
                await registrar.delete_queue(queue)
                self._say(f"queue {queue} is gone{f', with {left} messages' if left else ''}")
            await registrar.disown(part.resources)

    async def _require_empty(
        self, registrar: Registrar, results: str, client_id: str, discard: int | None
    ) -> None:
        count = await registrar.waiting(results)
        if (reason := _held(client_id, count, discard)) is not None:
            raise HeldError(
                f"{reason}. It makes no requests any more; its login and its queues are kept"
            )

    def _key_file(self, wish: Wish, login: int) -> Path:
        return wish.out / f"client-{wish.client_id}{_numbered(login)}.key"

    def _config_file(self, wish: Wish, login: int) -> Path:
        return wish.out / f"client-{wish.client_id}{_numbered(login)}.toml"

    @contextlib.asynccontextmanager
    async def _registrar(self, credentials: Credentials | None = None) -> AsyncIterator[Registrar]:
        own = self._settings
        async with own.management() as management:
            yield Registrar(
                management, vhost=own.vhost, credentials=credentials, directory=own.topology
            )

    @contextlib.asynccontextmanager
    async def _open(self) -> AsyncIterator[Counter]:
        """With the list as far as it goes, here and at the broker."""
        listed = ClientList(self._settings.operators)
        with ListFile.held(listed, self._settings.list_file) as file:
            counter = Counter(self._settings, listed, file)
            await counter.agree()
            yield counter


def _entering_by(members: Members, client_id: str, logins: Iterable[int]) -> Members:
    """With these logins of the client's, whichever it has."""
    return replace(members, logins={**members.logins, client_id: tuple(logins)})


def _held(client_id: str, count: int, discard: int | None) -> str | None:
    """Why it cannot go yet; None if it can."""
    if count == 0 or (discard is not None and count <= discard):
        return None
    told = "" if discard is None else f", and not {discard}"
    return (
        f"{count} results wait for {client_id}{told}: it should read them, or say "
        f"--discard-results {count} if nobody will"
    )


def _numbered(login: int) -> str:
    return "" if login == 1 else f".{login}"
