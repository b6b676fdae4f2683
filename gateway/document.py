"""The OpenAPI document beside this module, and whether it is that of this code."""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).with_name("openapi.json")


def text() -> str:
    """The OpenAPI document, as it stands in the tree and at `/openapi.json`."""
    from .app import described  # takes a second

    return json.dumps(described().openapi(), indent=2, ensure_ascii=False) + "\n"


def is_stale() -> bool:
    """Whether the document in the tree is not what the code would write."""
    return not PATH.exists() or PATH.read_text() != text()


def write() -> None:
    """Put the document into the tree."""
    PATH.write_text(text())
