"""What is learnt from parties that refuse to sign: who had better not sign together.

Of a refusal nobody can tell whose fault it is: the party's that refuses, or the party's that it
does not accept. So neither is left out: only the two together are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from contracts.failures import Failure, FailureCode
from contracts.primitives import Contract, Id


class Refusal(Contract):
    """A party that would not take part.

    Attributes:
        because: Those of the signers that it does not accept. None where it says nothing of others:
            then it may be about itself.
        signers: Of the session that it refused.
    """

    party_id: Id
    because: list[Id]
    signers: list[Id]


def refusal_of(failure: Failure, party_id: str, signers: Iterable[str]) -> Refusal | None:
    """What a party's failure tells about whom it would sign with; None if it was no refusal.

    Arguments:
        failure: As the coordinator believes it: it names other signers only.
    """
    if failure.code is not FailureCode.PARTY_REFUSED:
        return None
    return Refusal(party_id=party_id, because=failure.culprits, signers=sorted(signers))


def quarrels(refusals: Iterable[Refusal]) -> frozenset[frozenset[str]]:
    """Pairs that do not sign together."""
    return frozenset(
        frozenset((refusal.party_id, other)) for refusal in refusals for other in refusal.because
    )


def involved(refusals: Iterable[Refusal]) -> frozenset[str]:
    """Who refused, and who was refused: they come after those who are in no refusal."""
    return frozenset(
        party_id for refusal in refusals for party_id in (refusal.party_id, *refusal.because)
    )


def refused_sets(refusals: Iterable[Refusal]) -> Counter[frozenset[str]]:
    """Signer sets that were refused, and how often."""
    return Counter(frozenset(refusal.signers) for refusal in refusals)
