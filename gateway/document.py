"""The OpenAPI document beside this module, and whether it is that of this code."""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).with_name("openapi.json")


def text() -> str:
    from .app import described  # takes a second

    return json.dumps(described().openapi(), indent=2, ensure_ascii=False) + "\n"


def is_stale() -> bool:
    return not PATH.exists() or PATH.read_text() != text()


def write() -> None:
    PATH.write_text(text())
