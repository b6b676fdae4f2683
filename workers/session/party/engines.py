"""What a party plays: an engine for each protocol of several rounds."""

from __future__ import annotations

from collections.abc import Mapping

from ..protocols import KEYGEN, OF_ROUNDS, PRESIGN, RESHARE, complete
from . import keygen, presigning, resharing
from .engine import Engine

ENGINES: Mapping[str, Engine] = {
    each.protocol.name: each
    for each in (
        Engine(KEYGEN, keygen.PLAYS),
        Engine(PRESIGN, presigning.PLAYS, slow=True),
        Engine(RESHARE, resharing.PLAYS),
    )
}

complete("engines of a party", ENGINES, OF_ROUNDS)
