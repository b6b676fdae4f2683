"""What offered load does to latency: several reports of one stack, one for each rate."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table

from .plot import BLUE, INK, MARKS, PlotError, footing, unframed
from .report import Report, heading, noise

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT_UP = 0.95
"""With a smaller part of what is offered done, more is offered than can be done: what it takes
longer grows as long as that lasts."""


def as_json(reports: Sequence[Report]) -> str:
    """The reports for programs, in the order of the rates as they were given."""
    told = [dataclasses.asdict(report) for report in reports]
    return json.dumps({"version": 1, "reports": told}, indent=2)


def render(reports: Sequence[Report]) -> RenderableType:
    """A row for each rate."""
    table = Table(title="Latency from the moment at which each was due, ms", box=SIMPLE)
    for name in ("offered/s", "done/s", "p50", "p95", "p99", "max", "failed", "CPU ms each"):
        table.add_column(name, justify="right")
    for report in reports:
        latency = report.latency_ms
        table.add_row(
            f"{report.offered_per_s:g}",
            f"{report.throughput_per_s:.1f}",
            *(
                ["-"] * 4
                if latency is None
                else [f"{x:.1f}" for x in (latency.p50, latency.p95, latency.p99, latency.max)]
            ),
            str(report.failed),
            f"{_cpu_ms(report):.2f}",
        )
    return Group(*heading(reports[0]), "", table, *map(noise, reports))


def draw(reports: Sequence[Report], path: Path) -> None:
    """Write a PNG: latency, and what a signature costs, against the rate that is offered.

    Raises PlotError if no operation succeeded, OSError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    seen = sorted(
        (report for report in reports if report.latency_ms is not None),
        key=lambda report: report.offered_per_s or 0.0,
    )
    if not seen:
        raise PlotError("no operation succeeded: there is nothing to draw")
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.suptitle(seen[0].title.rpartition(", ")[0], fontsize=13, color=INK, weight="bold")
    _latencies(left, seen)
    _costs(right, seen)
    footing(figure, seen[0], f"{seen[0].count} operations for each rate")
    figure.savefig(path, format="png")


def _latencies(axes: Axes, reports: Sequence[Report]) -> None:
    rates = [report.offered_per_s or 0.0 for report in reports]
    for name, colour in MARKS.items():
        values = [getattr(report.latency_ms, name) for report in reports]
        axes.plot(rates, values, color=colour, marker="o", linewidth=2, label=name)
    kept_up = [rate for rate, report in zip(rates, reports, strict=True) if _keeps_up(report)]
    if len(kept_up) < len(rates):
        edge = max(kept_up, default=0.0)
        axes.axvspan(edge, rates[-1], color=INK, alpha=0.08, label="more than can be done")
    axes.set_yscale("log")
    axes.set_xlabel("offered a second (Poisson)", color=INK)
    axes.set_ylabel("latency from the moment it was due, ms", color=INK)
    axes.grid(alpha=0.25, which="both")
    axes.legend(loc="upper left", framealpha=1, edgecolor="none")
    unframed(axes)


def _costs(axes: Axes, reports: Sequence[Report]) -> None:
    rates = [report.offered_per_s or 0.0 for report in reports]
    axes.plot(rates, [_cpu_ms(each) for each in reports], color=BLUE, marker="o", linewidth=2)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("offered a second (Poisson)", color=INK)
    axes.set_ylabel(f"CPU ms per {reports[0].work.unit}, all processes", color=INK)
    axes.grid(alpha=0.25)
    unframed(axes)


def _keeps_up(report: Report) -> bool:
    return report.throughput_per_s >= KEPT_UP * (report.offered_per_s or 0.0)


def _cpu_ms(report: Report) -> float:
    return sum(group.cpu_ms_per_item or 0.0 for group in report.cpu)
