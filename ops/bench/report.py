"""What a measurement found, for programs (`as_json`) and for people (`render`)."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Literal

from rich.box import SIMPLE
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from .latency import Latency
from .machine import Machine
from .measure import GroupCpu
from .site import Stack
from .tally import Presignatures
from .work import Work

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The fields are the keys of the JSON object; a key that changes its meaning raises `version`.

    Attributes:
        date: When the measurement began, ISO 8601, UTC.
        commit: Of the tree that was measured, `-dirty` if files differed; None if unknown.
        stack: Of our own; None for one that ran already.
        offered_per_s: Operations, at the moments of a Poisson process; then `concurrency` says
            nothing, and a latency counts from the moment at which its operation was due.
        warmup_failures: By code, of the operations before the measured ones.
        interrupted: By Ctrl-C: fewer than `count` operations were finished.
        failures: How many operations failed, by code.
        abandoned: In flight when the load was interrupted.
        throughput_per_s: Operations that succeeded, by `elapsed_s`.
        items_per_s: Signatures of lists, or presignatures of batches, that succeeded.
        latency_ms: Of those that succeeded, from the call to the verified result, or from the
            beginning of a batch to its end at the coordinator; None without any.
        presignatures: Of a stack of our own, where they have to do with it.
        cpu: By group of processes. Only the client itself where `stack` is None.
        other_cores: Cores that were busy with anything else on this machine meanwhile, or with
            groups that could not be measured: the noise in the figures.
        memory_bytes: Resident at the end, by process.
    """

    version: Literal[1] = field(default=1)
    date: str
    commit: str | None
    machine: Machine
    stack: Stack | None
    work: Work
    count: int
    concurrency: int
    offered_per_s: float | None = None
    warmup: int
    warmup_failures: dict[str, int]
    interrupted: bool
    elapsed_s: float
    succeeded: int
    failures: dict[str, int]
    abandoned: int
    throughput_per_s: float
    items_per_s: float
    latency_ms: Latency | None
    presignatures: Presignatures | None
    cpu: list[GroupCpu]
    other_cores: float
    memory_bytes: dict[str, int]

    @property
    def failed(self) -> int:
        """How many failed after the warm-up."""
        return sum(self.failures.values())

    @property
    def title(self) -> str:
        """What was measured, in one line."""
        work = self.work
        words = [
            f"{work.operation} {work.scheme or work.curve}",
            f"{work.threshold} of {work.party_count}",
        ]
        if work.pool is not None:
            words.append(work.pool.value)
        if work.operation == "presign":
            words.append(f"batches of {work.batch}, {self.concurrency} in the making")
        else:
            if work.batch > 1:
                words.append(f"lists of {work.batch}")
            words.append(
                f"{self.concurrency} in flight"
                if self.offered_per_s is None
                else f"{self.offered_per_s:g}/s offered"
            )
        if work.refill:
            words.append("beside another key's presigning")
        return ", ".join(words)

    @property
    def rate(self) -> str:
        """Operations per second, and items where an operation has several."""
        text = f"{self.throughput_per_s:.1f}/s"
        if self.work.batch > 1:
            text += f", {self.items_per_s:.1f} {self.work.unit}s/s"
        return text

    @property
    def latency_title(self) -> str:
        """From where to where the time was taken."""
        if self.work.operation == "presign":
            return "Latency of a batch at the coordinator, ms"
        return "Latency, queue to verified result, ms"


def as_json(report: Report) -> str:
    """The report for programs."""
    return json.dumps(dataclasses.asdict(report), indent=2)


###
### For people
###


def render(report: Report) -> RenderableType:
    """The report for people."""
    parts: list[RenderableType] = [*heading(report), "", outcome(report), ""]
    if report.latency_ms is not None:
        parts += [_latency(report.latency_ms, report.latency_title), ""]
    parts += [_processes(report), noise(report)]
    return Group(*parts)


def heading(report: Report) -> list[RenderableType]:
    """What was measured, and on what."""
    return [
        Text(report.title, style="bold"),
        Text(f"{report.date}, commit {report.commit or 'unknown'}", style="dim"),
        "",
        _facts(report),
    ]


