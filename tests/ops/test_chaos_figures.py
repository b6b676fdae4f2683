"""What a run comes to, and how it is told."""

from __future__ import annotations

import dataclasses
import json

import pytest
from rich.console import Console
from typer.testing import CliRunner

from contracts.failures import FailureCode
from ops.chaos.experiment import Outcome, Settings
from ops.chaos.facts import Facts, Leftover, Violation
from ops.chaos.faults import Kind, possible
from ops.chaos.figures import AFTERSHOCK_S, figures
from ops.chaos.report import as_json, render
from ops.chaos.schedule import schedule
from ops.cli.main import app
from tests.ops.chaos_samples import fail, good_facts, judged, struck

INJECTIONS = schedule(7, 60, possible(nodes=1))


def outcome_of(facts: Facts, violations: list[Violation] | None = None) -> Outcome:
    return Outcome(
        settings=Settings(seed=7, seconds=60, injections=INJECTIONS),
        facts=facts,
        figures=figures(facts),
        violations=judged(facts) if violations is None else violations,
        held_back=0,
        interrupted=False,
        elapsed_s=80.0,
    )


def page(outcome: Outcome) -> str:
    console = Console(width=160, record=True, force_terminal=False)
    with console.capture() as capture:
        console.print(render(outcome))
    return capture.get()


def test_requests_are_counted_by_what_they_asked_and_how_they_ended() -> None:
    facts = good_facts()
    fail(facts, "s-ecdsa", FailureCode.EXPIRED)
    del facts.answers["s-bip340"]
    facts.answers["s-ed25519"] *= 3
    found = figures(facts)
    assert found.requests == 6
    assert found.by_operation["sign ecdsa list"] == 1
    assert found.by_ending == {"completed": 4, "expired": 1, "none": 1}
    assert found.repeated == 2


def test_an_answer_after_its_client_gave_up_is_late() -> None:
    facts = good_facts()
    assert figures(facts).late == 0
    fail(facts, "s-ecdsa", FailureCode.EXPIRED, at_s=46)
    assert figures(facts).late == 1


def test_latencies_are_told_apart_by_whether_a_fault_went_on_meanwhile() -> None:
    facts = good_facts()
    facts.struck = [struck(Kind.CUT, target="party-1.2", began_s=0.5, ended_s=1.5)]
    found = figures(facts)
    assert found.during is not None
    assert found.between is not None
    assert found.during.p50 == pytest.approx(1000)
    assert found.between.p50 == pytest.approx(1000)
    facts.struck = [struck(Kind.CUT, began_s=0, ended_s=10 - AFTERSHOCK_S + 0.1)]
    assert figures(facts).between is None


def test_recovery_is_the_time_to_the_next_success_and_until_all_before_is_answered() -> None:
    facts = good_facts()
    facts.struck = [
        struck(Kind.KILL, began_s=1.5, ended_s=1.5),
        struck(Kind.KILL, began_s=10.2, ended_s=10.2),
    ]
    (recovery,) = figures(facts).recoveries
    assert (recovery.kind, recovery.count) == (Kind.KILL, 2)
    assert recovery.success_s == pytest.approx(0.8)
    assert recovery.caught_up_s == pytest.approx(0.8)


def test_the_longest_time_without_a_signature_lies_within_a_fault_and_its_aftershock() -> None:
    facts = good_facts()
    signed = [name for name in facts.answers if name.startswith("s-")]
    for name, at_s in zip(signed, (9.0, 11.0, 14.0, 30.0), strict=True):
        facts.answers[name] = [dataclasses.replace(facts.answers[name][0], at_s=at_s)]
    facts.struck = [struck(Kind.CUT, began_s=10, ended_s=13)]
    (recovery,) = figures(facts).recoveries
    assert (recovery.gap_s, recovery.beside) == (3.0, ())
    fail(facts, signed[1], FailureCode.EXPIRED, at_s=11.0)
    assert figures(facts).recoveries[0].gap_s == 4.0, "what failed is no signature"
    assert 13 + AFTERSHOCK_S > 14.0


