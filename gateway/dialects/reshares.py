"""A key's new shares: who shall hold them and how many sign, whatever the dialect calls the key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field, model_validator

from contracts.client import RESHARE_TRIES
from contracts.keys import KeyFacts
from contracts.primitives import MAX_PARTIES, DeleteAfter, Id
from contracts.requests import MAX_EPOCHS_AHEAD, MAX_RESHARE_TRIES

from ..sessions import NewShares
from .alternatives import ONE_KEY
from .fields import Body, Participants, PartyCount, PartyName, names_of
from .names import PartyNames
from .refusals import invalid
from .wishes import check_thresholds, named_key

# Strict, as `PartyCount` is.
Epoch = Annotated[int, Field(strict=True, ge=1, lt=2**32)]
Tries = Annotated[int, Field(strict=True, ge=1, le=MAX_RESHARE_TRIES)]
DryRun = Annotated[bool, Field(strict=True)]
Dealers = Annotated[list[PartyName], Field(min_length=1, max_length=MAX_PARTIES)]


class Reshare(Body):
    """Give a key other shares; its public key stays. What is left out stays as it is, so that
    nothing at all is a refresh: the same parties, the same threshold, other shares."""

    INSTEAD: ClassVar[Mapping[str, str]] = {
        "node_ids": 'send participants, such as [{"party_id": "party-1"}]',
        "new_threshold": "there it is one less than how many sign; send threshold_t, which is how "
        "many sign: new_threshold + 1",
        "threshold": "send threshold_t, which is how many sign",
        "wallet_id": "the key is named by key_id or account_id, or by the account in the path",
        "session_id": "the answer says it; where you may have to ask twice, send the header "
        "Idempotency-Key",
        "key_type": "a key stays on its curve, and each has an id of its own; leave it out",
    }

    participants: Participants | None = None
    """Who shall hold a share. Left out: who holds one now."""
    threshold_n: PartyCount | None = None
    """How many parties that are; may be left out."""
    threshold_t: PartyCount | None = None
    """How many of them shall sign. Left out: as many as now. If it is more, the former shares can
    still sign with fewer, until enough of those who hold them have deleted them."""
    dealers: Dealers | None = None
    """Who shall share out: exactly as many of those who hold a share now as sign now. Left out:
    the service chooses, and others where some fail."""
    first_epoch: Epoch | None = None
    """The number of the first try's epoch. Left out: the next one. Say a later one where you are
    told so, because numbers were used up by what failed."""
    tries: Tries = RESHARE_TRIES
    """So many epochs may be tried, one after the other; the highest that is made counts. Left out:
    3."""
    delete_after: DeleteAfter = DeleteAfter.BACKED_UP
    """When those who keep holding a share delete the old one, which signs no more: when the new one
    stands in a backup of theirs, a day at most, or `certified`, at once. Left out: `backed_up`."""

    @model_validator(mode="after")
    def _fits(self) -> Reshare:
        n = self.threshold_n
        if n is None and self.participants is not None:
            n = len(self.participants)
        check_thresholds(
            MAX_PARTIES if n is None else n,
            2 if self.threshold_t is None else self.threshold_t,
            self.participants,
        )
        return self

    def of(self, facts: KeyFacts, names: PartyNames) -> NewShares:
        """What it comes to for this key. Raises a Problem."""
        named = names_of(self.participants)
        holders = [holder.party_id for holder in facts.holders]
        parties = holders if named is None else names.party_ids(named, "participants")
        if self.threshold_n not in {None, len(parties)}:
            raise invalid(
                "threshold_n",
                f"is {len(parties)} for this key, and you say {self.threshold_n}: name the "
                "participants that shall hold a share, or leave it out",
            )
        return NewShares(
            threshold=self._threshold(facts, len(parties)),
            parties=parties,
            dealers=self._dealers(facts, names),
            first_epoch=self._first_epoch(facts),
            tries=self.tries,
            delete_after=self.delete_after,
        )

    def _threshold(self, facts: KeyFacts, holders: int) -> int:
        threshold = facts.threshold if self.threshold_t is None else self.threshold_t
        if threshold > holders:
            stays = " as now" if self.threshold_t is None else ""
            raise invalid(
                "threshold_t",
                f"{threshold} would have to sign{stays}, and {holders} shall hold a share: say how "
                "many shall sign, at most that many",
            )
        return threshold

    def _dealers(self, facts: KeyFacts, names: PartyNames) -> list[str] | None:
        if self.dealers is None:
            return None
        if len(self.dealers) != facts.threshold:
            raise invalid(
                "dealers",
                f"names {len(self.dealers)}, and exactly {facts.threshold} deal: as many of those "
                "who hold a share as sign now; or leave it out",
            )
        return names.party_ids(self.dealers, "dealers")

    def _first_epoch(self, facts: KeyFacts) -> int:
        first = facts.epoch + 1 if self.first_epoch is None else self.first_epoch
        furthest = facts.epoch + MAX_EPOCHS_AHEAD - self.tries + 1
        if not facts.epoch < first <= furthest:
            raise invalid(
                "first_epoch",
                f"must be {facts.epoch + 1} to {furthest} with {self.tries} tries: the key is in "
                f"epoch {facts.epoch}",
            )
        return first

    def spoken(self) -> list[str]:
        """The names by which it calls parties."""
        return [*(names_of(self.participants) or ()), *(self.dealers or ())]


class Rehearsable(Body):
    """What may be asked for without being begun."""

    dry_run: DryRun = False
    """Only ask the parties whether they would take part: nothing is begun. The answer comes at
    once, as a 200, and says who is ready, who refuses and why, and who is silent."""


class KeyReshare(Reshare):
    """Give a key, or an account's, other shares. Exactly one of `account_id` and `key_id`."""

    model_config = ConfigDict(json_schema_extra={"allOf": [ONE_KEY]})

    account_id: Id | None = None
    key_id: Id | None = None

    @model_validator(mode="after")
    def _key(self) -> KeyReshare:
        named_key(self.key_id, self.account_id)
        return self
