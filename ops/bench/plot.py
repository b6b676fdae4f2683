"""The figures as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#334155"
BLUE = "#2563eb"
MARKS = {"p50": "#16a34a", "p95": "#d97706", "p99": "#dc2626"}


class PlotError(Exception):
    """There is nothing to draw, or nothing to draw it with."""


def require_matplotlib() -> None:
    """Raises PlotError: better before a long measurement than after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PlotError("--plot needs matplotlib: install warren[plot] or leave it out") from None


def draw(report: Report, latencies_s: Sequence[float], path: Path) -> None:
    """Write a PNG: how many operations took how long, and who used the CPU meanwhile.

    Raises PlotError if no operation succeeded, OSError if the file cannot be written.
    """
    from matplotlib.figure import Figure

    if report.latency_ms is None:
        raise PlotError("no operation succeeded: there is nothing to draw")
    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.suptitle(f"{report.title}\n{report.rate}", fontsize=13, color=INK, weight="bold")
    _latencies(left, report, sorted(1000 * latency for latency in latencies_s))
    _cpu(right, report)
    footing(figure, report, f"{report.succeeded} operations, {report.failed} failed")
    figure.savefig(path, format="png")


def footing(figure: Figure, report: Report, what: str) -> None:
    """On which machine, what, when, and of which tree."""
    machine = report.machine
    figure.supxlabel(
        f"{machine.cpu}, {machine.cores} cores; {what}; {report.date[:10]}, "
        f"commit {report.commit or 'unknown'}",
        fontsize=8,
        color=INK,
    )


def _latencies(axes: Axes, report: Report, ordered_ms: Sequence[float]) -> None:
    """The share of operations that took no longer: percentiles are read off it directly."""
    assert report.latency_ms is not None
    axes.ecdf(ordered_ms, color=BLUE, linewidth=2)
    for name, colour in MARKS.items():
        value = getattr(report.latency_ms, name)
        label = f"{name}  {value:.1f} ms"
        axes.axvline(value, color=colour, linestyle="--", linewidth=1.2, label=label)
    axes.set_xlim(left=0)
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.set_xlabel(report.latency_title, color=INK)
    axes.set_ylabel("operations that took no longer", color=INK)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", framealpha=1, edgecolor="none")
    unframed(axes)


def _cpu(axes: Axes, report: Report) -> None:
    values = [group.cpu_ms_per_item or 0.0 for group in report.cpu]
    bars = axes.barh([group.group for group in report.cpu], values, color=BLUE, height=0.6)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=9, color=INK)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set_xlabel(f"CPU ms per {report.work.unit}, {sum(values):.1f} in all", color=INK)
    unframed(axes)


def unframed(axes: Axes) -> None:
    """Without the two sides of the frame that say nothing."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=INK)
