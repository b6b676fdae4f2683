"""Users, what they may do, and limits, on a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from typer.testing import CliRunner

from ops.stack import vhosts
from tests.topology.realms import NOBODY, Realm
from topology import declared
from topology.access import Credentials
from topology.apply import apply
from topology.broker import Broker
from topology.cli import app
from topology.model import (
    Binding,
    Exchange,
    Members,
    Permission,
    Policy,
    Queue,
    Resource,
    Secret,
    TopicPermission,
    Topology,
    User,
    UserLimits,
    VhostLimits,
)
from topology.plan import Action, Plan, difference

# One after another: an administrator that one test makes is drift to every other.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("administrators")]


async def test_new_users_are_handed_passwords_with_which_they_enter(realm: Realm) -> None:
    await realm.apply()
    assert set(realm.owner.made) == {user.name for user in realm.declared().users}
    for name, password in realm.owner.made.items():
        assert await realm.enters(name, password), name
    name = f"{realm.name}.client.svcA"
    assert not await realm.enters(name, "another")
    made = dict(realm.owner.made)
    assert (await realm.apply()).changes == ()
    assert realm.owner.made == made


def _one(realm: Realm, kind: type[Resource]) -> Resource:
    return next(one for one in realm.declared().resources() if isinstance(one, kind))


def _by_hand(realm: Realm) -> dict[str, Resource]:
    """Of each kind one as somebody changed it."""
    user = realm.declared().user_of("client", "svcA")
    (permission,) = [one for one in realm.declared().permissions if one.user == user.name]
    (topic,) = [one for one in realm.declared().topic_permissions if one.user == user.name]
    policy = _one(realm, Policy)
    assert isinstance(policy, Policy)
    return {
        "user": replace(user, tags=("administrator",)),
        "permission": replace(permission, read=".*"),
        "topic_permission": replace(topic, write=".*"),
        "user_limits": UserLimits(user=user.name, limits=(("max-connections", 1),)),
        "vhost_limits": VhostLimits(vhost=realm.name, limits=(("max-queues", 500),)),
        "policy": replace(policy, definition=(("max-length", 1),)),
    }


@pytest.mark.parametrize(
    "kind", ["user", "permission", "topic_permission", "user_limits", "vhost_limits", "policy"]
)
async def test_what_was_changed_by_hand_is_shown_and_put_back(realm: Realm, kind: str) -> None:
    await realm.apply()
    spoilt = _by_hand(realm)[kind]
    before = realm.declared().by_ref()[spoilt.ref]
    await realm.make(spoilt)
    plan = await realm.plan()
    assert [(one.action, one.target.ref) for one in plan.changes] == [(Action.UPDATE, before.ref)]
    await realm.apply()
    assert await realm.plan() == Plan(changes=())
    # With its password.
    user = realm.declared().user_of("client", "svcA").name
    assert await realm.enters(user, realm.owner.made[user])


@pytest.mark.parametrize(
    "kind",
    [Exchange, Queue, Policy, Binding, VhostLimits, User, UserLimits, TopicPermission, Permission],
)
async def test_what_was_deleted_by_hand_is_shown_and_made_again(
    realm: Realm, kind: type[Resource]
) -> None:
    await realm.apply()
    gone = _one(realm, kind)
    if isinstance(gone, Exchange):
        # Unused; others are kept by their bindings.
        gone = next(one for one in realm.declared().exchanges if one.name == "warren.cancel")
    await realm.make(gone, Action.DELETE)
    plan = await realm.plan()
    assert gone.ref in {one.target.ref for one in plan.changes if one.action is Action.CREATE}
    await realm.apply()
    assert await realm.plan() == Plan(changes=())


async def test_more_than_is_declared_is_taken_away(realm: Realm) -> None:
    await realm.apply()
    own = realm.declared().user_of("client", "svcA").name
    extra = TopicPermission(user=own, exchange="warren.dead", write=".*", read=".*")
    await realm.make(extra, Action.CREATE)
    plan = await realm.plan()
    assert [(one.action, one.target.ref) for one in plan.changes] == [(Action.DELETE, extra.ref)]
    await realm.apply()
    assert await realm.plan() == Plan(changes=())


async def test_others_who_may_do_something_here_or_anything_anywhere_are_drift(
    realm: Realm,
) -> None:
    await realm.apply()
    inside, mighty = (User(name=f"{realm.name}-{name}") for name in ("inside", "mighty"))
    for user in (inside, replace(mighty, tags=("administrator",))):
        await realm.make(replace(user, new_password=True), Action.CREATE)
    permission = Permission(user=inside.name, configure="^$", write="^$", read=".*")
    try:
        await realm.make(permission, Action.CREATE)
        plan = await realm.plan()
        assert plan.changes == ()
        assert set(plan.drift) == {inside.ref, mighty.ref, permission.ref}
        assert (await realm.apply()).changes == ()
        assert await realm.plan() == plan
    finally:
        for user in (inside, mighty):
            await realm.make(user, Action.DELETE)


async def test_what_one_of_ours_may_do_in_another_vhost_is_drift(realm: Realm) -> None:
    await realm.apply()
    user = realm.declared().user_of("client", "svcA").name
    other = f"{realm.name}-other"
    vhosts.create(realm.services.management_url, other)
    try:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        await realm.management.send("PUT", "permissions/{}/{}", other, user, body=everything)
        plan = await realm.plan()
        assert plan.changes == ()
        assert [str(ref) for ref in plan.drift] == [f"permission {user} on vhost {other}"]
    finally:
        vhosts.delete(realm.services.management_url, other)


async def test_an_operator_policy_that_takes_queues_away_blocks(realm: Realm) -> None:
    await realm.apply()
    path = "operator-policies/{}/{}"
    body = {"pattern": "^warren", "apply-to": "queues", "definition": {"expires": 3_600_000}}
    await realm.management.send("PUT", path, realm.name, "tidy", body=body)
    (conflict,) = (await realm.plan()).conflicts
    assert str(conflict.ref) == "operator policy tidy"
    assert "expires is 3600000, not declared; a queue that expires takes its messages" in str(
        conflict.text
    )
    # One that changes nothing is shown, no more.
    body["definition"] = {"max-length": 10_000_000}
    await realm.management.send("PUT", path, realm.name, "tidy", body=body)
    plan = await realm.plan()
    assert (plan.conflicts, [str(ref) for ref in plan.drift]) == ((), ["operator policy tidy"])


async def test_a_user_that_is_no_longer_declared_stays_until_it_is_pruned(realm: Realm) -> None:
    await realm.apply()
    user = realm.declared().user_of("client", "svcA")
    plan = await realm.apply(NOBODY)
    assert plan.changes == ()
    assert user.ref in plan.retired
    assert await realm.enters(user.name, realm.owner.made[user.name])
    plan = await realm.plan(NOBODY, prune=True)
    await apply(plan, realm.broker, settle_s=0)
    assert not await realm.enters(user.name, realm.owner.made[user.name])
    found = (await realm.broker.found()).topology
    assert user.name not in {one.name for one in found.users}
    assert user.name not in {one.user for one in found.permissions}


async def test_who_may_still_empty_a_queue_that_is_kept_is_kept(realm: Realm) -> None:
    await realm.apply()
    address = vhosts.address(realm.services.amqp_url, realm.name)
    async with await aio_pika.connect(address) as connection:
        channel = await connection.channel(publisher_confirms=True)
        message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, "warren.results.svcA")
    plan = await realm.plan(NOBODY, prune=True)
    await apply(plan, realm.broker, settle_s=0)
    user = realm.declared().user_of("client", "svcA").name
    assert await realm.enters(user, realm.owner.made[user])


async def test_a_password_that_is_kept_elsewhere_is_compared_and_set(realm: Realm) -> None:
    await realm.apply()
    user = realm.declared().user_of("client", "svcA")
    kept = replace(user, secret=Secret(source="environment", words=("X",)))
    wanted = Topology.of([one for one in realm.declared().resources() if one != user] + [kept])

    async def planned(password: str) -> Plan:
        return difference(wanted, await realm.broker.found(), passwords={user.name: password})

    assert (await planned(realm.owner.made[user.name])).changes == ()
    plan = await planned("another")
    assert [one.target.ref for one in plan.changes] == [user.ref]
    broker = Broker(
        realm.management, vhost=realm.name, credentials=Credentials({user.name: "another"})
    )
    await apply(plan, broker)
    assert await realm.enters(user.name, "another")
    assert not await realm.enters(user.name, realm.owner.made[user.name])
    assert (await planned("another")).changes == ()


async def test_a_user_without_a_password_cannot_enter_by_one(realm: Realm) -> None:
    await realm.apply()
    user = realm.declared().user_of("client", "svcA")
    bare = replace(user, has_password=False)
    wanted = Topology.of([one for one in realm.declared().resources() if one != user] + [bare])
    plan = difference(wanted, await realm.broker.found())
    assert [one.target for one in plan.changes] == [bare]
    await apply(plan, realm.broker)
    assert not await realm.enters(user.name, realm.owner.made[user.name])
    assert not await realm.enters(user.name, "")
    assert difference(wanted, await realm.broker.found()).changes == ()


async def test_the_command_line_hands_passwords_over_and_shows_drift(
    realm: Realm, tmp_path: Path
) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")
    url = realm.services.management_url
    environment = {"WARREN_MANAGEMENT_URL": url, "WARREN_VHOST": realm.name}

    async def run(*arguments: str) -> tuple[int, str]:
        given = [*arguments, "--members", str(members)]
        result = await asyncio.to_thread(CliRunner().invoke, app, given, env=environment)
        return result.exit_code, result.stdout

    given = tmp_path / "given"
    code, said = await run("apply", "--secrets", str(given))
    assert code == 0
    assert f"the passwords of 6 new users: one file for each in {given}" in said
    user = realm.declared().user_of("client", "svcA").name
    password = (given / user.replace("/", "%2F")).read_text().strip()
    assert password not in said
    assert await realm.enters(user, password)
    assert await run("drift") == (0, f"vhost {realm.name}: no changes\n")
    members.write_text("parties: [p1]\n", encoding="utf-8")
    assert (await run("plan"))[0] == 0
    code, said = await run("drift")
    assert code == 2
    assert "No longer declared, kept as it is" in said
    members.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")

    stranger = User(name=f"{realm.name}-stranger", new_password=True)
    await realm.make(stranger, Action.CREATE)
    await realm.make(
        Permission(user=stranger.name, configure="^$", write="^$", read="^$"), Action.CREATE
    )
    try:
        assert (await run("plan"))[0] == 0
        code, said = await run("drift", "--json")
        assert code == 2
        assert {one["kind"] for one in json.loads(said)["drift"]} == {"user", "permission"}
    finally:
        await realm.make(stranger, Action.DELETE)

    await realm.make(User(name=user), Action.DELETE)
    code, said = await run("plan")
    assert code == 2
    assert f"+ user {user}" in said
    code, said = await run("apply", "--print-secrets", "--json")
    assert code == 0
    (printed,) = json.loads(said)["passwords"].items()
    assert printed[0] == user
    assert await realm.enters(*printed)


async def test_a_login_made_anew_has_a_new_password_though_an_apply_was_cut_short(
    realm: Realm, tmp_path: Path
) -> None:
    """After the broker had the first one, and before that was noted: it may be known by now."""
    members, given = tmp_path / "members.yaml", tmp_path / "given"
    members.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")
    environment = {
        "WARREN_MANAGEMENT_URL": realm.services.management_url,
        "WARREN_VHOST": realm.name,
    }
    arguments = ["apply", "--members", str(members), "--secrets", str(given)]

    async def applied() -> str:
        told = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
        assert told.exit_code == 0, told.output
        return kept.read_text().strip()

    user = realm.declared().user_of("client", "svcA").name
    kept = given / user.replace("/", "%2F")
    first = await applied()
    pending = kept.with_name(f".{kept.name}.pending")
    pending.touch()
    assert await applied() == first
    assert not pending.exists()
    await realm.make(User(name=user), Action.DELETE)
    second = await applied()
    assert second != first
    assert await realm.enters(user, second)
    assert not await realm.enters(user, first)


def named(resources: Iterable[dict[str, Any]]) -> set[str]:
    """By name; bindings, which have none, by all that they say."""
    return {
        one.get("name")
        or json.dumps({key: one[key] for key in one if key != "vhost"}, sort_keys=True)
        for one in resources
    }


async def test_definitions_that_an_empty_broker_imports_are_what_apply_would_make(
    realm: Realm, tmp_path: Path
) -> None:
    members = tmp_path / "members.yaml"
    members.write_text("parties: [p1]\nclients: [svcA]\n", encoding="utf-8")
    to, given = tmp_path / "definitions.json", tmp_path / "given"
    arguments = ["definitions", "--members", str(members), "--vhost", realm.name]
    arguments += ["--to", str(to), "--secrets", str(given)]
    told = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert told.exit_code == 0, told.output
    assert to.stat().st_mode & 0o777 == 0o600
    await realm.management.send("POST", "definitions", body=json.loads(to.read_text()))
    mine = Members(parties=("p1",), clients=("svcA",))
    assert await realm.plan(mine) == Plan(changes=())
    assert (await realm.broker.found()).topology == realm.declared(mine)
    user = realm.declared(mine).user_of("client", "svcA").name
    assert await realm.enters(user, (given / user.replace("/", "%2F")).read_text().strip())
    exported = await realm.management.get("definitions/{}", realm.name)
    imported = json.loads(to.read_text())
    for kind in ("queues", "exchanges", "bindings", "policies"):
        assert named(exported[kind]) == named(imported[kind])


async def test_what_apply_made_is_exported_as_files_that_declare_it(
    realm: Realm, tmp_path: Path
) -> None:
    await realm.apply()
    to = tmp_path / "files"
    environment = {
        "WARREN_MANAGEMENT_URL": realm.services.management_url,
        "WARREN_VHOST": realm.name,
    }
    arguments = ["export", "--to", str(to)]
    told = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
    assert told.exit_code == 0, told.output
    assert declared(None, to, vhost=realm.name) == realm.declared()
    # What somebody made by hand is exported, too; what cannot be said is named.
    await realm.make(Queue(name="by.hand", type="classic"), Action.CREATE)
    body = {"pattern": "^by", "apply-to": "queues", "definition": {"max-length": 1}}
    await realm.management.send("PUT", "policies/{}/{}", realm.name, "mine", body=body)
    arguments = ["export", "--to", str(tmp_path / "more")]
    told = await asyncio.to_thread(CliRunner().invoke, app, arguments, env=environment)
    assert told.exit_code == 3
    assert "left out: policy mine: its pattern ^by is no list of names" in told.output
    assert "by.hand" in (tmp_path / "more" / "broker.yaml").read_text()
