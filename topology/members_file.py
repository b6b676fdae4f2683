"""Changes to a members file, which keep what people wrote into it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from topology.files import read_members
from topology.model import Members
from topology.problems import Problems, TopologyError

_LOGINS: Final = "logins"


def load(path: Path) -> Members:
    """Raises InvalidTopologyError."""
    problems = Problems()
    members = read_members(path, problems)
    problems.raise_if_any()
    return members


def add(path: Path, group: str, member: str) -> None:
    """Does nothing if it stands there. Raises TopologyError."""

    def change(content: Any) -> bool:
        listed = content.setdefault(group, [])
        if member in listed:
            return False
        listed.append(member)
        return True

    _change(path, change)


def remove(path: Path, group: str, member: str) -> None:
    """With its logins. Does nothing if it is gone. Raises TopologyError."""

    def change(content: Any) -> bool:
        listed = content.get(group) or []
        there = member in listed
        if there:
            listed.remove(member)
        return _without_logins(content, member) or there

    _change(path, change)


def set_logins(path: Path, member: str, numbers: tuple[int, ...]) -> None:
    """The numbers of a client's broker users. Raises TopologyError."""

    def change(content: Any) -> bool:
        if numbers == (1,):
            return _without_logins(content, member)
        logins = content.setdefault(_LOGINS, {})
        if list(logins.get(member, ())) == list(numbers):
            return False
        logins[member] = list(numbers)
        return True

    _change(path, change)


def _without_logins(content: Any, member: str) -> bool:
    logins = content.get(_LOGINS) or {}
    if member not in logins:
        return False
    del logins[member]
    if not logins:
        del content[_LOGINS]
    return True


def _change(path: Path, change: Callable[[Any], bool]) -> None:
    """Whole, or not at all; and only to what can be read again."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"))
        if not change(content):
            return
        with fresh.open("w", encoding="utf-8") as file:
            yaml.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        try:
            load(fresh)
        except TopologyError:
            fresh.unlink()
            raise
        fresh.chmod(path.stat().st_mode & 0o777)
        fresh.replace(path)
    except OSError as error:
        raise TopologyError(f"{path}: {error.strerror}") from None
    except (YAMLError, AttributeError):
        raise TopologyError(f"{path} is no members file") from None
