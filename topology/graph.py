"""A picture of what is declared: who publishes where, what is bound to what, who reads it.

As SVG, which every browser shows. Members of a group that are alike are drawn once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Final

from topology.export import Exported
from topology.names import covers
from topology.roles import DEFAULT_EXCHANGE

_COLUMNS: Final = (20, 330, 660, 1010)
_BOX: Final = (250, 26)
_QUEUE_WIDTH: Final = 300
_STEP: Final = 38
_TOP: Final = 60
_TITLES: Final = ("publishes", "exchanges", "queues", "reads")
_FILLS: Final = ("#fff4d6", "#dcebff", "#e2f5e0", "#fff4d6")


@dataclass(frozen=True, slots=True)
class _Line:
    """From a box of one column to one of the next."""

    column: int
    start: str
    end: str
    said: str = ""


def as_svg(files: Exported) -> str:
    """Of what `export` makes of a topology."""
    exchanges = list(files.broker["exchanges"])
    queues = list(files.broker["queues"])
    lines = [
        *_publishing(files, exchanges),
        *_bindings(files),
        *_alternates(files, exchanges),
        *_reading(files, queues),
    ]
    columns = (
        sorted({line.start for line in lines if line.column == 0}),
        exchanges,
        queues,
        sorted({line.end for line in lines if line.column == 2}),
    )
    height = _TOP + _STEP * max(map(len, columns), default=1) + 20
    width = _COLUMNS[3] + _BOX[0] + 20
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *_drawn_lines(lines, columns),
            *_drawn_boxes(columns),
            "</svg>\n",
        ]
    )


def _publishing(files: Exported, exchanges: Iterable[str]) -> Iterator[_Line]:
    for name, role in files.roles["roles"].items():
        for exchange in exchanges:
            if covers(role.get("write", ()), exchange):
                keys = role.get("topics", {}).get(exchange, {}).get("write")
                if exchange not in role.get("topics", {}) or keys:
                    yield _Line(0, name, exchange, ", ".join(keys or ()))


def _bindings(files: Exported) -> Iterator[_Line]:
    for name, queue in files.broker["queues"].items():
        keys: dict[str, list[str]] = {}
        for binding in queue.get("bindings", ()):
            keys.setdefault(binding["exchange"], []).append(binding.get("key", ""))
        for exchange, each in keys.items():
            yield _Line(1, exchange, name, ", ".join(filter(None, each)))


def _alternates(files: Exported, exchanges: list[str]) -> Iterator[_Line]:
    """What no binding takes goes on to another exchange, and so to the queues behind that."""
    for policy in files.broker["policies"].values():
        alternate = policy["definition"].get("alternate-exchange")
        for exchange in policy.get("exchanges", ()):
            if alternate is not None and exchange in exchanges:
                yield from (
                    _Line(1, exchange, line.end, "what nobody takes")
                    for line in _bindings(files)
                    if line.start == alternate
                )


def _reading(files: Exported, queues: Iterable[str]) -> Iterator[_Line]:
    for name, role in files.roles["roles"].items():
        for queue in queues:
            # A queue of all members is read by whoever may read all of them, or its own.
            anybody = queue.replace("{client}", "{id}").replace("{party}", "{id}")
            named = role.get("read", ())
            ours = queue in named and _serves(files, queue, role)
            if queue != DEFAULT_EXCHANGE and (ours or covers(named, anybody)):
                yield _Line(2, queue, name)


def _serves(files: Exported, queue: str, role: dict[str, object]) -> bool:
    groups = files.broker["queues"][queue].get("for_each", ())
    return not groups or role.get("for_each") in ([groups] if isinstance(groups, str) else groups)


def _drawn_boxes(columns: Iterable[list[str]]) -> Iterator[str]:
    for column, names in enumerate(columns):
        x, wide = _COLUMNS[column], _wide(column)
        yield f'<text x="{x}" y="{_TOP - 25}" font-weight="bold">{_TITLES[column]}</text>'
        for at, name in enumerate(names):
            y = _TOP + _STEP * at
            yield (
                f'<rect x="{x}" y="{y}" width="{wide}" height="{_BOX[1]}" rx="4" '
                f'fill="{_FILLS[column]}" stroke="#555"/>'
            )
            yield f'<text x="{x + 8}" y="{y + 17}">{escape(name)}</text>'


def _drawn_lines(lines: Iterable[_Line], columns: tuple[list[str], ...]) -> Iterator[str]:
    for line in lines:
        x1 = _COLUMNS[line.column] + _wide(line.column)
        x2 = _COLUMNS[line.column + 1]
        y1, y2 = (
            _TOP + _STEP * columns[column].index(name) + _BOX[1] / 2
            for column, name in ((line.column, line.start), (line.column + 1, line.end))
        )
        title = f"<title>{escape(line.said)}</title>" if line.said else ""
        middle = (x1 + x2) / 2
        yield (
            f'<path d="M{x1} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2} {y2:g}" '
            f'fill="none" stroke="#777">{title}</path>'
        )


def _wide(column: int) -> int:
    return _QUEUE_WIDTH if column == 2 else _BOX[0]
