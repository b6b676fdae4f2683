"""A report for people."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from rich.console import Group as Lines
from rich.text import Text

from ops.doctor.report import Report, Row, Verdict

_SIGNS = {
    Verdict.OK: ("✓", "green"),
    Verdict.WARNING: ("!", "yellow"),
    Verdict.FAILED: ("✗", "bold red"),
    Verdict.NOT_LOOKED_AT: ("-", "dim"),
}


def drawn(report: Report, *, whole: bool = False) -> Lines:
    """
    Arguments:
        whole: With why each check was not looked at.
    """
    return Lines(*_lines(report, whole=whole))


def _lines(report: Report, *, whole: bool) -> Iterator[Text]:
    for group, of_group in groupby(report.rows, key=lambda row: row.group):
        yield Text(str(group), style="bold")
        alike: dict[tuple[object, ...], list[Row]] = {}
        for row in of_group:
            alike.setdefault((row.name, row.verdict, *row.found), []).append(row)
        for rows in alike.values():
            yield from _rows(rows, whole=whole)
        yield Text()
    yield summary(report)


def _rows(rows: list[Row], *, whole: bool) -> Iterator[Text]:
    """Of one check, with the same end."""
    row = rows[0]
    sign, style = _SIGNS[row.verdict]
    names = ", ".join(each.of for each in rows if each.of)
    whose = f" ({names})" if names else ""
    unseen = row.verdict is Verdict.NOT_LOOKED_AT
    yield Text.assemble((f"  {sign} ", style), (f"{row.must}{whose}", "dim" if unseen else ""))
    if whole or not unseen:
        for line in row.found:
            yield Text(f"      {line}", style="dim" if unseen else style)
    if row.todo:
        yield Text(f"      do: {row.todo}")
    if row.runbook:
        yield Text(f"      see ops/runbooks/{row.runbook}", style="dim")


def summary(report: Report) -> Text:
    """The last line."""
    counts = report.counts
    told = f"{counts[Verdict.OK]} checks are right"
    if counts[Verdict.FAILED]:
        told += f", {counts[Verdict.FAILED]} failed"
    if warnings := counts[Verdict.WARNING]:
        told += f", {warnings} warning{'' if warnings == 1 else 's'}"
    if counts[Verdict.NOT_LOOKED_AT]:
        told += f", {counts[Verdict.NOT_LOOKED_AT]} were not looked at"
    return Text(f"{told}.", style="bold green" if report.healthy else "bold red")
