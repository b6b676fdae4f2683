"""Configuration files of a deployment: each its owner's alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def write(
    path: Path, tables: Mapping[str, Mapping[str, Any] | Sequence[Mapping[str, Any]]]
) -> None:
    """A new TOML file."""
    lines: list[str] = []
    for name, content in tables.items():
        alone = isinstance(content, Mapping)
        for table in [content] if isinstance(content, Mapping) else content:
            lines.append(f"[{name}]" if alone else f"[[{name}]]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
            lines.append("")
    write_secret(path, "\n".join(lines))


def write_secret(path: Path, text: str) -> None:
    """A new file that nobody else can read."""
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(text + "\n")
