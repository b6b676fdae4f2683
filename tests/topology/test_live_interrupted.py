"""An apply that is killed, wherever that is, and run again: on a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.topology.realms import NOBODY, Realm
from topology.access import Credentials
from topology.apply import apply
from topology.broker import Broker
from topology.model import Members, User
from topology.passwords import InFiles
from topology.plan import Change, Plan, difference

# One after another: an administrator that one test makes is drift to every other.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("administrators")]


FEW = Members(parties=("p1",), clients=("svcA",))


class KilledError(Exception):
    """As if the process were gone."""


class Mortal:
    """A broker whose every apply dies when one change is made, before it hears that it is."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def make(self, change: Change) -> None:
        await self._broker.make(change)
        raise KilledError


class MortalOwner(InFiles):
    """Dies once for each user: it has handed the password over, and the broker has not heard."""

    died: set[str]

    def password_of(self, user: str) -> str:
        password = super().password_of(user)
        if user not in self.died:
            self.died.add(user)
            raise KilledError
        return password


async def killed_until_done(realm: Realm, given: Path, members: Members, *, prune: bool) -> int:
    """How often it was killed. Each process knows nothing of the one before it."""
    died: set[str] = set()
    wanted = realm.declared(members)
    for deaths in range(1_000):
        owner = MortalOwner(given)
        owner.died = died
        broker = Broker(realm.management, vhost=realm.name, credentials=Credentials({}, owner))
        found = await broker.found(user.name for user in wanted.users)
        plan = difference(wanted, found, prune=prune)
        if not plan.changes:
            return deaths
        with pytest.raises(KilledError):
            await apply(plan, Mortal(broker), settle_s=0)
    raise AssertionError("it never ends")


@pytest.mark.timeout(900)  # each step reads the broker anew
async def test_an_apply_that_is_killed_at_each_step_is_finished_by_the_next_ones(
    realm: Realm, tmp_path: Path
) -> None:
    given = tmp_path / "given"
    wanted = realm.declared(FEW)
    deaths = await killed_until_done(realm, given, FEW, prune=False)
    # Once at each resource, once more at each password, at the vhost and at the record.
    assert deaths == len(wanted.by_ref()) + len(wanted.users) + 2
    assert (await realm.broker.found()).topology == wanted
    assert await realm.plan(FEW) == Plan(changes=())
    for user in wanted.users:
        password = (given / user.name.replace("/", "%2F")).read_text().strip()
        assert await realm.enters(user.name, password), user.name
    assert not list(given.glob(".*.pending"))


@pytest.mark.timeout(900)
async def test_pruning_that_is_killed_at_each_step_is_finished_by_the_next_ones(
    realm: Realm, tmp_path: Path
) -> None:
    await realm.apply(FEW)
    deaths = await killed_until_done(realm, tmp_path / "given", NOBODY, prune=True)
    assert deaths > 10
    assert (await realm.broker.found()).topology == realm.declared(NOBODY)
    assert await realm.plan(NOBODY) == Plan(changes=())


@pytest.mark.parametrize("at_line", [1, 30, 70])
async def test_a_process_that_is_killed_while_it_applies_is_run_again(
    realm: Realm, tmp_path: Path, at_line: int
) -> None:
    members, given = tmp_path / "members.yaml", tmp_path / "given"
    members.write_text("parties: [p1]\nclients: [svcA]\ngateways: [gateway]\n", encoding="utf-8")
    command = [sys.executable, "-u", "-m", "ops.cli", "topology", "apply"]
    command += ["--members", str(members), "--secrets", str(given)]
    environment = {
        **os.environ,
        "WARREN_MANAGEMENT_URL": realm.services.management_url,
        "WARREN_VHOST": realm.name,
    }

    async def started() -> asyncio.subprocess.Process:
        pipe, same = asyncio.subprocess.PIPE, asyncio.subprocess.STDOUT
        return await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=pipe, stderr=same
        )

    process = await started()
    assert process.stdout is not None
    for _ in range(at_line):
        assert await process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL

    again = await started()
    said, _ = await again.communicate()
    assert again.returncode == 0, said.decode()[-300:]
    mine = Members(parties=("p1",), clients=("svcA",), gateways=("gateway",))
    assert await realm.plan(mine) == Plan(changes=())
    for user in realm.declared(mine).users:
        assert isinstance(user, User)
        password = (given / user.name.replace("/", "%2F")).read_text().strip()
        assert await realm.enters(user.name, password), user.name
