"""The commands at a real broker: what they say and how they exit, one run of each after another."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from ops.stack import vhosts
from ops.stack.services import Services
from tests.patience import wait_until
from tests.topology.realms import Realm
from topology.cli import app
from topology.management import Management
from topology.model import Policy, Queue, Resource
from topology.plan import Action

# One after another: an administrator that one test makes is drift to every other.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("administrators")]

FILES = """\
exchanges:
  work:
    type: direct

queues:
  jobs:{more}
    bindings:
      - exchange: work
        key: job

policies:
  jobs:
    queues: [jobs]
    definition:
      delivery-limit: 10
      max-length: 50000
"""
R = TypeVar("R")

CLASSIC = "\n    type: classic"
MINE = Policy(
    name="mine", pattern="", applies_to="all", definition=(("max-length", 5),), priority=99
)
RESULTS = "warren.results.svcA"


@dataclass
class Terminal:
    """Of somebody who looks after one vhost."""

    services: Services
    vhost: str
    home: Path

    def __post_init__(self) -> None:
        self.say("parties: [p1]\nclients: [svcA]\n")

    @property
    def members(self) -> Path:
        return self.home / "members.yaml"

    def say(self, members: str) -> None:
        self.members.write_text(members, encoding="utf-8")

    def run(self, *arguments: str, members: bool = True) -> Result:
        environment = {
            "WARREN_MANAGEMENT_URL": self.services.management_url,
            "WARREN_MIGRATION_AMQP": self.services.amqp_url,
            "WARREN_VHOST": self.vhost,
            "WARREN_BROKER_SECRETS": str(self.home / "secrets"),
        }
        given = ["--members", str(self.members)] if members else []
        return CliRunner().invoke(app, [*arguments, *given], env=environment)

    def told(self, *arguments: str, code: int) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output
        told: dict[str, Any] = json.loads(result.stdout)
        return told

    def make(self, target: Resource) -> None:
        """What somebody does by hand."""

        async def make() -> None:
            async with Management(self.services.management_url) as management:
                await Realm(self.services, self.vhost, management).make(target, Action.CREATE)

        asyncio.run(make())

    def publish(self, queue: str, count: int = 1) -> None:
        async def publish() -> None:
            async with Management(self.services.management_url) as management:
                await Realm(self.services, self.vhost, management).publish(queue, count)

        asyncio.run(publish())


def _run_beside(main: Coroutine[Any, Any, R]) -> R:
    """As asyncio.run, on a thread of its own. Python 3.11 loses track of the frames around an event
    loop in which something was thrown into a coroutine, and coverage of what a command does after
    that."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_to_its_end, main).result()


def _to_its_end(main: Coroutine[Any, Any, R]) -> R:
    with asyncio.Runner() as runner:
        return runner.run(main)


@pytest.fixture
def terminal(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Terminal]:
    monkeypatch.setattr(asyncio, "run", _run_beside)
    name = f"terminal/{secrets.token_hex(4)}"  # with a slash, which has to be quoted everywhere
    yield Terminal(services, name, tmp_path)
    vhosts.delete(services.management_url, name)


@pytest.fixture
def migrating(terminal: Terminal) -> Terminal:
    """With files of its own, which know no members."""
    terminal.say("parties: []\n")
    return terminal


def flow(terminal: Terminal, more: str) -> list[str]:
    """The option that names files in which the queue is so."""
    directory = terminal.home / "files"
    directory.mkdir(exist_ok=True)
    (directory / "flow.yaml").write_text(FILES.format(more=more), encoding="utf-8")
    return ["--directory", str(directory)]


def test_a_plan_is_carried_out_once_and_then_there_is_nothing_to_do(terminal: Terminal) -> None:
    planned = terminal.run("plan")
    assert planned.exit_code == 2
    assert "+ queue warren.inbox.p1 (quorum)" in planned.stdout
    applied = terminal.run("apply")
    assert applied.exit_code == 0
    assert "+ queue warren.inbox.p1 (quorum)" in applied.stdout
    assert "one file for each in" in applied.stdout
    assert f"vhost {terminal.vhost}: " in applied.stdout
    assert " changes made" in applied.stdout
    nothing = f"vhost {terminal.vhost}: no changes\n"
    for command in ("plan", "drift", "apply"):
        again = terminal.run(command)
        assert (again.exit_code, again.stdout) == (0, nothing)


def test_programs_are_told_the_same_as_people_are(terminal: Terminal) -> None:
    planned = terminal.told("plan", code=2)
    applied = terminal.told("apply", code=0)
    assert applied["applied"]
    assert applied["changes"] == planned["changes"]
    assert len(applied["password_files"]) == 6
    assert all(Path(file).is_file() for file in applied["password_files"])
    again = terminal.told("apply", code=0)
    assert (again["changes"], again["held"], again["password_files"]) == ([], [], [])


