"""What a run came to, for programs (`as_json`) and for people (`render`)."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import Any

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ops.bench.latency import Latency
from ops.bench.machine import commit, this_machine

from .experiment import Outcome
from .invariants import RULES

SHOWN = 12
"""Violations of one rule, and lines of the logs, that people get to see."""
MIB = 2**20


def as_json(outcome: Outcome) -> str:
    """A key that changes its meaning raises `version`."""
    facts, settings = outcome.facts, outcome.settings
    content: dict[str, Any] = {
        "version": 1,
        "commit": commit(),
        "machine": dataclasses.asdict(this_machine()),
        "seed": settings.seed,
        "seconds": settings.seconds,
        "rate_per_s": settings.rate_per_s,
        "interrupted": outcome.interrupted,
        "elapsed_s": outcome.elapsed_s,
        "schedule": [dataclasses.asdict(each) for each in settings.injections],
        "struck": [dataclasses.asdict(each) for each in facts.struck],
        "kills": facts.kills,
        "restarts": facts.restarts,
        "cuts": facts.cuts,
        **dataclasses.asdict(outcome.figures),
        "held_back": outcome.held_back,
        "messages": facts.sent.copies,
        "quiet_after_s": facts.quiet_after_s,
        "memory_bytes": {
            name: {"before": before, "after": after}
            for name, (before, after) in sorted(facts.memory.items())
        },
        "dead_letters": [
            {"queue": queue, "reason": reason, "count": count}
            for (queue, reason), count in _letters(outcome).items()
        ],
        "log_errors": facts.log_errors,
        "violations": [dataclasses.asdict(each) for each in outcome.violations],
    }
    return json.dumps(content, indent=2)


###
### For people
###


def render(outcome: Outcome) -> RenderableType:
    parts: list[RenderableType] = [
        _heading(outcome),
        "",
        _counts(outcome),
        _latencies(outcome),
        _recoveries(outcome),
        _memory(outcome),
    ]
    if outcome.facts.log_errors:
        parts += [_log_errors(outcome), ""]
    parts.append(_verdict(outcome))
    return Group(*parts)


def _heading(outcome: Outcome) -> Text:
    settings = outcome.settings
    text = Text(f"seed {settings.seed}, {settings.seconds:g} s of load", style="bold")
    text.append(f", {settings.rate_per_s:g} requests/s; {outcome.elapsed_s:.0f} s in all")
    if outcome.interrupted:
        text.append("  interrupted", style="bold yellow")
    return text


def _counts(outcome: Outcome) -> Table:
    facts, numbers = outcome.facts, outcome.figures
    table = Table.grid(padding=(0, 2))
    rows = {
        "requests": f"{numbers.requests}: {_listed(numbers.by_operation)}",
        "ended": _listed(numbers.by_ending),
        "came again": f"{numbers.repeated} results",
        "came late": f"{numbers.late}, after a client would have given up",
        "faults": f"{len(facts.struck)}: {facts.kills} kills, {facts.restarts} restarts of "
        f"workers, {facts.cuts} cuts and black holes",
        "messages": f"{facts.sent.copies} between coordinators and parties",
        "quiet": "never"
        if facts.quiet_after_s is None
        else f"{facts.quiet_after_s:.0f} s after the last answer",
    }
    if outcome.held_back:
        rows["held back"] = f"{outcome.held_back} requests, as too many were unanswered"
    letters = _letters(outcome)
    if letters:
        rows["dead letters"] = ", ".join(
            f"{count} from {queue} ({reason})" for (queue, reason), count in letters.items()
        )
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _latencies(outcome: Outcome) -> Table:
    table = Table(title="Latency of what ended well, ms", title_justify="left", box=SIMPLE)
    table.add_column("")
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    for name, latency in (
        ("between faults", outcome.figures.between),
        ("during faults", outcome.figures.during),
    ):
        table.add_row(name, *_percentiles(latency))
    return table


def _percentiles(latency: Latency | None) -> tuple[str, ...]:
    if latency is None:
        return ("-",) * 4
    return tuple(f"{value:.0f}" for value in (latency.p50, latency.p95, latency.p99, latency.max))


def _recoveries(outcome: Outcome) -> Table:
    table = Table(
        title="Faults: without a signature, and from their ends on, seconds (the worst of a kind)",
        title_justify="left",
        box=SIMPLE,
    )
    table.add_column("fault")
    for name in ("times", "struck", "longest gap", "next success", "caught up"):
        table.add_column(name, justify="right")
    for each in outcome.figures.recoveries:
        table.add_row(
            " beside ".join([each.kind.value, *filter(None, [", ".join(each.beside)])]),
            str(each.count),
            str(each.struck),
            f"{each.gap_s:.2f}",
            "-" if each.success_s is None else f"{each.success_s:.2f}",
            "-" if each.caught_up_s is None else f"{each.caught_up_s:.2f}",
        )
    return table


def _memory(outcome: Outcome) -> Table:
    table = Table(title="Resident memory, MiB", title_justify="left", box=SIMPLE)
    for name in ("", "before", "after"):
        table.add_column(name, justify="right" if name else "left")
    for name, (before, after) in sorted(outcome.facts.memory.items()):
        table.add_row(name, f"{before / MIB:.0f}", f"{after / MIB:.0f}")
    return table


def _log_errors(outcome: Outcome) -> Text:
    lines = outcome.facts.log_errors
    text = Text(f"{len(lines)} kinds of errors in the workers' logs", style="yellow")
    for line in lines[:SHOWN]:
        text.append(f"\n  {line}", style="dim")
    return text


def _verdict(outcome: Outcome) -> Text:
    if not outcome.violations:
        return Text("Nothing lost, nothing twice, nothing wrong.", style="bold green")
    by_rule = Counter(violation.rule for violation in outcome.violations)
    text = Text(f"{len(outcome.violations)} violations", style="bold red")
    for rule, count in by_rule.items():
        text.append(f"\n{count} x {rule}: {RULES[rule]}", style="red")
        of_rule = [each for each in outcome.violations if each.rule == rule]
        for violation in of_rule[:SHOWN]:
            text.append(f"\n    {violation.text}", style="default")
        if count > SHOWN:
            text.append(f"\n    and {count - SHOWN} more", style="dim")
    return text


def _letters(outcome: Outcome) -> Counter[tuple[str, str]]:
    return Counter((letter.queue, letter.reason) for letter in outcome.facts.letters)


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
