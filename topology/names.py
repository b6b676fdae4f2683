"""Lists of names as the regular expressions that RabbitMQ wants, and back again.

A name is literal but for ``{id}``, which is any one id. So is a key, in which ``*`` is the star of
a binding. What comes from here is escaped and
anchored; what was written by hand and is not is told apart, because it cannot be read back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from topology.model import ID

ANY_ID: Final = "{id}"
ANY_KEY: Final = "#"
"""Of routing keys: any at all. It stands alone, so that no list hides it."""
NOTHING: Final = "^$"
_ANYTHING: Final = "^.*$"
_PARTS: Final = re.compile(r"^\^\(\?:(.*)\)\$$", re.DOTALL)
_NAME: Final = re.compile(r"(?:[A-Za-z0-9_.-]|\{id\}){1,255}")
_KEY: Final = re.compile(r"(?:[A-Za-z0-9_.*-]|\{id\}){1,255}")


def pattern(names: Iterable[str]) -> str:
    """A regular expression for exactly these names."""
    listed = tuple(names)
    if not listed:
        return NOTHING
    if listed == (ANY_KEY,):
        return _ANYTHING
    return f"^(?:{'|'.join(map(_one, listed))})$"


@lru_cache(maxsize=4096)
def names_of(regex: str) -> tuple[str, ...] | None:
    """The names that `pattern` made this of; None if it did not: then it may match anything."""
    if regex in ("", NOTHING):  # to RabbitMQ the two are the same
        return ()
    if regex == _ANYTHING:
        return (ANY_KEY,)
    inner = _PARTS.match(regex)
    if inner is None:
        return None
    each = inner[1].split("|")  # none of them has one of its own
    names = tuple(re.sub(r"\\(.)", r"\1", one.replace(ID, ANY_ID)) for one in each)
    return names if pattern(names) == regex and all(map(is_key, names)) else None


def is_name(text: str) -> bool:
    """Whether the text is a name, with or without ``{id}``."""
    return _NAME.fullmatch(text) is not None


def is_key(text: str) -> bool:
    """Whether the text is a routing key, or that of a binding, with or without ``{id}``."""
    return _KEY.fullmatch(text) is not None


def covers(outer: Iterable[str], inner: str) -> bool:
    """Whether whatever the form `inner` stands for is also named by one of `outer`."""
    return any(form == ANY_KEY or _covers(form, inner) for form in outer)


def matches(regex: str, name: str) -> bool:
    """Whether RabbitMQ takes the name for one of these; one that it alone can read, for all."""
    try:
        return re.search(regex or NOTHING, name) is not None
    except re.error:
        return True


def _covers(outer: str, inner: str) -> bool:
    if outer == inner:
        return True
    if ANY_ID not in outer:
        return False
    form = f"(?:{ID}|{re.escape(ANY_ID)})".join(map(re.escape, outer.split(ANY_ID)))
    return re.fullmatch(form, inner) is not None


def _one(name: str) -> str:
    return ID.join(re.escape(part) for part in name.split(ANY_ID))
