"""Which fault strikes when: a pure function of the seed, so that a bad run can be had again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from random import Random

from .faults import TRAITS, Kind

FIRST_AFTER_S = 4.0
LAST_BEFORE_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Injection:
    """One fault that is to strike.

    Attributes:
        at_s: From the beginning of the load. Later if the one before took longer than planned.
        target: As in `Traits.targets`; "" where there was nothing to choose.
        seed: For what the fault does at random while it lasts.
    """

    at_s: float
    kind: Kind
    target: str
    lasts_s: float
    seed: int

    def __str__(self) -> str:
        words = [f"{self.at_s:6.1f} s", self.kind.value]
        if self.target:
            words.append(self.target)
        if self.lasts_s:
            words.append(f"for {self.lasts_s:.1f} s")
        return "  ".join(words)


def schedule(
    seed: int,
    seconds: float,
    kinds: Collection[Kind] = tuple(Kind),
    *,
    gap_s: tuple[float, float] = (3.0, 7.0),
    haste: float = 1.0,
) -> tuple[Injection, ...]:
    """One fault after another with a gap between them: each kind once in random order, then again.

    Arguments:
        kinds: Those to choose from; their order does not matter.
        haste: What lasts, lasts so many times shorter.
    """
    random = Random(seed)
    return tuple(_until(seconds - LAST_BEFORE_S, random, sorted(kinds), gap_s, haste))


def _until(
    end_s: float,
    random: Random,
    kinds: list[Kind],
    gap_s: tuple[float, float],
    haste: float,
) -> Iterator[Injection]:
    at_s = FIRST_AFTER_S
    while kinds:
        for kind in random.sample(kinds, len(kinds)):
            traits = TRAITS[kind]
            lasts_s = round(random.uniform(*traits.lasts_s) / haste, 1)
            target = random.choice(traits.targets) if traits.targets else ""
            if at_s + lasts_s > end_s:
                return
            yield Injection(
                at_s=round(at_s, 1),
                kind=kind,
                target=target,
                lasts_s=lasts_s,
                seed=random.getrandbits(32),
            )
            at_s += lasts_s + random.uniform(*gap_s)
