"""Which parties make a key, and which sign: pure functions of request and liveness."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from random import Random

from contracts.failures import Failure, FailureCode
from contracts.keys import KeyFacts
from contracts.peers import Role
from contracts.requests import KeygenRequest, ReshareRequest, SignRequest
from contracts.terms import Member

from ..peers import Peer
from . import refusing
from .refusing import Refusal


class ChoiceError(Exception):
    """No parties fit the request."""

    def __init__(self, code: FailureCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure.of(code, message[:2000])  # it may list forty names of any length


def holders(
    request: KeygenRequest, parties: Mapping[str, Peer], alive: Collection[str], random: Random
) -> list[Member]:
    """The parties of a new key, in the configured order. Those named, or else of those that take
    new keys the living first.

    Raises ChoiceError.
    """
    if request.parties is not None:
        require_known(request.parties, parties)
        chosen = list(request.parties)
    else:
        taking = [name for name, peer in parties.items() if peer.present and not _spared(peer)]
        if len(taking) < request.party_count:
            raise ChoiceError(
                FailureCode.TOO_FEW_PARTIES,
                f"{request.party_count} parties wanted, {len(taking)} "
                f"{'exist' if len(taking) == len(parties) else 'take new keys'}",
            )
        chosen = _living_first(taking, alive, random)[: request.party_count]
    chosen.sort(key=lambda party_id: parties[party_id].index)
    return [
        Member(party_id=party_id, index=i, identity=parties[party_id].identity.der)
        for i, party_id in enumerate(chosen, start=1)
    ]


def require_known(names: Iterable[str], parties: Mapping[str, Peer]) -> None:
    """Raises ChoiceError unless all of them are parties at this moment."""
    there = [name for name, peer in parties.items() if peer.present]
    if unknown := [name for name in names if name not in there]:
        raise ChoiceError(
            FailureCode.UNKNOWN_PARTY,
            f"there is no party {', '.join(unknown)}; there are {', '.join(there)}",
        )


def sparing(
    alive: Collection[str],
    parties: Mapping[str, Peer],
    facts: KeyFacts,
    among: Collection[str] | None = None,
) -> Collection[str]:
    """The living without those that are to be spared, if enough of a key's holders are left."""
    spared = {name for name in alive if (peer := parties.get(name)) and _spared(peer)}
    others = set(alive) - spared
    left = [
        holder.party_id
        for holder in facts.holders
        if holder.party_id in others and (among is None or holder.party_id in among)
    ]
    return others if len(left) >= facts.threshold else alive


def named_now(members: Iterable[Member], parties: Mapping[str, Peer]) -> list[Member]:
    """By the keys that they are named by at this moment, which may be others than when the key was
    made."""
    return [
        member.model_copy(update={"identity": parties[member.party_id].identity.der})
        if member.party_id in parties
        else member
        for member in members
    ]


def dealers(
    request: ReshareRequest,
    facts: KeyFacts,
    alive: Collection[str],
    random: Random,
    avoided: Collection[str] = (),
) -> list[str]:
    """Who deals a key's next epoch: as many holders as its threshold. Those named, or else the
    living first, and those last that are to be avoided.

    Raises ChoiceError.
    """
    if request.dealers is not None:
        if len(request.dealers) != facts.threshold:
            raise ChoiceError(
                FailureCode.INVALID_REQUEST,
                f"dealers names {len(request.dealers)} parties; exactly {facts.threshold} deal "
                f"the shares of key {facts.key_id}",
            )
        return [member.party_id for member in _named(request.dealers, facts)]
    order = _living_first(list(_members(facts)), set(alive) - set(avoided), random)
    return order[: facts.threshold]


