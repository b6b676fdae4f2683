"""What doctor says, for people and programs."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Group(StrEnum):
    """Of checks, in the order in which they are shown."""

    CONFIGURATION = "configuration"
    BROKER = "broker"
    TOPOLOGY = "topology"
    PERMISSIONS = "permissions"
    QUEUES = "queues"
    STORE = "store"
    KEYS = "keys"
    CLOCKS = "clocks"
    PARTIES = "parties"
    CERTIFICATES = "certificates"
    DISK = "disk"


class Verdict(StrEnum):
    """What came of a check."""

    OK = "ok"
    WARNING = "warning"
    """It works, and somebody should do something."""
    FAILED = "failed"
    NOT_LOOKED_AT = "not looked at"
    """It takes a file, an address or a login that was not given, or something else that has to be
    mended first."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Row(_Model):
    """A check, and what came of it."""

    group: Group
    name: str
    """For scripts: ``store.schema``. Stays the same from release to release."""
    of: str | None
    """Whose file or store was looked at: a party, a client, ``coordinator``; null: all of it."""
    must: str
    """What has to be true, as a sentence."""
    verdict: Verdict
    found: list[str]
    """What is not so, or why it was not looked at. Never a secret."""
    todo: str | None
    """What to do about it; null where there is nothing to do."""
    runbook: str | None
    """A file of ``ops/runbooks``, if there is one about it."""


class Report(_Model):
    """All that ``warren doctor --json`` prints. Fields may be added under the same version."""

    version: Literal[1] = 1
    healthy: bool
    """Nothing failed, and no warning."""
    counts: dict[Verdict, int]
    rows: list[Row]

    @property
    def looked_at(self) -> bool:
        """At anything: a report of nothing says nothing about health."""
        return any(row.verdict is not Verdict.NOT_LOOKED_AT for row in self.rows)

    @classmethod
    def of(cls, rows: list[Row]) -> Report:
        """With its rows in the order of the groups."""
        order = list(Group)
        counts = {verdict: sum(row.verdict is verdict for row in rows) for verdict in Verdict}
        return cls(
            healthy=not counts[Verdict.FAILED] and not counts[Verdict.WARNING],
            counts=counts,
            rows=sorted(rows, key=lambda row: order.index(row.group)),
        )
