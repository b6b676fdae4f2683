"""How faults come into a whole Warren, and are taken back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote, unquote, urlsplit

import aio_pika
import asyncpg

import migrations
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
from ops.stack.registrars import OPERATOR_KEY
from tests.patience import until
from tests.system.operations.ward import CLIENT, IDLE, LATE, OLD, Ward
from topology.management import Management
from workers.settings import PartySettings
from workers.store.shared.party import tombstones_beside
from workers.store.tombstones import Tombstones

Plant = Callable[[Ward], AbstractAsyncContextManager[None]]


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
