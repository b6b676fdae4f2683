"""The generated documents in `schemas/`: for people and programs that do not read Python.

``warren docs`` writes them, ``warren docs --check`` tells whether they are those of this code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .asyncapi import asyncapi_document
from .json_schema import SCHEMAS, json_schema

FOLDER = Path(__file__).parent / "schemas"


def documents() -> dict[str, str]:
    """File name -> text."""
    schemas = {f"{name}.json": json_schema(name) for name in SCHEMAS}
    return {
        name: _text(document)
        for name, document in {**schemas, "asyncapi.json": asyncapi_document()}.items()
    }


def write(folder: Path = FOLDER) -> list[str]:
    """Make the folder hold these documents and no other JSON. Returns what differed."""
    differing = check(folder)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = documents()
    for name in differing:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return differing


def check(folder: Path = FOLDER) -> list[str]:
    """The names of files that are missing, stale or not among `documents`."""
    wanted = documents()
    found = {path.name: path.read_text() for path in folder.glob("*.json")}
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
