"""Vectors for clients in any language: what our own code makes of fixed input.

``warren docs`` writes them beside this file, and the tests of the Python and of the TypeScript
client read them. Everything in them is public, the private keys too: they are nobody's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from . import answers, encodings, histories, proven, rehearsals, spoken

FOLDER = Path(__file__).parent

FILES: Mapping[str, Callable[[], Any]] = {
    "packing": encodings.packing,
    "strict_json": encodings.strict_json,
    "requests": spoken.requests,
    "coordinators": spoken.coordinators,
    "sessions": spoken.sessions,
    "children": proven.children,
    "certificates": proven.certificates,
    "signatures": proven.signatures,
    "statements": proven.statements,
    "retirements": histories.retirements,
    "rehearsals": rehearsals.rehearsals,
    "results": answers.results,
}


def documents() -> dict[str, str]:
    """File name -> text."""
    return {
        f"{name}.json": json.dumps(make(), indent=1, ensure_ascii=False) + "\n"
        for name, make in FILES.items()
    }
