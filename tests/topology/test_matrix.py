"""Each user tries everything on a real broker, and finds what the static model says."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import aiormq
import httpx
import pytest
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import (
    AMQPConnectionError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    InvalidFrameError,
)
from pamqp.commands import Basic

from ops.stack import vhosts
from ops.stack.services import Services
from topology import InMemory, apply_all, declared
from topology.management import Management
from topology.matrix import MINE, SERVER_NAMED, acts, temporary_queues
from topology.model import Members, Topology, User
from topology.rights import HTTP_VERBS, Act, rights
from topology.roles import ROLES

MEMBERS = Members(
    parties=("p1", "p2"),
    clients=("svcA", "svcB"),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)
MISTAKES = 10


@dataclass
class Realm:
    services: Services
    vhost: str
    declared: Topology
    owner: InMemory
    release: tuple[int, ...]

    @property
    def mine(self) -> str:
        """A user or vhost that nobody has but whoever may make one."""
        return f"{self.vhost}-{MINE}"

    def url(self, user: User) -> str:
        address = vhosts.address(self.services.amqp_url, self.vhost)
        return vhosts.login(address, user.name, self.owner.made[user.name])

    async def replace(self, *queues: str) -> None:
        """Those that somebody could delete, or that are a process's own and so may be gone."""
        kinds = {one.name: one.type for one in self.declared.queues}
        connection = await aiormq.connect(vhosts.address(self.services.amqp_url, self.vhost))
        channel = await connection.channel()
        for name in queues:
            arguments: Any = {"x-queue-type": kinds[name]} if name in kinds else {}
            await channel.queue_declare(name, durable=True, arguments=arguments)
            for binding in self.declared.bindings:
                if binding.destination == name:
                    await channel.queue_bind(name, binding.source, binding.key)
        await connection.close()


@pytest.fixture(scope="module")
def realm(services: Services) -> Iterator[Realm]:
    yield from _realm(services, MEMBERS)


def _realm(services: Services, members: Members) -> Iterator[Realm]:
    vhost = f"matrix-{secrets.token_hex(4)}"
    owner = InMemory()
    applied = apply_all(services.management_url, members=members, vhost=vhost, owner=owner)
    asyncio.run(applied)
    release = asyncio.run(_release(services))
    made = Realm(services, vhost, declared(members, vhost=vhost), owner, release)
    try:
        yield made
    finally:
        asyncio.run(_forget(services, made))


async def _forget(services: Services, realm: Realm) -> None:
    vhosts.delete(services.management_url, realm.vhost)
    async with Management(services.management_url) as management:
        for made in ("users/{}", "vhosts/{}"):
            await management.send("DELETE", made, realm.mine)


async def _release(services: Services) -> tuple[int, ...]:
    async with Management(services.management_url) as management:
        told = (await management.get("overview"))["rabbitmq_version"]
    return tuple(int(part) for part in told.split(".")[:3] if part.isdigit())


