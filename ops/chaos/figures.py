"""What a run comes to in numbers: latencies during and between faults, and how fast it recovers."""

from __future__ import annotations

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from contracts.requests import SignRequest
from ops.bench.latency import Latency, summarise

from .facts import Asked, Facts, Struck
from .faults import Kind

AFTERSHOCK_S = 2.0
"""A fault still counts as going on for so long: restarts and reconnections are part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """Of the faults of one kind, seconds; the worst of them.

    Attributes:
        beside: Kinds that struck with them, while they lasted.
        struck: How many of them hit anything.
        gap_s: The longest time in which a signature was awaited and none came, from a fault's
            beginning until its aftershock is over.
        success_s: From a fault's end until the next request ended well.
        caught_up_s: From there until all that had been asked by then was answered.
    """

    kind: Kind
    beside: tuple[Kind, ...]
    count: int
    struck: int
    gap_s: float
    success_s: float | None
    caught_up_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    Attributes:
        repeated: Results that came again.
        late: Requests that were answered later than a client of the library would have waited.
        during, between: Faults; of what ended well, in ms.
    """

    requests: int
    by_operation: dict[str, int]
    by_ending: dict[str, int]
    repeated: int
    late: int
    during: Latency | None
    between: Latency | None
    recoveries: list[Recovery]


def figures(facts: Facts) -> Figures:
    during: list[float] = []
    between: list[float] = []
    operations: defaultdict[str, int] = defaultdict(int)
    endings: defaultdict[str, int] = defaultdict(int)
    for request_id, asked in facts.asked.items():
        operations[_operation(asked)] += 1
        answers = facts.answers.get(request_id)
        if not answers:
            endings["none"] += 1
            continue
        result = json.loads(answers[0].body)
        failure = result.get("failure")
        endings[result["status"] if failure is None else failure["code"]] += 1
        if result["status"] == "completed":
            shaken = any(_overlaps(each, asked.asked_s, answers[0].at_s) for each in facts.struck)
            (during if shaken else between).append(answers[0].at_s - asked.asked_s)
    return Figures(
        requests=len(facts.asked),
        by_operation=dict(sorted(operations.items())),
        by_ending=dict(sorted(endings.items())),
        repeated=sum(len(answers) - 1 for answers in facts.answers.values()),
        late=sum(
            answers[0].at_s > facts.asked[request_id].given_up_s
            for request_id, answers in facts.answers.items()
            if request_id in facts.asked and answers
        ),
        during=summarise(during),
        between=summarise(between),
        recoveries=_recoveries(facts),
    )


def _overlaps(struck: Struck, began_s: float, ended_s: float) -> bool:
    return began_s <= struck.ended_s + AFTERSHOCK_S and ended_s >= struck.began_s


def _recoveries(facts: Facts) -> list[Recovery]:
    ended = sorted(
        (answers[0].at_s, facts.asked[request_id].asked_s, _completed(answers[0].body))
        for request_id, answers in facts.answers.items()
        if request_id in facts.asked and answers
    )
    signed: list[float] = []
    awaited: list[tuple[float, float]] = []
    for request_id, asked in facts.asked.items():
        if isinstance(asked.request, SignRequest):
            answers = facts.answers.get(request_id)
            awaited.append((asked.asked_s, answers[0].at_s if answers else math.inf))
            if answers and _completed(answers[0].body):
                signed.append(answers[0].at_s)
    signed.sort()
    alike: defaultdict[tuple[Kind, tuple[Kind, ...]], list[Struck]] = defaultdict(list)
    for each in facts.struck:
        beside = {
            other.kind
            for other in facts.struck
            if other.began_s <= each.ended_s and each.began_s <= other.ended_s
        }
        alike[each.kind, tuple(sorted(beside - {each.kind}))].append(each)
    return [
        Recovery(
            kind=kind,
            beside=beside,
            count=len(struck),
            struck=sum(each.hits > 0 for each in struck),
            gap_s=max(_longest_gap(signed, awaited, each) for each in struck),
            success_s=_worst([_next_success(ended, each.ended_s) for each in struck]),
            caught_up_s=_worst([_caught_up(ended, each.ended_s) for each in struck]),
        )
        for (kind, beside), struck in sorted(alike.items())
    ]


def _longest_gap(
    signed: Sequence[float], awaited: Sequence[tuple[float, float]], struck: Struck
) -> float:
    """
    Args:
        signed: When signatures came, in order.
        awaited: From when until when one was waited for. Where nobody waits, as after the load's
            end, that none comes says nothing.
    """
    over_s = struck.ended_s + AFTERSHOCK_S
    within = [at_s for at_s in signed if struck.began_s <= at_s <= over_s]
    longest_s = 0.0
    for earlier, later in itertools.pairwise([struck.began_s, *within, over_s]):
        since_s = min((asked_s for asked_s, ended_s in awaited if ended_s > earlier), default=later)
        longest_s = max(longest_s, later - max(earlier, since_s))
    return longest_s


def _next_success(ended: Sequence[tuple[float, float, bool]], since_s: float) -> float | None:
    after = [at_s - since_s for at_s, _, completed in ended if completed and at_s >= since_s]
    return min(after, default=None)


def _caught_up(ended: Sequence[tuple[float, float, bool]], since_s: float) -> float | None:
    behind = [at_s - since_s for at_s, asked_s, _ in ended if asked_s <= since_s <= at_s]
    return max(behind, default=0.0)


def _worst(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known, default=None)


def _completed(body: bytes) -> bool:
    return bool(json.loads(body)["status"] == "completed")


def _operation(asked: Asked) -> str:
    scheme = getattr(asked.request, "scheme", None) or getattr(asked.request, "curve", None)
    items = getattr(asked.request, "items", None)
    words = [asked.request.operation, *([scheme.value] if scheme else [])]
    return " ".join([*words, *(["list"] if items else [])])
