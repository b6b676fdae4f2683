"""Configuration files of any role: read as tables, and told apart."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from workers.settings import SettingsError


class Role(StrEnum):
    """Whose configuration file it is."""

    PARTY = "party"
    COORDINATOR = "coordinator"
    GATEWAY = "gateway"
    CLIENT = "client"


Tables: TypeAlias = Mapping[str, Any]
"""A configuration file's, as read."""


def read(config: Path) -> Tables:
    """Raises SettingsError."""
    try:
        with config.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        _refuse(f"{config}: {error.strerror}")
    except tomllib.TOMLDecodeError as error:
        _refuse(f"{config}: not TOML: {error}")
    except UnicodeDecodeError:
        _refuse(f"{config}: not TOML: not UTF-8 text")


def role_of(config: Path, tables: Tables) -> Role:
    """A gateway's file has its client's tables as well, and a coordinator's may lack its own.
    Raises SettingsError."""
    for role in (Role.PARTY, Role.GATEWAY, Role.CLIENT, Role.COORDINATOR):
        if role.value in tables:
            return role
    if "parties" not in tables:
        _refuse(
            f"{config}: has none of the tables [party], [coordinator], [gateway] and [client], by "
            "which it is told whose it is"
        )
    return Role.COORDINATOR


def section(tables: Tables, name: str) -> Tables:
    """One of its tables. Where it is anything else, its settings say so."""
    found = tables.get(name)
    return found if isinstance(found, dict) else {}


def _refuse(text: str) -> NoReturn:
    raise SettingsError(text)