def _facts(report: Report) -> Table:
    machine = report.machine
    rows = {
        "machine": f"{machine.cpu}, {machine.cores} cores, {machine.memory_bytes / GIB:.1f} GiB",
        "software": f"{machine.kernel}, Python {machine.python}",
    }
    if report.stack is None:
        rows["stack"] = "one that ran already; only the client's own CPU is known"
    else:
        stack = report.stack
        rows["software"] += f", RabbitMQ {stack.rabbitmq}, PostgreSQL {stack.postgresql}"
        rows["processes"] = (
            f"coordinator {stack.coordinator_processes}, "
            f"{report.work.party_count} parties x {stack.processes_per_party} "
            f"and keys {stack.keygen_processes}, presign {stack.presigning_processes}, "
            + f"gateways {stack.gateways}, "
            * (stack.gateways > 0)
            + "client 1; "
            f"the parties' store: {stack.store}"
        )
        rows["durability"] = (
            f"{' and '.join(stack.queues)} queues, publisher confirms, "
            f"fsync {stack.fsync}, synchronous_commit {stack.synchronous_commit}"
        )
    rows["load"] = f"{report.count} operations after {report.warmup} to warm up"
    if report.presignatures is not None:
        rows["presigned"] = _presigned(report.presignatures, report.elapsed_s)
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        table.add_row(Text(name, style="dim"), Text(value))
    return table


def _presigned(seen: Presignatures, elapsed_s: float) -> str:
    text = f"{seen.before} in stock before, {seen.after} after, {seen.made} made meanwhile"
    if seen.made_elsewhere is not None:
        per_s = seen.made_elsewhere / elapsed_s
        text += f"; {seen.made_elsewhere} made for another key, {per_s:.1f}/s"
    return text


def outcome(report: Report) -> Text:
    """How many succeeded, how fast, and what the failures were."""
    text = Text()
    if report.interrupted:
        text.append("Interrupted. ", style="bold yellow")
    text.append(f"{report.succeeded} succeeded in {report.elapsed_s:.2f} s: ")
    text.append(report.rate, style="bold")
    for name, failures in (("failed", report.failures), ("warm-up failed", report.warmup_failures)):
        if failures:
            codes = ", ".join(f"{code} {count}" for code, count in sorted(failures.items()))
            text.append(f"\n{sum(failures.values())} {name}: {codes}", style="bold red")
    if report.abandoned:
        text.append(f"\n{report.abandoned} were in flight and not waited for", style="yellow")
    return text


def _latency(latency: Latency, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE)
    for name in ("p50", "p95", "p99", "max", "mean", "min"):
        table.add_column(name, justify="right")
    values = (latency.p50, latency.p95, latency.p99, latency.max, latency.mean, latency.min)
    table.add_row(*(f"{value:.1f}" for value in values))
    return table


def _processes(report: Report) -> Table:
    work, cpu = report.work, report.cpu
    table = Table(
        title="CPU and resident memory", title_justify="left", show_footer=True, box=SIMPLE
    )
    table.add_column("", footer="all", no_wrap=True)
    table.add_column("CPU s", f"{sum(group.cpu_s for group in cpu):.2f}", justify="right")
    costs = {f"ms/{work.unit}": [group.cpu_ms_per_item for group in cpu]}
    if work.batch > 1:
        costs = {f"ms/{work.operation_name}": [each.cpu_ms_per_operation for each in cpu]} | costs
    for name, values in costs.items():
        known = [ms for ms in values if ms is not None]
        table.add_column(name, f"{sum(known):.2f}" if known else "-", justify="right")
    table.add_column("cores", f"{sum(group.cores for group in cpu):.2f}", justify="right")
    table.add_column("MiB", justify="right")
    for group, *each in zip(cpu, *costs.values(), strict=True):
        table.add_row(
            group.group,
            f"{group.cpu_s:.2f}",
            *("-" if ms is None else f"{ms:.2f}" for ms in each),
            f"{group.cores:.2f}",
            _memory(report.memory_bytes, group.group),
        )
    return table


def _memory(memory_bytes: dict[str, int], group: str) -> str:
    """Of each of the group's processes: `party-1` and `party-1.1`, `party-1.2`, ..."""
    of_group = [
        resident
        for name, resident in memory_bytes.items()
        if name == group or name.rpartition(".")[0] == group
    ]
    return ", ".join(f"{resident / MIB:.0f}" for resident in of_group) or "-"


def noise(report: Report) -> Text:
    """How much of the machine was busy with something else meanwhile."""
    return Text(
        f"Meanwhile {report.other_cores:.2f} of {report.machine.cores} cores were busy with "
        "what is not in this table.",
        style="yellow" if report.other_cores > 0.1 * report.machine.cores else "dim",
    )
