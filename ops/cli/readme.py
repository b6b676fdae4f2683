"""The README's tables of operations, which follow from `contracts.operations`, and the topology's
table and drawings.

Each stands between two comments that readers of the page do not see:
``<!-- table: results -->`` and ``<!-- end of table -->``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from contracts.addresses import request_key, result_key
from contracts.operations import OPERATIONS
from topology import VHOST, Members, declared
from topology.export import export
from topology.graph import as_svg as graph_as_svg
from topology.picture import as_svg, as_table, picture
from topology.schema import as_json, flow_schema, members_schema

PATH = Path(__file__).parents[2] / "README.md"
RIGHTS = PATH.parent / "topology" / "README.md"
_PICTURED = Members(
    parties=("party-1",),
    clients=("svcA",),
    tenant_clients=("shop",),
    gateways=("gateway",),
    legacy_clients=("old",),
)

_TABLE = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


class TableError(Exception):
    """The README has not the places that its tables go to."""


def tables() -> dict[str, str]:
    """By name."""
    return {"results": _results(), "many": _many()}


def filled(page: str) -> str:
    """The page with its tables as they should be. Raises TableError unless it has each once."""
    wanted = tables()
    found = [name for _, name, _ in _TABLE.findall(page)]
    if sorted(found) != sorted(wanted):
        raise TableError(
            f"{PATH} has these tables: {', '.join(found) or 'none'}; it must have each of "
            f"{', '.join(wanted)} once, between <!-- table: NAME --> and <!-- end of table -->"
        )
    return _TABLE.sub(lambda match: match[1] + wanted[match[2]] + match[3], page)


def with_rights(page: str) -> str:
    """The topology's page with its table of who may do what. Raises TableError likewise."""
    wanted = "\n" + as_table(picture(declared(_PICTURED))) + "\n"
    if [name for _, name, _ in _TABLE.findall(page)] != ["rights"]:
        raise TableError(f"{RIGHTS} must have the table rights, and no other")
    return _TABLE.sub(lambda match: match[1] + wanted + match[3], page)


def documents() -> dict[Path, str]:
    """What each page, drawing and schema should be, by where it is. Raises TableError, OSError."""
    shown = declared(_PICTURED)
    return {
        PATH: filled(PATH.read_text(encoding="utf-8")),
        RIGHTS: with_rights(RIGHTS.read_text(encoding="utf-8")),
        RIGHTS.with_name("rights.svg"): as_svg(picture(shown)),
        RIGHTS.with_name("topology.svg"): graph_as_svg(export(shown, VHOST)),
        RIGHTS.with_name("schema") / "flow.json": as_json(flow_schema()),
        RIGHTS.with_name("schema") / "members.json": as_json(members_schema()),
    }


def stands(path: Path) -> str | None:
    """What is there; None: nothing."""
    return path.read_text(encoding="utf-8") if path.exists() else None


def _results() -> str:
    """Operations that share a word in the routing key share a line."""
    sharing: dict[str, list[str]] = {}
    for name, row in OPERATIONS.items():
        sharing.setdefault(row.word, []).append(name)
    return _table(
        ("operation", "no client id", "client id `svcA`"),
        (
            (", ".join(names), _result_key(names[0], None), _result_key(names[0], "svcA"))
            for names in sharing.values()
        ),
    )


def _result_key(operation: str, client_id: str | None) -> str:
    key = result_key(operation, client_id=client_id, request_id="<request_id>", key_id="<key_id>")
    return f"`{key}`"


def _many() -> str:
    return _table(
        ("operation", "routing key", "what"),
        (
            (f"`{name}`", f"`{request_key(name, 'svcA')}`", row.for_many)
            for name, row in OPERATIONS.items()
            if row.for_many is not None
        ),
    )


def _table(head: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> str:
    rule = "|" + "---|" * len(head)
    return "\n".join((_line(head), rule, *map(_line, lines), ""))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
