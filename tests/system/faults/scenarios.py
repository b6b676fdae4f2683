"""Which faults bring out which broken promise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ops.chaos.faults import Kind
from ops.chaos.schedule import Injection

LASTS_S = 6.0
KEYGEN: Mapping[str, float] = {"keygen": 1}
SIGNING: Mapping[str, float] = {"ed25519": 2, "ecdsa": 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    Attributes:
        faults: One after another, each with its target and how long it lasts.
        breaks: The rule of which the harness must report a violation.
    """

    faults: tuple[tuple[Kind, str, float], ...]
    breaks: str
    mix: Mapping[str, float]
    rate_per_s: float = 4.0
    lifetime_s: float = 20.0
    cancelled: float = 0.0

    def injections(self) -> Iterator[Injection]:
        at_s = 0.2
        for kind, target, lasts_s in self.faults:
            yield Injection(at_s=at_s, kind=kind, target=target, lasts_s=lasts_s, seed=1)
            at_s += lasts_s


MUTATED: Mapping[str, Scenario] = {
    "inbox": Scenario(
        faults=((Kind.EQUIVOCATOR, "party-1", 5.5),),
        breaks="believed",
        mix=KEYGEN,
    ),
    "order": Scenario(
        faults=(
            (Kind.BEFORE_COMMIT, "party-1.keygen.1", 2.0),
            (Kind.BEFORE_COMMIT, "party-3.keygen.1", 2.0),
        ),
        breaks="two bytes",
        mix=KEYGEN,
    ),
    "tombstone": Scenario(
        faults=((Kind.SILENT, "party-3", 5.5),),
        breaks="left over",
        mix=KEYGEN,
        cancelled=1.0,
    ),
    "once": Scenario(
        faults=((Kind.GREEDY, "", 5.0),),
        breaks="twice",
        mix=SIGNING,
    ),
    "parking": Scenario(
        faults=((Kind.WEATHER, "party-1", 5.5),),
        breaks="unexplained",
        mix=KEYGEN,
        lifetime_s=5.0,
    ),
}