def signers(
    request: SignRequest,
    facts: KeyFacts,
    alive: Collection[str],
    random: Random,
    among: Collection[str] | None = None,
    refusals: Collection[Refusal] = (),
) -> list[Member]:
    """Exactly `threshold` holders of the key.

    Arguments:
        among: Those to choose from, at least `threshold`; None: all.
        refusals: What the request met with before: a set that was refused comes again only when
            there is no other, and one with two that do not sign together never, if there is one
            without.

    Raises:
        ChoiceError.
    """
    if request.signers is not None:
        return _named(request.signers, facts)
    members = _members(facts, among)
    order = _living_first(list(members), alive, random)
    ranked = _uninvolved_first(order, alive, refusals)
    chosen = _willing(ranked, alive, facts.threshold, refusing.quarrels(refusals), (), refusals)
    return _ordered(members[party_id] for party_id in chosen)


def signer_sets(
    request: SignRequest,
    facts: KeyFacts,
    alive: Collection[str],
    quarrels: Collection[frozenset[str]],
    stocked: Iterable[str],
    resting: Collection[str] = (),
    among: Collection[str] | None = None,
    refusals: Collection[Refusal] = (),
) -> list[list[Member]]:
    """Signer sets whose presignatures may serve the request, the best first; at least one.

    Every coordinator ranks a key's holders alike, so that one signer set is kept in stock and not
    all of them. Another set comes first only while somebody of that one is silent or banned: then
    the first of the living without a quarrel, or else of all; the first of all if each has one.

    Arguments:
        quarrels: Pairs of parties that make no presignatures together.
        stocked: Names of the key's signer sets (see `set_name`) that had presignatures lately.
        resting: Those that spoilt something lately: only if there is no other set.
        among, refusals: As for `signers`.

    Raises:
        ChoiceError.
    """
    if request.signers is not None:
        return [_named(request.signers, facts)]
    members = _members(facts, among)
    order = sorted(members, key=lambda party_id: _rank(facts.session_id, party_id))
    ranked = _uninvolved_first(order, alive, refusals)
    pairs = frozenset(quarrels) | refusing.quarrels(refusals)
    tired = [
        frozenset(each.party_id for each in members.values() if each.index in indices_of(name))
        for name in resting
    ]
    chosen = _willing(ranked, alive, facts.threshold, pairs, tired, refusals)
    refused = refusing.refused_sets(refusals)
    home = _ordered(members[party_id] for party_id in chosen)
    others = [
        [each for each in members.values() if each.index in indices]
        for indices in map(indices_of, stocked)
    ]
    fit = [
        other
        for other in others
        if other != home
        and set_name(other) not in resting
        and len(other) == facts.threshold
        and all(each.party_id in alive for each in other)
        and not _quarrel([each.party_id for each in other], pairs)
        and frozenset(each.party_id for each in other) not in refused
    ]
    return [home, *fit]


def home_set(
    facts: KeyFacts, alive: Collection[str], quarrels: Collection[frozenset[str]]
) -> list[Member]:
    """The signer set of a key that every coordinator keeps in stock, as long as nobody refuses."""
    members = _members(facts)
    order = sorted(members, key=lambda party_id: _rank(facts.session_id, party_id))
    ranked = _uninvolved_first(order, alive, ())
    chosen = _willing(ranked, alive, facts.threshold, frozenset(quarrels), (), ())
    return _ordered(members[party_id] for party_id in chosen)


def set_name(members: Sequence[Member]) -> str:
    """A signer set's name among a key's: the indices, as ``1,3``."""
    return ",".join(str(member.index) for member in members)


def indices_of(name: str) -> list[int]:
    return [int(index) for index in name.split(",")]


def members_of(facts: KeyFacts, name: str) -> list[Member]:
    """The signers of a set by its name."""
    wanted = indices_of(name)
    return [member for member in _members(facts).values() if member.index in wanted]


###
### Helpers
###


def _spared(peer: Peer) -> bool:
    return peer.drained or peer.role is Role.RECOVERY


def _members(facts: KeyFacts, among: Collection[str] | None = None) -> dict[str, Member]:
    """A key's holders by id, in the order of their indices."""
    return {
        holder.party_id: Member(party_id=holder.party_id, index=i, identity=holder.identity)
        for i, holder in enumerate(facts.holders, start=1)
        if among is None or holder.party_id in among
    }


