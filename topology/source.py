"""YAML in which every value still knows its line.

Built on the node graph rather than on loaded data: nodes carry marks and tags, a key that
stands twice is still visible, and ``1`` is not yet an integer that lost its leading zeros.
A reader of a bad value records the problem and answers with something empty; callers go on,
and `Problems.raise_if_any` sees to it that the emptiness is never used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources.abc import Traversable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from topology.problems import Place, Problems, did_you_mean

_TAG = "tag:yaml.org,2002:"
_KINDS = {
    "str": "a text",
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "map": "a mapping",
    "seq": "a list",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One YAML value.

    Attributes:
        place: Where its key stands, or the value itself inside a list.
        called: What messages call it, for example ``queue "warren.reports": bindings``.
        over: Another file's mapping at the same place, whose values stand instead of these.
    """

    node: Node
    place: Place
    called: str
    problems: Problems
    over: Entry | None = None

    def under(self, upper: Entry) -> Entry:
        """What stands here once the other is laid over it: of two mappings, the keys of both; of
        all else, the other."""
        mappings = isinstance(self.node, MappingNode) and isinstance(upper.node, MappingNode)
        return replace(self, over=upper) if mappings else upper

    def fields(self, allowed: Iterable[str]) -> dict[str, Entry]:
        """The values of a mapping whose keys are fixed words."""
        known = tuple(allowed)
        values = self.named("{}")
        for key in [key for key in values if key not in known]:
            wrong = values.pop(key)
            self._problem(f'unknown key "{key}"{did_you_mean(key, known)}', wrong.place)
        return values

    def named(self, called: str) -> dict[str, Entry]:
        """The values of a mapping whose keys are names; ``{}`` in `called` becomes the name."""
        if not isinstance(self.node, MappingNode):
            self._wrong("a mapping")
            return {}
        values: dict[str, Entry] = {}
        for key_node, value_node in self.node.value:
            place = Place(self.place.file, key_node.start_mark.line + 1)
            if _kind(key_node) != "str":
                self._problem("every key has to be a text; put it in quotes", place)
                continue
            key = str(key_node.value)
            if key in values:
                text = f'key "{key}" stands here twice, first in line {values[key].place.line}'
                self._problem(text, place)
                continue
            inner = f"{self.called}: {key}" if called == "{}" else called.format(f'"{key}"')
            values[key] = Entry(value_node, place, inner.removeprefix(": "), self.problems)
        for key, upper in self.over.named(called).items() if self.over else ():
            values[key] = values[key].under(upper) if key in values else upper
        return values

    def items(self) -> list[Entry]:
        """The entries of a list; none, and a problem noted, if it is something else."""
        if not isinstance(self.node, SequenceNode):
            self._wrong("a list")
            return []
        return [
            Entry(
                item, Place(self.place.file, item.start_mark.line + 1), self.called, self.problems
            )
            for item in self.node.value
        ]

    def is_text(self) -> bool:
        """Whether it is a single value, rather than a list or a mapping."""
        return isinstance(self.node, ScalarNode)

    def text(self) -> str:
        """The text; empty, and a problem noted, if it is something else."""
        if _kind(self.node) != "str":
            hint = "; put it in quotes" if isinstance(self.node, ScalarNode) else ""
            self._wrong("a text", hint)
            return ""
        return str(self.node.value)

    def integer(self) -> int:
        """The number; 0, and a problem noted, if it is something else."""
        if _kind(self.node) != "int" or not re.fullmatch(r"-?[0-9]{1,18}", self.node.value):
            self._wrong("a whole number")
            return 0
        return int(self.node.value)

    def scalar(self) -> str | int | bool:
        """A text, a whole number or a truth value, as an argument of a queue may be."""
        match _kind(self.node):
            case "bool":
                return str(self.node.value).lower() == "true"
            case "int":
                return self.integer()
            case _:
                return self.text()

    def problem(self, text: str) -> None:
        """Note a problem with this place."""
        self._problem(text, self.place)

    def _problem(self, text: str, place: Place) -> None:
        self.problems.add(place, f"{self.called}: {text}" if self.called else text)

    def _wrong(self, wanted: str, hint: str = "") -> None:
        shown = self.node.value if isinstance(self.node, ScalarNode) else ""
        kind = _KINDS.get(_kind(self.node), "something else")
        self.problem(f"has to be {wanted}, but {shown} is {kind}{hint}".replace("  ", " "))


def read(file: Traversable, problems: Problems, *, name: str) -> Entry | None:
    """The one document of a file, or None with a problem recorded."""
    try:
        node = _composed(file.read_text(encoding="utf-8"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problems.add(Place(name, line), f"not YAML: {error.problem or error.context}")
    except (YAMLError, UnicodeDecodeError):
        problems.add(Place(name, 1), "not YAML in UTF-8")
    except RecursionError:
        problems.add(Place(name, 1), "is nested too deeply")
    except OSError as error:
        problems.add(Place(name, 1), f"cannot be read: {error.strerror}")
    else:
        if node is not None:
            return Entry(node, Place(name, node.start_mark.line + 1), "", problems)
        problems.add(Place(name, 1), "the file is empty")
    return None


@lru_cache(maxsize=64)  # few files, each read again and again; nobody changes a node
def _composed(text: str) -> Node | None:
    node: Node | None = YAML(typ="safe", pure=True).compose(text)
    return node


def write(content: Mapping[str, object], file: Path) -> None:
    """As YAML that `read` reads back."""
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel types it None
    with file.open("w", encoding="utf-8") as out:
        yaml.dump(dict(content), out)


def _kind(node: Node) -> str:
    return str(node.tag).removeprefix(_TAG)
