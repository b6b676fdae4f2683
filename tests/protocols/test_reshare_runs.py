"""Any committees, any liars, any weather: a reshare ends in a new epoch that signs, or is told why.

Each run draws the old and the new committee, who lies and how, what is dropped, doubled and
reordered. It ends with every t of the new epoch signing under the old key, or with a culprit, a
disputed pair, a silent member or an echo mismatch, and then the old epoch signs as it did.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from math import comb

import pytest

from workers.protocols import frost, reshare
from workers.protocols.groups import ED25519, SECP256K1, Group
from workers.protocols.key_share import KeyShare
from workers.protocols.rounds import (
    DisputeError,
    EchoMismatchError,
    PartyFaultError,
    PartyIndex,
)

from .frost_signing import Signing
from .reshare_lies import (
    OF_ECHOES,
    OF_SHARES,
    pick,
)
from .reshare_parties import (
    Lie,
    ReshareParty,
    Slot,
    parameters_of,
    parties_of,
)
from .simulate import Weather, index, indices, random_key, run

RUNS = 200
FEW = 50
"""The rest is `long`."""
SUITES = {SECP256K1: "bip340", ED25519: "ed25519"}
RELATIONS = ("disjoint", "overlapping", "equal", "growing", "shrinking")
SUBSETS = 4
"""Of a large epoch that sign: all of a small one's do."""


@dataclass
class Run:
    """What is drawn of one run.

    Attributes:
        keys: The old epoch, by index.
        members: In any order; a party's new index has nothing to do with its old one.
        lies: By place.
        edges: (slot, sender, recipient) of what the network drops, and of what it doubles.
    """

    chooser: random.Random
    group: Group
    keys: dict[PartyIndex, KeyShare]
    members: list[reshare.Member]
    threshold: int
    lies: dict[PartyIndex, Lie] = field(default_factory=dict)
    drops: set[tuple[int, int, int]] = field(default_factory=set)
    doubles: set[tuple[int, int, int]] = field(default_factory=set)

    def parties(self) -> dict[PartyIndex, ReshareParty]:
        return parties_of(
            self.keys, parameters_of(self.keys, self.members, self.threshold), self.lies
        )

    def weather(self) -> Weather:
        return Weather(choose=self.chooser.randrange, drops=self.drops, doubles=self.doubles)


def drawn(seed: int) -> Run:
    chooser = random.Random(seed)
    group = chooser.choice([SECP256K1, ED25519])
    most = 20 if seed % 19 == 0 else chooser.choice([3, 5, 7])  # the largest cost a second each
    n = 20 if most == 20 else chooser.randint(2, most)
    t = chooser.randint(2, min(n, 10))
    keys = random_key(group, t, n, ("old", seed))
    receivers = new_committee(chooser, seed, n, most)
    threshold = chooser.randint(2, min(len(receivers), 10))
    made = Run(
        chooser=chooser,
        group=group,
        keys=keys,
        members=members_of(chooser, t, n, receivers),
        threshold=threshold,
    )
    disturb(made, seed)
    return made


def new_committee(chooser: random.Random, seed: int, n: int, most: int) -> list[int]:
    """Old indices of those who receive, 0 for newcomers, in the order of the new indices."""
    old = list(range(1, n + 1))
    match RELATIONS[seed % len(RELATIONS)]:
        case "disjoint":
            receivers = [0] * chooser.randint(2, most)
        case "equal":
            receivers = old
        case "growing":
            receivers = old + [0] * chooser.randint(1, max(1, most - n))
        case "shrinking":
            receivers = chooser.sample(old, chooser.randint(2, n))
        case _:
            stay = chooser.randint(1, n)
            receivers = chooser.sample(old, stay) + [0] * chooser.randint(1, max(1, most - stay))
    receivers = receivers[:20]
    chooser.shuffle(receivers)
    return receivers


def members_of(
    chooser: random.Random, t: int, n: int, receivers: Sequence[int]
) -> list[reshare.Member]:
    dealers = chooser.sample(range(1, n + 1), t)
    new = {old: index(j) for j, old in enumerate(receivers, start=1) if old}
    members = [reshare.Member(index(i), new.get(i)) for i in dealers]
    members += [
        reshare.Member(None, index(j))
        for j, old in enumerate(receivers, start=1)
        if old not in dealers
    ]
    chooser.shuffle(members)
    return members


