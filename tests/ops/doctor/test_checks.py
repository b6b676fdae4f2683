"""How a check is carried out, whatever it does, and how its end is told."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from typer.testing import CliRunner

import ops
from ops.cli.exits import ExitCode
from ops.cli.main import app
from ops.configurations import Role
from ops.doctor.checks import OfAll, OfFile, Trouble, examine, warning
from ops.doctor.examination import CHECKS
from ops.doctor.picture import drawn
from ops.doctor.report import Group, Report, Row, Verdict
from ops.doctor.surroundings import NotLookedError, Surroundings
from topology.management import Management
from workers.store.interface import StoreUnavailableError

from .samples import Office, row

SECRET = "postgresql://u:hunter2hunter2@db/warren"
Look = Callable[[Surroundings], Awaitable[list[Trouble]]]


def check(look: Look) -> OfAll:
    return OfAll(group=Group.DISK, name="x", must="It is so", todo="do it", look=look)


async def only(look: Look, wait_s: float = 30) -> Row:
    (found,) = await examine(check(look), Surroundings(wait_s=wait_s))
    return found


async def raises(error: Exception) -> Row:
    async def look(_: Surroundings) -> list[Trouble]:
        raise error

    return await only(look)


async def test_an_error_that_nobody_expected_is_a_finding_without_its_text() -> None:
    found = await raises(KeyError(SECRET))
    assert found.verdict is Verdict.FAILED
    assert found.found[0].startswith("could not look: KeyError in test_checks.py, line ")
    assert "hunter2" not in found.model_dump_json()


async def test_an_error_for_operators_is_told_in_its_words() -> None:
    found = await raises(StoreUnavailableError("the database is away"))
    assert found.found == ["could not look: the database is away"]
    found = await raises(PermissionError(13, "Permission denied", "/x"))
    assert found.found == ["could not look: /x: Permission denied"]


async def test_what_takes_too_long_is_a_finding() -> None:
    async def look(_: Surroundings) -> list[Trouble]:
        await asyncio.Event().wait()
        return []

    found = await only(look, wait_s=0.05)
    assert (found.verdict, found.found) == (
        Verdict.FAILED,
        ["could not look: no answer within 0.05 s"],
    )


async def test_what_does_not_end_when_it_is_told_to_is_left_behind() -> None:
    """As the connection of a login that a broker holds back."""
    told, enough = 0, asyncio.Event()

    async def look(_: Surroundings) -> list[Trouble]:
        nonlocal told
        while not enough.is_set():
            try:
                await enough.wait()
            except asyncio.CancelledError:
                told += 1
        return []

    assert (await only(look, wait_s=0.05)).verdict is Verdict.FAILED
    assert told > 1
    enough.set()


async def test_what_lacks_something_is_not_looked_at() -> None:
    found = await raises(NotLookedError("no such thing was given"))
    assert (found.verdict, found.todo) == (Verdict.NOT_LOOKED_AT, None)
    assert found.found == ["no such thing was given"]


async def test_a_warning_beside_a_failure_is_a_failure_with_both_things_to_do() -> None:
    async def look(_: Surroundings) -> list[Trouble]:
        return [warning("a", todo="mend a"), Trouble("b"), Trouble("c")]

    found = await only(look)
    assert (found.verdict, found.found, found.todo) == (
        Verdict.FAILED,
        ["a", "b", "c"],
        "mend a; do it",
    )


async def test_without_its_file_a_check_says_whose_it_takes() -> None:
    async def look(*_: object) -> list[Trouble]:
        raise AssertionError

    roles = frozenset({Role.PARTY, Role.COORDINATOR})
    of_file = OfFile(group=Group.DISK, name="x", must="m", todo="t", roles=roles, look=look)
    (found,) = await examine(of_file, Surroundings())
    assert found.found == ["no party's or coordinator's file was given"]


def test_names_are_each_ones_own_and_runbooks_are_there() -> None:
    names = [f"{each.group}.{each.name}" for each in CHECKS]
    assert len(set(names)) == len(names)
    assert {each.group for each in CHECKS} == set(Group)
    folder = Path(ops.__file__).parent / "runbooks"
    assert not [each for each in CHECKS if each.runbook and not (folder / each.runbook).exists()]


def test_a_picture_has_one_line_for_all_that_are_right() -> None:
    def told(of: str, verdict: Verdict, found: list[str]) -> Row:
        return Row(
            group=Group.STORE,
            name="store.schema",
            of=of,
            must="It is so",
            verdict=verdict,
            found=found,
            todo="do it" if found else None,
            runbook="upgrade.md" if found else None,
        )

    report = Report.of(
        [
            told("party-1", Verdict.OK, []),
            told("party-2", Verdict.FAILED, ["[bold]it is not"]),
            told("party-3", Verdict.OK, []),
        ]
    )
    assert not report.healthy
    out = io.StringIO()
    Console(file=out, width=200).print(drawn(report))
    assert out.getvalue().splitlines() == [
        "store",
        "  ✓ It is so (party-1, party-3)",
        "  ✗ It is so (party-2)",
        "      [bold]it is not",
        "      do: do it",
        "      see ops/runbooks/upgrade.md",
        "",
        "2 checks are right, 1 failed.",
    ]


###
### The command
###


def doctor(*words: str) -> tuple[int, str]:
    ended = CliRunner().invoke(app, ["doctor", *words], env={"COLUMNS": "200"})
    return ended.exit_code, ended.output


def test_the_command_ends_with_0_for_what_is_right(files: Office) -> None:
    config = ["-c", str(files.folder / "svcA.toml"), "--only", "configuration"]
    code, told = doctor(*config)
    assert code == ExitCode.DONE, told
    assert "✓ The file can be used (svcA)" in told
    code, told = doctor(*config, "--json")
    report = Report.model_validate(json.loads(told))
    assert report.healthy
    assert {each.group for each in report.rows} == {Group.CONFIGURATION}


@pytest.mark.parametrize("words", [(), ("--only", "disk"), ("--only", "disk", "--json")])
def test_where_nothing_is_looked_at_nothing_is_said_to_be_healthy(words: tuple[str, ...]) -> None:
    code, told = doctor(*words)
    assert code == ExitCode.USAGE
    assert "nothing could be looked at: name a file with --config" in told
    assert "healthy" not in told


def test_the_command_ends_with_1_for_a_finding_and_is_no_traceback(files: Office) -> None:
    """No broker answers at the address in the file."""
    code, told = doctor("-c", str(files.folder / "party-1.toml"), "--skip", "disk", "--json")
    assert code == ExitCode.FAILED, told
    report = Report.model_validate(json.loads(told))
    wrong = {each.name for each in report.rows if each.verdict is Verdict.FAILED}
    assert wrong == {"broker.reachable", "store.reachable"}
    assert Group.DISK not in {each.group for each in report.rows}


def test_the_command_ends_with_2_for_a_file_that_cannot_be_used(files: Office) -> None:
    (files.folder / "svcA.key").unlink()
    code, told = doctor("-c", str(files.folder / "svcA.toml"), "--only", "configuration")
    assert code == ExitCode.USAGE
    assert "✗ The file can be used (svcA)" in told


@pytest.mark.parametrize(("text", "words"), [("= x", "not TOML"), ("x = 1", "none of the tables")])
def test_the_command_ends_with_2_for_what_is_no_configuration(
    files: Office, text: str, words: str
) -> None:
    path = files.secret("other.toml", text)
    code, told = doctor("-c", str(path))
    assert code == ExitCode.USAGE
    assert words in told


###
### The clock of the broker
###


@pytest.mark.parametrize(
    ("off_s", "verdict"),
    [(0, Verdict.OK), (8, Verdict.WARNING), (40, Verdict.FAILED), (-40, Verdict.FAILED)],
)
async def test_a_clock_that_is_not_the_brokers_is_told(off_s: int, verdict: Verdict) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        date = {"Date": "Tue, 01 Dec 2026 02:00:00 GMT"}
        return httpx.Response(200, json={"name": "x"}, headers=date)

    transport = httpx.MockTransport(answer)
    async with Management("http://broker:15672", transport=transport) as management:
        clock = 1796090400.5 + off_s
        found = await row("clocks.broker", Surroundings(management=management, clock=lambda: clock))
    assert found.verdict is verdict
    side = "ahead of" if off_s > 0 else "behind"
    assert not found.found or f"{abs(off_s)} s {side} the broker's" in found.found[0]


async def test_a_management_api_without_a_date_tells_no_time() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    async with Management("http://broker:15672", transport=transport) as management:
        found = await row("clocks.broker", Surroundings(management=management))
    assert found.verdict is Verdict.NOT_LOOKED_AT
