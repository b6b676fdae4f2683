"""Who may do what with which exchange and queue, at one glance: as a table, and as a drawing.

Each cell is what `rights` says, which a test finds to be what a real broker does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Final

from topology.matrix import keys_at, temporary_queues
from topology.model import Topology, User
from topology.names import ANY_KEY
from topology.rights import Act, Rights, rights
from topology.roles import DEFAULT_EXCHANGE

LETTERS: Final[Mapping[str, str]] = {
    "D": "declares and deletes",
    "R": "reads: consumes, gets, purges",
    "B": "binds it to some exchange",
    "P": "publishes by some routing key",
    "A": "publishes by any, through an exchange of its own",
    "T": "binds something to it: taps",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """
    Attributes:
        users: Whom the columns are for.
        rows: By exchange or queue, the letters of each user.
    """

    users: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]


def picture(topology: Topology) -> Picture:
    """Of everybody who may do something, at everything that is declared or may be."""
    each = rights(topology)
    shown = [user for user in topology.users if user.role != "monitor"]  # which has nothing
    names = sorted(
        {one.name for one in topology.governed()} | {*temporary_queues(topology), DEFAULT_EXCHANGE}
    )
    cells = {
        name: tuple(_letters(each[user.name], _tried(name, topology)) for user in shown)
        for name in names
    }
    return Picture(tuple(map(_title, shown)), cells)


def _title(user: User) -> str:
    role = user.role.replace("_", " ")
    return f"{role} {user.member}" if user.member else role


def _letters(own: Rights, tried: Mapping[str, list[Act]]) -> str:
    return "".join(letter for letter in LETTERS if any(map(own.may, tried[letter])))


def _tried(name: str, topology: Topology) -> Mapping[str, list[Act]]:
    """Under each letter, what means it where one of them is allowed."""
    exchanges = {one.name: one.type for one in topology.exchanges}
    queues = {one.name for one in topology.queues} | set(temporary_queues(topology))
    keys = keys_at(topology, name) if name in exchanges else ()
    by_key = (ANY_KEY, *keys) if exchanges.get(name) == "topic" else keys
    verbs = [("bind", name in queues), ("bind_exchange", name in exchanges)]
    return {
        "D": [Act(verb="declare_queue", name=name)],
        "R": [Act(verb="consume", name=name)] if name in queues else [],
        "B": [
            Act(verb=verb, name=name, source=source, key=key)
            for verb, is_one in verbs
            for source in exchanges
            for key in (ANY_KEY, *keys_at(topology, source))
            if is_one and source != name
        ],
        "P": [
            Act(verb="publish", name=name, key=key)
            for key in (("",) if name == DEFAULT_EXCHANGE else keys)
        ],
        "A": [
            Act(verb="detour", name=name, source=own)
            for own in temporary_queues(topology)
            if exchanges.get(name) == "topic"
        ],
        "T": [
            Act(verb="bind", name=queue, source=name, key=key)
            for queue in sorted(queues)
            for key in by_key
        ],
    }


###
### As text
###


def as_table(told: Picture) -> str:
    """For Markdown."""
    heads = ["exchange or queue", *told.users]
    lines = [_row(heads), _row(["---"] * len(heads))]
    lines += [_row([f"`{name}`", *map(" ".join, cells)]) for name, cells in told.rows.items()]
    return "\n".join(lines) + "\n"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


###
### As SVG
###


_FILLS: Final = dict(
    zip(LETTERS, ("#7a5195", "#2f7ed8", "#8bbc21", "#f28f43", "#c42525", "#e05fb0"), strict=True)
)
_BOX: Final = 14
_CELL: Final = (len(LETTERS) * (_BOX + 2) + 8, 20)
_LEFT: Final = 250
_TOP: Final = 130
_LEGEND: Final = 18


def as_svg(told: Picture) -> str:
    """A box of its own colour for each letter, where it may."""
    width = _LEFT + _CELL[0] * len(told.users) + 60
    bottom = _TOP + _CELL[1] * len(told.rows)
    height = bottom + _LEGEND * (len(LETTERS) + 1)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *_drawn_heads(told.users, bottom),
            *_drawn_rows(told),
            *_drawn_legend(bottom),
            "</svg>\n",
        ]
    )


def _drawn_heads(users: Iterable[str], bottom: int) -> Iterator[str]:
    for column, user in enumerate(users):
        x = _LEFT + _CELL[0] * column
        at = f"{x + 14} {_TOP - 12}"
        yield f'<text transform="translate({at}) rotate(-40)">{escape(user)}</text>'
        yield f'<path d="M{x} {_TOP} V{bottom}" stroke="#bbb"/>'


def _drawn_rows(told: Picture) -> Iterator[str]:
    right = _LEFT + _CELL[0] * len(told.users)
    for row, (name, cells) in enumerate(told.rows.items()):
        y = _TOP + _CELL[1] * row
        yield f'<path d="M10 {y} H{right}" stroke="#ddd"/>'
        yield f'<text x="12" y="{y + 14}">{escape(name)}</text>'
        for column, letters in enumerate(cells):
            yield from _drawn_cell(f"{told.users[column]}, {name}", letters, (column, y))


def _drawn_cell(title: str, letters: str, at: tuple[int, int]) -> Iterator[str]:
    column, y = at
    for place, letter in enumerate(LETTERS):
        if letter in letters:
            x = _LEFT + _CELL[0] * column + 5 + place * (_BOX + 2)
            said = escape(f"{title}: {LETTERS[letter]}")
            yield _drawn_letter(letter, x, y + 3, f"<title>{said}</title>")


def _drawn_legend(bottom: int) -> Iterator[str]:
    for place, (letter, said) in enumerate(LETTERS.items()):
        y = bottom + 14 + _LEGEND * place
        yield _drawn_letter(letter, 12, y)
        yield f'<text x="34" y="{y + 11}">{escape(said)}</text>'


def _drawn_letter(letter: str, x: int, y: int, title: str = "") -> str:
    box = f'x="{x}" y="{y}" width="{_BOX}" height="{_BOX}" rx="2" fill="{_FILLS[letter]}"'
    text = f'x="{x + _BOX // 2}" y="{y + 11}" text-anchor="middle" fill="white" font-size="10"'
    return f"<g>{title}<rect {box}/><text {text}>{letter}</text></g>"