def _named(names: Sequence[str], facts: KeyFacts) -> list[Member]:
    members = _members(facts)
    strangers = [party_id for party_id in names if party_id not in members]
    if strangers:
        raise ChoiceError(
            FailureCode.UNKNOWN_PARTY,
            f"{', '.join(strangers)} holds no share of key {facts.key_id}; {', '.join(members)} do",
        )
    if len(names) != facts.threshold:
        raise ChoiceError(
            FailureCode.INVALID_REQUEST,
            f"signers names {len(names)} parties; "
            f"exactly {facts.threshold} sign with key {facts.key_id}",
        )
    return _ordered(members[party_id] for party_id in names)


def _ordered(members: Iterable[Member]) -> list[Member]:
    return sorted(members, key=lambda member: member.index)


def _rank(key_session: bytes, party_id: str) -> bytes:
    return hashlib.sha256(key_session + party_id.encode()).digest()


def _willing(
    ranked: tuple[str, ...],
    alive: Collection[str],
    threshold: int,
    quarrels: frozenset[frozenset[str]],
    tired: Iterable[frozenset[str]],
    refusals: Collection[Refusal],
) -> tuple[str, ...]:
    """The first set of the ranked that is likely to sign; some set, if none is.

    A set that was refused once comes before the silent, for what a party lost it may have made
    again; refused twice, after them.
    """
    refused = refusing.refused_sets(refusals)
    once, twice = frozenset(refused), frozenset(each for each in refused if refused[each] > 1)
    living = tuple(party_id for party_id in ranked if party_id in alive)
    return (
        _agreeable(living, threshold, quarrels, once.union(tired))
        or _agreeable(living, threshold, quarrels, once)
        or _agreeable(living, threshold, quarrels, twice)
        or _agreeable(ranked, threshold, quarrels, once)
        or _agreeable(ranked, threshold, quarrels)
        or ranked[:threshold]
    )


@functools.lru_cache(maxsize=1_000)
def _agreeable(
    ranked: tuple[str, ...],
    threshold: int,
    quarrels: frozenset[frozenset[str]],
    tired: frozenset[frozenset[str]] = frozenset(),
) -> tuple[str, ...] | None:
    """The first set of the ranked that is not tired and without a quarrel, in lexical order; None
    if there is none."""
    # What has a quarrel already is not continued: of the 184,756 sets of ten among twenty, those
    # with the first two are 43,758, and come first. The worst quarrels known take 40,000 steps.
    beginnings: list[tuple[tuple[str, ...], int]] = [((), 0)]
    while beginnings:
        chosen, at = beginnings.pop()
        if len(chosen) == threshold:
            if frozenset(chosen) not in tired:
                return chosen
            continue
        if len(chosen) + len(ranked) - at < threshold:
            continue
        beginnings.append((chosen, at + 1))
        if not any(frozenset((ranked[at], other)) in quarrels for other in chosen):
            beginnings.append(((*chosen, ranked[at]), at + 1))
    return None


def _quarrel(party_ids: Sequence[str], quarrels: Collection[frozenset[str]]) -> bool:
    return any(pair <= set(party_ids) for pair in quarrels)


def _uninvolved_first(
    order: Iterable[str], alive: Collection[str], refusals: Collection[Refusal]
) -> tuple[str, ...]:
    """The living first, and among them those that neither refused nor were refused."""
    involved = refusing.involved(refusals)
    return tuple(sorted(order, key=lambda party_id: (party_id not in alive, party_id in involved)))


def _living_first(party_ids: list[str], alive: Collection[str], random: Random) -> list[str]:
    """Shuffled, to spread the load; the silent last, since they may be back before the deadline."""
    random.shuffle(party_ids)
    return sorted(party_ids, key=lambda party_id: party_id not in alive)
