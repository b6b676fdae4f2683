"""Databases with a role's tables. A SQLite file is copied: migrating takes as long as a test."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import migrations


async def migrate(role: migrations.Role, url: str) -> None:
    if _is_new_file(url):
        empty = _folder() / role
        if _is_new_file(f"sqlite:///{empty}"):
            await migrations.upgrade(role, f"sqlite:///{empty}")
        shutil.copy(empty, url.removeprefix("sqlite:///"))
    else:
        await migrations.upgrade(role, url)


def _is_new_file(url: str) -> bool:
    return url.startswith("sqlite") and not Path(url.removeprefix("sqlite:///")).exists()


@cache
def _folder() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="warren-migrated-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
