"""Which fault strikes when: a pure function of the seed, so that a bad run can be had again."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from random import Random

from .faults import TRAITS, Kind, claims

FIRST_AFTER_S = 4.0
LAST_BEFORE_S = 4.0
ALONGSIDE_WITHIN_S = 1.0
"""What is over in an instant has others strike so soon after it, while workers start again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault that is to strike.

    Attributes:
        at_s: From the beginning of the load. Later if those before took longer than planned.
        target: As in `Traits.targets`; "" where there was nothing to choose.
        seed: For what the fault does at random while it lasts.
        alongside: It strikes while the one before it lasts. Others wait until all are over.
    """

    at_s: float
    kind: Kind
    target: str
    lasts_s: float
    seed: int
    alongside: bool = False

    @property
    def ends_s(self) -> float:
        return self.at_s + self.lasts_s

    def __str__(self) -> str:
        words = [f"{self.at_s:6.1f} s", self.kind.value]
        if self.target:
            words.append(self.target)
        if self.lasts_s:
            words.append(f"for {self.lasts_s:.1f} s")
        if self.alongside:
            words.append("(alongside)")
        return "  ".join(words)


def schedule(
    seed: int,
    seconds: float,
    kinds: Collection[Kind] = tuple(Kind),
    *,
    gap_s: tuple[float, float] = (3.0, 7.0),
    haste: float = 1.0,
    overlap: float = 0.0,
) -> tuple[Injection, ...]:
    """One fault after another with a gap between them: each kind once in random order, then again.

    Arguments:
        kinds: Those to choose from; their order does not matter.
        haste: What lasts, lasts so many times shorter.
        overlap: The chance of each that another strikes while it lasts.
    """
    random = Random(seed)
    turns = _Turns(random, sorted(kinds), haste)
    end_s = seconds - LAST_BEFORE_S
    return tuple(itertools.chain.from_iterable(_until(end_s, random, turns, gap_s, overlap)))


class _Turns:
    """Each kind has its turn once in random order, then again. What cannot strike now keeps it."""

    def __init__(self, random: Random, kinds: list[Kind], haste: float) -> None:
        self._random = random
        self._kinds = kinds
        self._haste = haste
        self._waiting: list[Injection] = []

    def next(self, at_s: float, beside: Injection | None = None) -> Injection | None:
        """None if there is nothing to strike, or nothing that could beside that one."""
        if not self._waiting:
            kinds = self._random.sample(self._kinds, len(self._kinds))
            self._waiting = [self._drawn(kind) for kind in kinds]
        taken: frozenset[str] = frozenset()
        if beside is not None:
            taken = claims(beside.kind, beside.target)
        for each in self._waiting:
            if taken.isdisjoint(claims(each.kind, each.target)):
                self._waiting.remove(each)
                return replace(each, at_s=round(at_s, 1), alongside=beside is not None)
        return None

    def _drawn(self, kind: Kind) -> Injection:
        traits, random = TRAITS[kind], self._random
        return Injection(
            at_s=0,
            kind=kind,
            target=random.choice(traits.targets) if traits.targets else "",
            lasts_s=round(random.uniform(*traits.lasts_s) / self._haste, 1),
            seed=random.getrandbits(32),
        )


def _until(
    end_s: float, random: Random, turns: _Turns, gap_s: tuple[float, float], overlap: float
) -> Iterator[list[Injection]]:
    """Those that strike together, the one that begins before first."""
    at_s = FIRST_AFTER_S
    while first := turns.next(at_s):
        together = [first]
        if random.random() < overlap:
            within_s = max(first.lasts_s, ALONGSIDE_WITHIN_S)
            other = turns.next(first.at_s + random.uniform(0, within_s), beside=first)
            together += [other] if other else []
        over_s = max(each.ends_s for each in together)
        if over_s > end_s:
            return
        yield together
        at_s = over_s + random.uniform(*gap_s)
