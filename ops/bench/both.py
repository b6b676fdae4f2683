"""Comparisons, for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .abuse import Endurance
from .crowd import Crowd
from .hop import Comparison
from .latency import Latency
from .report import Report, heading, noise, outcome

_CLIENT, _HTTP = "client library", "HTTP"


def render_both(comparison: Comparison) -> RenderableType:
    """Client library and gateway beside each other, and what the hop costs."""
    reports = {_CLIENT: comparison.client, _HTTP: comparison.http}
    parts: list[RenderableType] = [*heading(comparison.client), ""]
    for name, report in reports.items():
        parts.append(Text(f"{name}: ") + outcome(report))
    return Group(
        *parts,
        "",
        _latencies(reports),
        _costs(reports),
        _conclusion(comparison),
        *(noise(report) for report in reports.values()),
    )


def _latencies(reports: dict[str, Report]) -> Table:
    table = Table(
        title="Latency, from the call to the result in hand, ms", title_justify="left", box=SIMPLE
    )
    for name in ("", "p50", "p95", "p99", "max", "mean", "min"):
        table.add_column(name, justify="right" if name else "left")
    for name, report in reports.items():
        seen = report.latency_ms
        if seen is not None:
            values = (seen.p50, seen.p95, seen.p99, seen.max, seen.mean, seen.min)
            table.add_row(name, *(f"{value:.1f}" for value in values))
    return table


def _costs(reports: dict[str, Report]) -> Table:
    table = Table(title="CPU, ms per signature", title_justify="left", box=SIMPLE)
    table.add_column("")
    by_way = []
    for name, report in reports.items():
        table.add_column(name, justify="right")
        by_way.append({each.group: each.cpu_ms_per_operation for each in report.cpu})
    for group in by_way[0] | by_way[1]:
        table.add_row(group, *(_ms(costs.get(group)) for costs in by_way))
    table.add_row("all", *(_ms(_sum(costs.values())) for costs in by_way))
    return table


def _conclusion(comparison: Comparison) -> Text:
    hop = comparison.hop
    return Text(
        f"HTTP costs {_ms(hop.p50)} ms at the median and {_ms(hop.p99)} ms at the 99th percentile; "
        f"{_ms(hop.gateway_cpu)} ms of the gateway's CPU for each request.",
        style="bold",
    )


def render_endurance(endurance: Endurance) -> RenderableType:
    """What a steady caller felt while others misbehaved."""
    calm = endurance.undisturbed_ms
    table = Table(
        title="Latency of a steady caller, ms, and against the undisturbed",
        title_justify="left",
        box=SIMPLE,
    )
    for name in ("", "p50", "", "p99", "", "failed", "gateway's cores"):
        table.add_column(name, justify="right" if name else "left")
    for window in endurance.windows:
        seen = window.latency_ms
        figures = ["-"] * 4
        if seen is not None and calm is not None:
            figures = [
                f"{seen.p50:.1f}",
                f"x{seen.p50 / calm.p50:.2f}",
                f"{seen.p99:.1f}",
                f"x{seen.p99 / calm.p99:.2f}",
            ]
        failed = str(sum(window.failures.values()))
        table.add_row(window.name, *figures, failed, f"{window.gateway_cores:.2f}")
    machine = endurance.machine
    return Group(
        Text(f"Bad manners, windows of {endurance.seconds:g} s", style="bold"),
        Text(f"{endurance.date}, commit {endurance.commit or 'unknown'}", style="dim"),
        Text(f"{machine.cpu}, {machine.cores} cores; {machine.kernel}", style="dim"),
        "",
        table,
        *(
            Text(f"{window.name} were answered: {_counts(window.answered)}", style="dim")
            for window in endurance.windows
            if window.answered
        ),
    )


def render_crowd(crowd: Crowd) -> RenderableType:
    """What a modest owner felt beside a greedy one, and what the greedy one got."""
    columns = ("", "", "quiet p99", "p99 beside", "expired", "failed")
    of_flood = ("refused", "p99 refusal", "done/s", "")
    table = Table(title="Signatures of a modest owner, ms", title_justify="left", box=SIMPLE)
    for i, name in enumerate((*columns, *of_flood)):
        table.add_column(name, justify="right" if 1 < i < 9 else "left")
    for row in crowd.rows:
        beside, flood = row.beside, row.flood
        table.add_row(
            row.via,
            row.kind,
            *(_p99(each) for each in (row.quiet.latency_ms, beside.latency_ms)),
            str(beside.expired),
            str(sum(beside.failures.values())),
            str(flood.refused),
            _p99(flood.refusal_ms),
            f"{flood.goodput_per_s:.1f}",
            ", ".join(row.lacks) or "as it should be",
        )
    machine, stack = crowd.machine, crowd.stack
    facts = [f"{machine.cpu}, {machine.cores} cores; {machine.kernel}"]
    if stack is not None:
        facts.append(
            f"coordinator {stack.coordinator_processes}, each party {stack.processes_per_party} to "
            f"sign, {stack.keygen_processes} to make keys, "
            f"{stack.presigning_processes} to presign, gateways {stack.gateways}; "
            f"RabbitMQ {stack.rabbitmq}, PostgreSQL {stack.postgresql}, fsync {stack.fsync}"
        )
    return Group(
        Text(f"A crowd: {crowd.lanes} in flight, {crowd.seconds:g} s a kind", style="bold"),
        Text(f"{crowd.date}, commit {crowd.commit or 'unknown'}", style="dim"),
        *(Text(fact, style="dim") for fact in facts),
        *([Text("Interrupted.", style="bold yellow")] if crowd.interrupted else []),
        "",
        table,
        *(
            Text(f"{row.via} {row.kind} was answered: {_counts(row.flood.answered)}", style="dim")
            for row in crowd.rows
        ),
    )


def _p99(latency: Latency | None) -> str:
    return "-" if latency is None else f"{latency.p99:.0f}"


def _counts(answered: dict[str, int]) -> str:
    return ", ".join(f"{status} {count} times" for status, count in sorted(answered.items()))


def _sum(costs: Iterable[float | None]) -> float | None:
    known = [each for each in costs if each is not None]
    return sum(known) if known else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