def disturb(made: Run, seed: int) -> None:
    chooser = made.chooser
    places = indices(range(1, len(made.members) + 1))
    edges = [(slot, a, b) for slot in Slot for a in places for b in places if a != b]
    made.doubles = set(chooser.sample(edges, min(len(edges), 8)))
    kind = ("none", "liars", "drops", "liars and drops")[seed // len(RELATIONS) % 4]
    if "liars" in kind:
        each = made.parties()
        for m in chooser.sample(places, chooser.choice([1, 1, 2])):
            made.lies[m] = pick(chooser, each[m].parameters)
    if "drops" in kind:
        made.drops = set(chooser.sample(edges, chooser.randint(1, 3)))


###
### What may come of it
###


def assert_explained(made: Run, parties: Mapping[PartyIndex, ReshareParty], m: PartyIndex) -> str:
    """An honest member's end says no more and no less than what happened."""
    party, liars = parties[m], set(made.lies)
    match party.outcome:
        case reshare.Finished():
            return "finished"
        case PartyFaultError(culprits=culprits, check=check):
            assert culprits <= liars
            assert set(check.split(", ")) <= {made.lies[each].check for each in liars}
            return "culprit"
        case DisputeError(accuser=accuser, accused=accused):
            assert accuser == m
            assert accused <= {each for each in liars if made.lies[each] in OF_SHARES}
            return "pair"
        case EchoMismatchError(parties=strangers):
            assert strangers <= {each for each in liars if made.lies[each] in OF_ECHOES}
            return "mismatch"
        case None:
            assert party.missing()
            for slot, sender in party.missing():
                stopped = parties[sender].outcome is not None
                behind = parties[sender].round < party.round
                assert (slot, sender, m) in made.drops or stopped or behind
            return "silent"
        case other:
            pytest.fail(f"an unexpected end: {other!r}")


def assert_signs(group: Group, keys: Mapping[PartyIndex, KeyShare], old: KeyShare) -> None:
    """Every t of an epoch sign under the old public key; of a large one some do."""
    suite = frost.ciphersuite(SUITES[group])
    public_key = frost.output_key(suite, old.public_key)
    t = next(iter(keys.values())).threshold
    subsets = list(islice(combinations(keys, t), SUBSETS)) if comb(len(keys), t) > 20 else None
    for signers in subsets or combinations(keys, t):
        signing = Signing.start(suite, dict(keys), list(signers))
        signature = signing.aggregate(signing.shares())
        assert frost.verify(suite, public_key, signing.message, signature)


@pytest.mark.parametrize(
    "seed", [pytest.param(seed, marks=[pytest.mark.long] * (seed >= FEW)) for seed in range(RUNS)]
)
def test_a_run_ends_in_an_epoch_that_signs_or_in_who_is_to_blame(seed: int) -> None:
    made = drawn(seed)
    parties = made.parties()
    run(parties, made.weather())

    honest = [m for m in parties if m not in made.lies]
    ends = Counter(assert_explained(made, parties, m) for m in honest)
    stored = {
        party.stored.index: party.stored for party in parties.values() if party.stored is not None
    }
    old = made.keys[index(1)]
    if ends["finished"]:
        # One member with all certificates is enough: by then every receiver has stored its share.
        receivers = parties[honest[0]].parameters.receivers.values()
        assert sorted(stored) == sorted(receivers)
        assert len({share.view.to_bytes() for share in stored.values()}) == 1
        assert_signs(made.group, stored, old)
    else:
        # Nobody may delete a share of the old epoch: who deals it again deals the same key.
        assert_signs(made.group, made.keys, old)
    if not made.lies and not made.drops:
        assert ends.keys() == {"finished"}


def test_the_runs_have_everything_in_them() -> None:
    """What is drawn covers what it is for; a change of the drawing would not be seen otherwise."""
    runs = [drawn(seed) for seed in range(RUNS)]
    sizes = {(made.keys[index(1)].threshold, len(made.keys)) for made in runs}
    assert (2, 2) in sizes
    assert any(n == 20 for _, n in sizes)
    assert any(t == 10 for t, _ in sizes)
    changes = {
        (made.threshold > old) - (made.threshold < old)
        for made in runs
        for old in [made.keys[index(1)].threshold]
    }
    assert changes == {-1, 0, 1}
    assert {lie.name for made in runs for lie in made.lies.values()} > {
        lie.name for lie in [*OF_SHARES, *OF_ECHOES]
    }
    assert sum(not made.lies and not made.drops for made in runs) == RUNS // 4