def test_passwords_are_printed_where_they_are_asked_for_and_are_in_no_file(
    terminal: Terminal,
) -> None:
    applied = terminal.run("apply", "--print-secrets")
    assert applied.exit_code == 0
    assert applied.stdout.count("the password of user ") == 6
    assert not (terminal.home / "secrets").exists()
    assert terminal.told("apply", "--print-secrets", code=0)["passwords"] == {}


def test_what_is_no_longer_declared_is_drift_and_no_change(terminal: Terminal) -> None:
    terminal.run("apply")
    terminal.say("parties: [p1]\n")
    assert terminal.run("plan").exit_code == 0
    drift = terminal.run("drift")
    assert drift.exit_code == 2
    assert "No longer declared, kept as it is" in drift.stdout


def test_a_queue_that_somebody_else_made_is_drift(terminal: Terminal) -> None:
    terminal.run("apply")
    terminal.make(Queue(name="by.hand", type="classic"))
    assert terminal.run("plan").exit_code == 0
    assert [one["name"] for one in terminal.told("drift", code=2)["drift"]] == ["by.hand"]


def test_a_policy_that_makes_declared_ones_void_blocks_everything(terminal: Terminal) -> None:
    terminal.run("apply")
    terminal.make(MINE)
    terminal.say("parties: [p1, p2]\nclients: [svcA]\n")
    for command in ("plan", "drift", "apply"):
        result = terminal.run(command)
        assert result.exit_code == 3
        assert "! policy mine: it has priority 99" in result.stdout
        assert terminal.told(command, code=3)["conflicts"][0]["name"] == "mine"
    assert not terminal.told("apply", code=3)["applied"]


def test_a_queue_that_holds_messages_is_kept_and_the_rest_is_pruned(terminal: Terminal) -> None:
    terminal.run("apply")
    terminal.publish(RESULTS)
    terminal.say("parties: [p1]\n")
    applied = terminal.run("apply", "--prune")
    assert applied.exit_code == 3
    assert RESULTS in applied.stdout
    kept = terminal.told("apply", "--prune", code=3)
    assert kept["applied"]
    assert RESULTS in {one["name"] for one in kept["held"]}

    # Named, it may be lost; the broker's statistics come to know of its message in their own time.
    wait_until(lambda: terminal.run("apply", "--prune", "--lose", RESULTS).exit_code == 0)
    assert terminal.run("drift").exit_code == 0


def test_what_apply_made_is_exported_and_what_files_cannot_say_is_named(terminal: Terminal) -> None:
    terminal.run("apply")
    exported = terminal.run("export", "--to", str(terminal.home / "files"), members=False)
    assert exported.exit_code == 0
    assert f"vhost {terminal.vhost}: written to" in exported.stdout
    checked = terminal.run("plan", "--directory", str(terminal.home / "files"), members=False)
    assert checked.exit_code == 0
    terminal.make(replace(MINE, name="odd", pattern="^x"))
    exported = terminal.run("export", "--to", str(terminal.home / "more"), members=False)
    assert exported.exit_code == 3
    assert "left out: policy odd: its pattern ^x is no list of names" in exported.stdout


def test_a_queue_becomes_another_one_and_then_there_is_nothing_to_change(
    migrating: Terminal,
) -> None:
    assert migrating.run("apply", *flow(migrating, CLASSIC)).exit_code == 0
    migrating.publish("jobs", 3)
    files = flow(migrating, "")
    ahead = migrating.run("migrate-queue", "jobs", "--dry-run", *files)
    assert ahead.exit_code == 0
    assert ahead.stdout.count("~ ") == 9
    assert "[risk high" in ahead.stdout

    done = migrating.run("migrate-queue", "jobs", *files)
    assert done.exit_code == 0, done.output
    assert done.stdout.count("~ ") == 9
    assert done.stdout.endswith("queue jobs is jobs (quorum) now: 6 messages moved\n")
    assert migrating.run("plan", *files).exit_code == 0

    again = migrating.run("migrate-queue", "jobs", *files)
    assert again.exit_code == 3
    assert (
        again.stdout == "! queue jobs is what the files say already: there is nothing to change\n"
    )


def test_a_migration_tells_programs_what_it_did_or_why_it_did_nothing(migrating: Terminal) -> None:
    migrating.run("apply", *flow(migrating, CLASSIC))
    files = flow(migrating, "")
    done = migrating.told("migrate-queue", "jobs", *files, code=0)
    assert (done["done"], done["moved"], done["late"], len(done["steps"])) == (True, 0, 0, 9)
    refused = migrating.told("migrate-queue", "nowhere", *files, code=3)
    assert not refused["done"]
    assert "nowhere is not declared" in refused["reasons"][0]


def test_a_queue_that_the_broker_does_not_have_cannot_be_migrated(migrating: Terminal) -> None:
    migrating.run("apply", *flow(migrating, CLASSIC))
    result = migrating.run("migrate-queue", "no", "--to", "jobs", *flow(migrating, CLASSIC))
    assert result.exit_code == 3
    assert "queue no" in result.stdout
