"""The two distributions, built from this tree."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZipFile

TREE = Path(__file__).parents[2]
CLIENT = TREE / "contracts"
EXAMPLE = CLIENT / "examples" / "first_signature.py"


def build(project: Path, folder: Path) -> Path:
    """Without a build environment, which would have to be fetched: hatchling is installed."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [wheel] = folder.glob("*.whl")
    return wheel


def project(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    return table


def contents(wheel: Path) -> dict[PurePosixPath, bytes]:
    """Without the metadata."""
    with ZipFile(wheel) as opened:
        return {
            PurePosixPath(name): opened.read(name)
            for name in opened.namelist()
            if ".dist-info/" not in name
        }


def imported(source: bytes) -> Iterator[str]:
    """The top-level names that a module imports absolutely, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]
