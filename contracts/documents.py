"""The generated documents: for people and programs that do not read Python.

In `schemas/` the JSON Schema and AsyncAPI of the messages, in `vectors/` what our code makes of
fixed input, and in `typescript/` what the TypeScript client has of both. ``warren docs`` writes
them, ``warren docs --check`` tells whether they are those of this code.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import typescript_types, vectors
from .asyncapi import asyncapi_document
from .json_schema import SCHEMAS, json_schema

FOLDER = Path(__file__).parent / "schemas"

Documents = Mapping[str, str]
"""File name -> text."""


def documents() -> dict[str, str]:
    """Those in `schemas/`."""
    schemas = {f"{name}.json": json_schema(name) for name in SCHEMAS}
    return {
        name: _text(document)
        for name, document in {**schemas, "asyncapi.json": asyncapi_document()}.items()
    }


FOLDERS: Mapping[Path, Callable[[], Documents]] = {
    FOLDER: documents,
    vectors.FOLDER: vectors.documents,
    typescript_types.FOLDER: typescript_types.documents,
}
"""Folder -> what is to stand in it."""


def write(folder: Path = FOLDER) -> list[str]:
    """Make the folder hold its documents and no others of their kind. Returns what differed."""
    wanted = _wanted(folder)
    differing = _differing(folder, wanted)
    folder.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (folder / name).write_text(wanted[name])
        else:
            (folder / name).unlink()
    return differing


def check(folder: Path = FOLDER) -> list[str]:
    """The names of files that are missing, stale or not among those wanted."""
    return _differing(folder, _wanted(folder))


def _wanted(folder: Path) -> Documents:
    return FOLDERS.get(folder, documents)()


def _differing(folder: Path, wanted: Documents) -> list[str]:
    kinds = {Path(name).suffix for name in wanted}
    found = {
        path.name: path.read_text()
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.suffix in kinds
    }
    return sorted(
        name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)
    )


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