def test_where_nobody_waits_for_a_signature_none_is_missing() -> None:
    """A fault that lasts longer than the load is no time without signatures."""
    facts = good_facts()
    for name in [name for name in facts.answers if name.startswith("s-")]:
        facts.answers[name] = [dataclasses.replace(facts.answers[name][0], at_s=11.0)]
    facts.struck = [struck(Kind.CUT, began_s=10, ended_s=40)]
    assert figures(facts).recoveries[0].gap_s == 1.0
    asked = facts.asked["s-list"]
    facts.asked["s-late"] = dataclasses.replace(asked, asked_s=35.0)
    assert figures(facts).recoveries[0].gap_s == 40 + AFTERSHOCK_S - 35, "no answer: awaited still"


def test_faults_that_strike_beside_others_are_told_apart_from_those_alone() -> None:
    facts = good_facts()
    facts.struck = [
        struck(Kind.CUT, began_s=10, ended_s=13),
        struck(Kind.CUT, began_s=20, ended_s=23),
        struck(Kind.RESHARE, began_s=21, ended_s=22),
    ]
    found = {(each.kind, each.beside): each.count for each in figures(facts).recoveries}
    assert found == {
        (Kind.CUT, ()): 1,
        (Kind.CUT, (Kind.RESHARE,)): 1,
        (Kind.RESHARE, (Kind.CUT,)): 1,
    }
    assert "cut beside reshare" in page(outcome_of(facts))


def test_nothing_ends_well_after_a_fault_from_which_nothing_recovers() -> None:
    facts = good_facts()
    facts.struck = [struck(Kind.DATABASE_KILL, began_s=20, ended_s=21)]
    (recovery,) = figures(facts).recoveries
    assert recovery.success_s is None


def test_the_page_of_a_good_run_says_so_and_has_its_seed() -> None:
    text = page(outcome_of(good_facts()))
    assert "seed 7" in text
    assert "Nothing lost" in text


def test_the_page_of_a_bad_run_names_rules_and_evidence() -> None:
    facts = good_facts()
    facts.leftovers = [Leftover(where="queue warren.reports", what="messages", count=3)]
    facts.log_errors = ["2 x party-1.1: handler failed: KeyError"]
    text = page(outcome_of(facts))
    assert "1 violations" in text
    assert "3 messages in queue warren.reports" in text
    assert "KeyError" in text


def test_json_has_the_schedule_the_figures_and_the_violations() -> None:
    facts = good_facts()
    facts.deaths = ["party-1.1 ended with status 1"]
    facts.struck = [struck(Kind.CUT, target="party-1.2", began_s=3, ended_s=4)]
    facts.memory = {"party-1.1": (1, 2)}
    told = json.loads(as_json(outcome_of(facts)))
    assert told["version"] == 1
    assert told["seed"] == 7
    assert len(told["schedule"]) == len(INJECTIONS)
    assert told["struck"][0]["kind"] == "cut"
    assert told["requests"] == 6
    assert told["violations"] == [{"rule": "died", "text": "party-1.1 ended with status 1"}]
    assert told["memory_bytes"] == {"party-1.1": {"before": 1, "after": 2}}


def test_the_command_prints_the_schedule_of_a_seed_and_does_nothing() -> None:
    runner = CliRunner()
    told = runner.invoke(app, ["chaos", "--plan", "--seed", "7", "--seconds", "60"])
    again = runner.invoke(app, ["chaos", "--plan", "--seed", "7", "--seconds", "60"])
    assert told.exit_code == 0
    assert told.output == again.output
    for injection in INJECTIONS:
        assert str(injection) in told.output


def test_the_command_takes_only_faults_that_exist() -> None:
    told = CliRunner().invoke(app, ["chaos", "--plan", "--fault", "earthquake"])
    assert told.exit_code == 2
