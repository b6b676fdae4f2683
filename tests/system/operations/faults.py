"""Faults that are planted in a whole Warren and taken back, and what doctor is to say of each."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import asyncpg
import httpx

import migrations
import topology
from contracts import addresses, list_log
from contracts.client import Client, ClientSettings
from contracts.client_list import Action, ClientList
from contracts.connecting import connect
from contracts.envelope import CONTENT_TYPE, COORDINATOR, NO_SESSION, Envelope
from contracts.identity import Identity
from contracts.numbered_lists import ListOperator
from contracts.primitives import Curve
from ops.cli.current import REGISTRAR
from ops.stack.certificates import TestingCa
from ops.stack.deployment import Deployment
from ops.stack.registrars import OPERATOR_KEY
from tests.patience import until
from tests.system.field.brokers import Broker
from topology.apply import apply
from topology.broker import Broker as AtBroker
from topology.management import Management
from workers.settings import PartySettings
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

OLD, LATE = "party-1", "party-3"
CLIENT, IDLE = "svcA", "svcB"
KEPT = 20
"""Messages that a queue of results takes, by the overlay."""
OVERLAY = f"policies:\n  warren-results:\n    definition:\n      max-length: {KEPT}\n"


@dataclass
class Ward:
    """What is looked at, and what a fault may lay its hands on.

    Attributes:
        files: Those that doctor is given, by whose they are.
        full: Whether all disks are.
        back_up: Of all parties.
    """

    crew: Deployment
    broker: Broker
    files: dict[str, Path]
    back_up: Callable[[], None]
    full: bool = False

    @property
    def directory(self) -> Path:
        return self.crew.directory

    def secrets(self) -> Iterator[str]:
        """That must stand in no report."""
        for url in (*self.crew.amqp_urls.values(), *self.crew.database_urls.values()):
            if password := urlsplit(url).password:
                yield unquote(password)
        for file in self.directory.glob("*.master"):
            yield file.read_text().split('"')[1]
        for file in self.directory.glob("*.key"):
            yield file.read_text().strip()

    async def manage(self, method: str, path: str, *names: str, body: object = None) -> None:
        parts = urlsplit(self.crew.services.management_url)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        auth = (unquote(parts.username or ""), unquote(parts.password or ""))
        quoted = (quote(name, safe="") for name in (self.crew.vhost, *names))
        async with httpx.AsyncClient(base_url=bare, auth=auth, timeout=30) as http:
            answer = await http.request(method, f"/api/{path.format(*quoted)}", json=body)
        answer.raise_for_status()

    async def apply(self) -> None:
        overlays = [self.directory / "overlay.yaml"]
        members, vhost = self.crew.plan.members, self.crew.vhost
        wanted = topology.declared(members, overlays=overlays, vhost=vhost)
        async with Management(self.crew.services.management_url) as management:
            at = AtBroker(management, vhost=vhost)
            found = await at.found(user.name for user in wanted.users)
            await apply(topology.difference(wanted, found), at)

    async def execute(self, owner: str, *statements: str) -> Any:
        """In the database of a party or the coordinator; what the last one returns."""
        url = self.crew.database_urls[owner]
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file, file:
                rows = [file.execute(statement).fetchone() for statement in statements]
            return None if rows[-1] is None else rows[-1][0]
        connection = await asyncpg.connect(url)
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    async def publish(self, queue: str, count: int = 1) -> None:
        async with await connect(self.crew.amqp_url) as connection:
            channel = await connection.channel()
            for _ in range(count):
                await channel.default_exchange.publish(aio_pika.Message(b"{}"), queue)

    async def purge(self, queue: str) -> None:
        await self.manage("DELETE", "queues/{}/{}/contents", queue)


Plant = Callable[[Ward], AbstractAsyncContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """
    Attributes:
        plant: At the end it is taken back.
        found: By name and whose; with words that stand in what is found.
        todo: Words of what is to be done.
    """

    name: str
    plant: Plant
    found: Mapping[tuple[str, str | None], str]
    todo: str = field(default="warren topology apply")

    def __str__(self) -> str:
        return self.name


###
### At the broker
###


@contextlib.asynccontextmanager
async def queue_deleted(ward: Ward) -> AsyncIterator[None]:
    await ward.manage("DELETE", "queues/{}/{}", addresses.results_queue(IDLE))
    yield
    await ward.apply()


@contextlib.asynccontextmanager
async def binding_deleted(ward: Ward) -> AsyncIterator[None]:
    key = quote(f"mpc.*.{IDLE}.*", safe="")
    await ward.manage(
        "DELETE", "bindings/{}/e/{}/q/{}/" + key, addresses.RESULTS, addresses.results_queue(IDLE)
    )
    yield
    await ward.apply()


@contextlib.asynccontextmanager
async def policy_deleted(ward: Ward) -> AsyncIterator[None]:
    await ward.manage("DELETE", "policies/{}/{}", "warren-dead")
    yield
    await ward.apply()


@contextlib.asynccontextmanager
async def operator_policy(ward: Ward) -> AsyncIterator[None]:
    body = {"pattern": "^warren.inbox", "definition": {"max-length": 5000}, "apply-to": "queues"}
    await ward.manage("PUT", "operator-policies/{}/{}", "tight", body=body)
    yield
    await ward.manage("DELETE", "operator-policies/{}/{}", "tight")


def writing(user: str, pattern: str) -> Plant:
    @contextlib.asynccontextmanager
    async def plant(ward: Ward) -> AsyncIterator[None]:
        login = unquote(urlsplit(ward.crew.amqp_urls[user]).username or "")
        read = f"^{re.escape(addresses.results_queue(user))}$"
        body = {"configure": "^$", "write": pattern, "read": read}
        await ward.manage("PUT", "permissions/{}/{}", login, body=body)
        yield
        await ward.apply()

    return plant


@contextlib.asynccontextmanager
async def memory_alarm(ward: Ward) -> AsyncIterator[None]:
    ward.broker.control("set_vm_memory_high_watermark", "absolute", "1MB")

    async def told() -> bool:
        async with Management(ward.crew.services.management_url) as management:
            return all(node["mem_alarm"] for node in await management.get("nodes"))

    await until(told)
    yield
    ward.broker.control("set_vm_memory_high_watermark", "absolute", "1GB")


def filled(queue: str, count: int) -> Plant:
    @contextlib.asynccontextmanager
    async def plant(ward: Ward) -> AsyncIterator[None]:
        await ward.publish(queue, count)
        yield
        await ward.purge(queue)

    return plant


@contextlib.asynccontextmanager
async def another_version(ward: Ward) -> AsyncIterator[None]:
    """A party says what this coordinator has no word for."""
    me = PartySettings.load(ward.files[OLD])
    report = Envelope(
        session_id=NO_SESSION,
        epoch=0,
        kind="weather_told",
        round=0,
        sender=OLD,
        recipient=COORDINATOR,
        payload=b'{"report":"weather_told","at":1}',
    )
    async with await connect(me.amqp_url) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(addresses.REPORTS, ensure=False)
        message = aio_pika.Message(report.seal(me.identity), content_type=CONTENT_TYPE)
        await exchange.publish(message, addresses.report_key("weather_told", OLD))
    yield
    await ward.purge(addresses.DEAD_QUEUE)


###
### In databases
###


@contextlib.asynccontextmanager
async def behind(ward: Ward) -> AsyncIterator[None]:
    table = migrations.version_table("party")
    found = await ward.execute(OLD, f"SELECT version_num FROM {table}")
    await ward.execute(OLD, f"UPDATE {table} SET version_num = '0001'")
    yield
    await ward.execute(OLD, f"UPDATE {table} SET version_num = '{found}'")


@contextlib.asynccontextmanager
async def read_only(ward: Ward) -> AsyncIterator[None]:
    name = urlsplit(ward.crew.database_urls[OLD]).path[1:]
    connection = await asyncpg.connect(ward.crew.services.database_url)
    try:
        alter = f'ALTER DATABASE "{name}"'
        await connection.execute(f"{alter} SET default_transaction_read_only = on")
        yield
        await connection.execute(f"{alter} RESET default_transaction_read_only")
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def banned(ward: Ward) -> AsyncIterator[None]:
    insert = "INSERT INTO bans VALUES ('party-2', zeroblob(32), 'OT consistency', 1)"
    await ward.execute(LATE, insert)
    yield
    await ward.execute(LATE, "DELETE FROM bans")


@contextlib.asynccontextmanager
async def unknown_party(ward: Ward) -> AsyncIterator[None]:
    far = int(time.time() * 1000) + 3_600_000
    await ward.execute("coordinator", f"INSERT INTO parties VALUES ('party-9', {far})")
    yield
    await ward.execute("coordinator", "DELETE FROM parties WHERE party_id = 'party-9'")


@contextlib.asynccontextmanager
async def frozen(ward: Ward, role: str) -> AsyncIterator[None]:
    """Its processes do nothing, and the broker does not know yet."""
    pids = [pid for name, pid in ward.crew.supervisor.pids.items() if name.startswith(f"{role}.")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


@contextlib.asynccontextmanager
async def empty_pool(ward: Ward) -> AsyncIterator[None]:
    async with frozen(ward, "coordinator"):
        await ward.execute("coordinator", "DELETE FROM presignatures")
        yield

    async def filled_again() -> bool:
        return bool(await ward.execute("coordinator", "SELECT count(*) FROM presignatures"))

    await until(filled_again)


@contextlib.asynccontextmanager
async def silent(ward: Ward) -> AsyncIterator[None]:
    async with frozen(ward, "party-2"):
        await ward.execute(
            "coordinator",
            "UPDATE parties SET last_seen = last_seen - 90000 WHERE party_id = 'party-2'",
        )
        yield


@contextlib.asynccontextmanager
async def not_backed_up(ward: Ward) -> AsyncIterator[None]:
    async with Client.connect(ClientSettings.load(ward.files[CLIENT])) as client:
        await client.create_key("later", curve=Curve.ED25519, threshold=2, party_count=3)
    yield
    await asyncio.to_thread(ward.back_up)


@contextlib.asynccontextmanager
async def list_behind(ward: Ward) -> AsyncIterator[None]:
    """A database that has lost the newest entry; its processes have it in memory."""
    operator = Identity.from_base64(
        (ward.directory / REGISTRAR).with_name(OPERATOR_KEY).read_text().strip()
    )
    listed = ClientList([ListOperator(operator.public)])
    signed = listed.signed(
        operator, issued_at=int(time.time() * 1000), action=Action.REMOVE, client_id="nobody"
    )
    async with await connect(ward.crew.amqp_urls["registrar"]) as connection:
        await list_log.publish(connection, listed.name, [signed])

    async def heard() -> bool:
        return bool(await ward.execute(LATE, "SELECT count(*) FROM list_entries"))

    await until(heard)
    columns = "list_name, number, digest, body, signature"
    kept = f"CREATE TABLE kept AS SELECT {columns} FROM list_entries"
    await ward.execute(LATE, kept, "DELETE FROM list_entries")
    yield
    insert = f"INSERT INTO list_entries ({columns}) SELECT {columns} FROM kept"
    await ward.execute(LATE, insert, "DROP TABLE kept")


###
### In files
###


@contextlib.asynccontextmanager
async def wrong_master_key(ward: Ward) -> AsyncIterator[None]:
    path = ward.directory / f"{LATE}.master"
    right = path.read_text()
    path.write_text(f'1 = "{secrets.token_hex(32)}"\n')
    yield
    path.write_text(right)


@contextlib.asynccontextmanager
async def master_key_by_hand(ward: Ward) -> AsyncIterator[None]:
    path = ward.directory / f"{LATE}.master"
    right = path.read_text()
    path.write_text(f'{right}2 = "{"ab" * 32}"\n')
    yield
    path.write_text(right)


@contextlib.asynccontextmanager
async def old_database(ward: Ward) -> AsyncIterator[None]:
    path = tombstones_beside(PartySettings.load(ward.files[LATE]).incarnation_file)
    key_session = await ward.execute(LATE, "SELECT key_session FROM key_shares WHERE key_id = 'ed'")
    Tombstones(path).rise(key_session, 1)
    yield
    path.unlink()


def mode(name: str, planted: int, right: int) -> Plant:
    @contextlib.asynccontextmanager
    async def plant(ward: Ward) -> AsyncIterator[None]:
        (ward.directory / name).chmod(planted)
        yield
        (ward.directory / name).chmod(right)

    return plant


def other_file(change: Callable[[Ward, str], str]) -> Plant:
    """The idle client has another file for a while."""

    @contextlib.asynccontextmanager
    async def plant(ward: Ward) -> AsyncIterator[None]:
        right = ward.files[IDLE]
        other = right.with_name("other.toml")
        other.touch(mode=0o600)
        other.write_text(change(ward, right.read_text()))
        ward.files[IDLE] = other
        yield
        ward.files[IDLE] = right
        other.unlink()

    return plant


def without_identity(_: Ward, text: str) -> str:
    return text.replace(f"client-{IDLE}.key", "gone.key")


def placeholder(ward: Ward, text: str) -> str:
    password = urlsplit(ward.crew.amqp_urls[IDLE]).password
    assert password is not None
    return text.replace(password, "change-me")


def another_coordinator(_: Ward, text: str) -> str:
    before, mark, after = text.partition("[[coordinators]]")
    key = Identity.generate().public.to_base64()
    return before + mark + re.sub(r'public_key = "[^"]+"', f'public_key = "{key}"', after, count=1)


def expired(ward: Ward, text: str) -> str:
    folder = ward.directory / "expired"
    shutil.rmtree(folder, ignore_errors=True)
    pair = TestingCa.make(folder).for_user(IDLE, days=-1)
    lines = (
        f'amqp_certificate_file = "{pair.certificate}"\namqp_key_file = "{pair.key}"\n'
        f'amqp_ca_file = "{folder / "ca.pem"}"\n'
    )
    return text.replace("amqp://", "amqps://").replace("[client]\n", f"[client]\n{lines}")


@contextlib.asynccontextmanager
async def full_disk(ward: Ward) -> AsyncIterator[None]:
    ward.full = True
    yield
    ward.full = False


RESULTS = addresses.results_queue(IDLE)
USABLE = ("configuration.usable", IDLE)

FAULTS = (
    Fault(
        "missing queue",
        queue_deleted,
        {("topology.plan", None): "is missing", ("queues.unread", IDLE): f"{RESULTS} is missing"},
    ),
    Fault("missing binding", binding_deleted, {("topology.plan", None): "binding"}),
    Fault("missing policy", policy_deleted, {("topology.plan", None): "policy warren-dead"}),
    Fault(
        "operator policy", operator_policy, {("topology.policies", None): "tight"}, "administrator"
    ),
    Fault(
        "permission missing",
        writing(CLIENT, "^$"),
        {
            ("permissions.declared", None): "is not as declared",
            ("permissions.enough", CLIENT): 'may not write to exchange "warren.requests"',
        },
    ),
    Fault(
        "permission too much",
        writing(CLIENT, r"^(warren\.requests|warren\.sessions)$"),
        {
            ("permissions.declared", None): "is not as declared",
            ("permissions.no_more", CLIENT): "may publish to warren.sessions",
        },
    ),
    Fault("memory alarm", memory_alarm, {("broker.alarms", None): "low on memory"}, "make room"),
    Fault(
        "full queue",
        filled(RESULTS, KEPT),
        {
            ("queues.room", IDLE): f"{KEPT} of {KEPT} messages",
            ("queues.all_room", None): RESULTS,
            ("queues.unread", IDLE): "no process reads it",
        },
        "warren results list",
    ),
    Fault(
        "dead letters",
        filled(addresses.DEAD_QUEUE, 2),
        {("queues.dead_letters", None): "2 dead letters"},
        "warren dead-letters list",
    ),
    Fault(
        "unclaimed result",
        filled(addresses.UNCLAIMED, 1),
        {("queues.unclaimed", None): "1 results"},
        "warren dead-letters list",
    ),
    Fault(
        "party of another version",
        another_version,
        {("queues.dead_letters", None): "from warren.reports: not a report: must be one of"},
        "warren dead-letters list",
    ),
    Fault(
        "database behind on migrations",
        behind,
        {("store.schema", OLD): "at revision 0001"},
        "warren store migrate",
    ),
    Fault("read-only database", read_only, {("store.writable", OLD): "read-only"}, "primary"),
    Fault("banned party", banned, {("parties.bans", LATE): "party-2"}, "--lift"),
    Fault("unknown party", unknown_party, {("parties.known", "coordinator"): "party-9"}, "parties"),
    Fault("pool empty", empty_pool, {("parties.pools", "coordinator"): "key ec"}, "presigning"),
    Fault("silent party", silent, {("parties.alive", "coordinator"): "party-2"}, "start"),
    Fault(
        "epoch not backed up",
        not_backed_up,
        {("keys.backed_up", f"party-{i}"): "later" for i in (1, 3)},
        "warren backup create",
    ),
    Fault(
        "list behind",
        list_behind,
        {("configuration.lists", LATE): "1 of them not here"},
        "start",
    ),
    Fault("wrong master key", wrong_master_key, {("keys.opens", LATE): "master key"}, "put back"),
    Fault(
        "master key made by hand",
        master_key_by_hand,
        {
            ("configuration.secrets", LATE): "version 2",
            ("keys.newest", LATE): "need a version before 2",
        },
        "reseal",
    ),
    Fault("old database", old_database, {("keys.of_today", LATE): "an old database"}, "restore"),
    Fault(
        "key file open to others",
        mode(f"{OLD}.key", 0o644, 0o600),
        {("configuration.private", OLD): f"{OLD}.key"},
        "chmod 600",
    ),
    Fault(
        "share keys open to others",
        mode(f"{OLD}.share-keys", 0o755, 0o700),
        {("keys.folder", OLD): "open to others"},
        "chmod 700",
    ),
    Fault("identity gone", other_file(without_identity), {USABLE: "gone.key"}, "mend it"),
    Fault(
        "placeholder",
        other_file(placeholder),
        {USABLE: "placeholder", ("configuration.secrets", IDLE): "placeholder"},
        "passwords by",
    ),
    Fault(
        "another coordinator pinned",
        other_file(another_coordinator),
        {("configuration.pins", None): f"{IDLE} does not believe"},
        "copy the public key",
    ),
    Fault(
        "expired certificate",
        other_file(expired),
        {USABLE: "has expired", ("certificates.own", IDLE): "has expired"},
        "renew it",
    ),
    Fault(
        "disk 95 % full",
        full_disk,
        {("disk.space", name): "96%" for name in ("coordinator", OLD, LATE, CLIENT, IDLE)},
        "df -h",
    ),
)