class Trier:
    """One user, at AMQP and at the management API."""

    def __init__(self, realm: Realm, user: User, http: httpx.AsyncClient) -> None:
        self._realm = realm
        self._user = user
        self._http = http
        self._connection: AbstractConnection | None = None

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, realm: Realm, user: User) -> AsyncIterator[Trier]:
        url = httpx.URL(realm.services.management_url)
        base = url.copy_with(username="", password="")
        auth = (user.name, realm.owner.made[user.name])
        # The broker closes the connection on which it refused something that had a body.
        once = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=base, auth=auth, timeout=30, limits=once) as http:
            made = cls(realm, user, http)
            with contextlib.suppress(AMQPConnectionError, InvalidFrameError):
                made._connection = await aiormq.connect(realm.url(user))
            yield made
            if made._connection is not None:
                await made._connection.close()

    async def may(self, act: Act) -> bool:
        """Whether the broker does it."""
        if act.verb in HTTP_VERBS:
            return await self._by_http(act)
        if self._connection is None:
            return False
        if act.verb == "connect":
            return True
        channel = await self._connection.channel(publisher_confirms=act.verb.startswith("publish"))
        try:
            await self._by_amqp(channel, act)
        except ChannelAccessRefused:
            return False
        except ChannelPreconditionFailed:
            assert act.verb == "publish_as", act
            return False
        finally:
            if not channel.is_closed:
                await channel.close()
        return True

    async def _by_amqp(self, channel: AbstractChannel, act: Act) -> None:
        match act.verb:
            case "passive":
                await channel.queue_declare(act.name, passive=True)
            case "declare_queue" if act.name == SERVER_NAMED:
                await channel.queue_declare("", exclusive=True)
            case "declare_queue":
                kind = self._kind(act.name)
                arguments: Any = {} if kind is None else {"x-queue-type": kind}
                await channel.queue_declare(act.name, durable=True, arguments=arguments)
            case "delete_queue":
                await channel.queue_delete(act.name)
                await self._realm.replace(act.name)
            case "purge":
                await channel.queue_purge(act.name)
            case "get":
                await channel.basic_get(act.name)
            case "consume" | "reply_to":
                await channel.basic_qos(prefetch_count=1)  # a stream wants it
                name = act.name or "amq.rabbitmq.reply-to"
                await channel.basic_consume(name, _ignore, no_ack=act.verb == "reply_to")
            case "declare_exchange":
                kinds = {one.name: one.type for one in self._realm.declared.exchanges}
                kind = kinds.get(act.name, "fanout")
                await channel.exchange_declare(act.name, exchange_type=kind, durable=True)
            case "delete_exchange":
                await channel.exchange_delete(act.name)
            case "bind":
                await channel.queue_bind(act.name, act.source, act.key)
            case "unbind":
                await channel.queue_unbind(act.name, act.source, act.key)
            case "bind_exchange":
                await channel.exchange_bind(act.name, act.source, routing_key=act.key)
                await channel.exchange_unbind(act.name, act.source, routing_key=act.key)
            case "detour":
                await channel.exchange_declare(act.source, exchange_type="topic", durable=True)
                await channel.exchange_bind(act.name, act.source, routing_key="#")
                await channel.basic_publish(b"", exchange=act.source, routing_key=act.key)
                await channel.exchange_delete(act.source)
            case "dead_letter_to":
                dead: Any = {"x-dead-letter-exchange": act.to, "x-dead-letter-routing-key": "a.b"}
                await channel.queue_declare(act.name, durable=True, arguments=dead)
                await channel.queue_delete(act.name)
            case "alternate_to":
                away: Any = {"alternate-exchange": act.to}
                await channel.exchange_declare(act.name, exchange_type="fanout", arguments=away)
                await channel.exchange_delete(act.name)
            case _:
                await self._publish(channel, act)

    async def _publish(self, channel: AbstractChannel, act: Act) -> None:
        header = {"publish_cc": "CC", "publish_bcc": "BCC"}.get(act.verb)
        headers: Any = {header: list(act.copies)} if header else None
        properties = Basic.Properties(headers=headers, user_id=act.user or None)
        await channel.basic_publish(
            b"", exchange=act.name, routing_key=act.key, properties=properties
        )

    def _kind(self, queue: str) -> str | None:
        return next((one.type for one in self._realm.declared.queues if one.name == queue), None)

    async def _by_http(self, act: Act) -> bool:
        method, path, body = self._request(act)
        answer = await self._http.request(method, f"/api/{path}", json=body)
        if answer.is_success:
            if act.verb == "http_delete_queue":
                await self._realm.replace(act.name)
            return True
        refused = answer.status_code in (401, 403) or "ACCESS_REFUSED" in answer.text
        assert refused, (act, answer.status_code, answer.text)
        return False

    def _request(self, act: Act) -> tuple[str, str, Any]:
        """Method, path, body."""
        vhost, name = quote(self._realm.vhost, safe=""), quote(act.name, safe="")
        kind = self._kind(act.name)
        publishing = {"routing_key": act.key, "payload": "", "payload_encoding": "string"}
        policy = {"pattern": "^nothing$", "definition": {"max-length": 1}}
        mine = quote(self._realm.mine if act.name == MINE else act.name, safe="")
        rights = self._own_rights()
        topic = {"exchange": "warren.dead", "write": "^$", "read": "^$"}
        requests: dict[str, tuple[str, str, Any]] = {
            "look": ("GET", f"queues/{vhost}", None),
            "take_definitions": ("GET", "definitions", None),
            "http_get": (
                "POST",
                f"queues/{vhost}/{name}/get",
                {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"},
            ),
            "http_purge": ("DELETE", f"queues/{vhost}/{name}/contents", None),
            "http_publish": (
                "POST",
                f"exchanges/{vhost}/{name}/publish",
                {"properties": {}, **publishing},
            ),
            "http_bind": (
                "POST",
                f"bindings/{vhost}/e/{quote(act.source, safe='')}/q/{name}",
                {"routing_key": act.key},
            ),
            "http_declare_queue": (
                "PUT",
                f"queues/{vhost}/{name}",
                {"durable": True, "arguments": {"x-queue-type": kind} if kind else {}},
            ),
            "http_delete_queue": ("DELETE", f"queues/{vhost}/{name}", None),
            "set_policy": ("PUT", f"policies/{vhost}/{name}", policy),
            "set_operator_policy": (
                "PUT",
                f"operator-policies/{vhost}/{name}",
                {**policy, "apply-to": "queues"},
            ),
            "set_limit": ("PUT", f"vhost-limits/{vhost}/max-connections", {"value": 50_000}),
            "make_vhost": ("PUT", f"vhosts/{mine}", {}),
            "make_user": ("PUT", f"users/{mine}", {"password": "x", "tags": ""}),
            # Whoever may is to have no more than before.
            "set_permission": ("PUT", f"permissions/{vhost}/{mine}", rights),
            "set_topic_permission": ("PUT", f"topic-permissions/{vhost}/{mine}", topic),
        }
        return requests[act.verb]

    def _own_rights(self) -> dict[str, str]:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        own = {one.user: one for one in self._realm.declared.permissions}.get(self._user.name)
        if "administrator" in self._user.tags and own is not None:
            everything = {"configure": own.configure, "write": own.write, "read": own.read}
        return everything


async def _ignore(_: object) -> None:
    """Whatever comes goes back with its channel."""


@pytest.mark.timeout(900)  # thousands of questions, each with an answer of the broker
@pytest.mark.parametrize("role", [*ROLES])
async def test_each_user_may_do_what_the_files_say_and_no_more(realm: Realm, role: str) -> None:
    await tried(realm, role)


async def tried(realm: Realm, role: str) -> None:
    """Raises AssertionError where the broker does something else than the static model says."""
    await realm.replace(*temporary_queues(realm.declared))
    user = next(one for one in realm.declared.users if one.role == role)
    own = rights(realm.declared, realm.release)[user.name]
    count = allowed = 0
    wrong: list[str] = []
    others = [one for one in realm.declared.users if one.role in ("operator", "coordinator")]
    async with Trier.of(realm, user) as trier:
        for act in acts(realm.declared, user, others):
            expected, found = own.may(act), await trier.may(act)
            count, allowed = count + 1, allowed + found
            if expected != found:
                wrong.append(f"{act}: the broker says {found}, the model {expected}")
            assert len(wrong) < MISTAKES, "\n".join(wrong)
    assert not wrong, "\n".join(wrong)
    assert count > 1_000
    assert 0 < allowed < count / 4
