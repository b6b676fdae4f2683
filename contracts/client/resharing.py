"""Other shares of a key: asked for, rehearsed, begun."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..keys import CertifiedKey, KeyFacts
from ..primitives import DeleteAfter
from ..requests import QueryKeysRequest, RehearseRequest, ReshareRequest
from ..results import QueryKeysResult, RehearseResult, ReshareResult
from .begun import Begun
from .caller import Caller
from .rehearsals import Rehearsal

RESHARE_TRIES = 3


class Reshares(Caller):
    """Replaces the shares of keys."""

    async def reshare(
        self,
        key_id: str,
        *,
        threshold: int | None = None,
        parties: Sequence[str] | None = None,
        dealers: Sequence[str] | None = None,
        first_epoch: int | None = None,
        tries: int = RESHARE_TRIES,
        delete_after: DeleteAfter = DeleteAfter.BACKED_UP,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> ReshareResult:
        """Other shares of a key, for the same parties and threshold unless others are named. Its
        public key stays.

        The result's bundle proves the new epoch to anyone: keep it. Signatures go on meanwhile;
        the former holders delete their shares a minute and a half later, or as `delete_after` says.
        Who was shown out signs no more once `n - t + 1` of the former `n` holders have deleted
        theirs, of whom `t` signed; `history` tells which have.

        Arguments:
            parties: Who shall hold a share.
            dealers: Who shall deal: as many holders as the threshold was. None lets the
                coordinator choose, others where some fail.
            first_epoch: Where epochs of this key were begun before and came to nothing: a later
                one. None: the next.
            tries: So many epochs may be begun for it; the highest that is made counts.
            delete_after: Former holders who stay keep the old share, without signing, until the new
                one stands in a backup, a day at most; `certified`: all delete at once, as where
                somebody is suspected.
        """
        key = await self._certified(key_id)
        request = self._reshare(
            key.facts,
            timeout_s,
            request_id,
            threshold=threshold,
            parties=parties,
            dealers=dealers,
            first_epoch=first_epoch,
            tries=tries,
            delete_after=delete_after,
        )
        return await self._ask(request, ReshareResult)

    async def rehearse(
        self,
        key_id: str,
        *,
        threshold: int | None = None,
        parties: Sequence[str] | None = None,
        dealers: Sequence[str] | None = None,
        first_epoch: int | None = None,
        tries: int = RESHARE_TRIES,
    ) -> Rehearsal:
        """Ask the parties themselves whether they would take part in a reshare; arguments as in
        `reshare`. Nothing is begun or used up: the key stays as it is.

        Each party that could deal or would receive checks all that it would check before it begins,
        and its answer is verified under its identity. It is advice: it tells of this moment only.

        Raises RequestFailedError where no party would be asked: the key has gone on, a party does
        not exist, the numbers of epochs are used up.
        """
        key = await self._certified(key_id)
        fields = _new_shares(
            key.facts,
            threshold=threshold,
            parties=parties,
            dealers=dealers,
            first_epoch=first_epoch,
        )
        request = self._request(
            RehearseRequest, self._settings.query_timeout_s, None, tries=tries, **fields
        )
        signed, result = await self._answered(request, RehearseResult)
        return Rehearsal.of(request, signed.body, key.facts, result, self._settings.speakers)

    async def begin_reshare(
        self,
        key: CertifiedKey,
        *,
        threshold: int | None = None,
        parties: Sequence[str] | None = None,
        dealers: Sequence[str] | None = None,
        first_epoch: int | None = None,
        tries: int = RESHARE_TRIES,
        delete_after: DeleteAfter = DeleteAfter.BACKED_UP,
        reference: str | None = None,
        join_window_ms: int | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> Begun:
        """As `reshare`, but returns when the session is announced, or the result is here if that
        is first; arguments as in `ReshareRequest`.

        Arguments:
            key: As it is now, see `keys`. If it has gone on meanwhile, the request is refused.

        Raises RequestFailedError if there is no session, and will be none.
        """
        request = self._reshare(
            key.facts,
            timeout_s,
            request_id,
            threshold=threshold,
            parties=parties,
            dealers=dealers,
            first_epoch=first_epoch,
            tries=tries,
            delete_after=delete_after,
            reference=reference,
            announce=True,
            join_window_ms=join_window_ms,
        )
        return await self._begin(request)

    async def _certified(self, key_id: str) -> CertifiedKey:
        (key,) = (await self._query(QueryKeysRequest, QueryKeysResult, only=key_id)).keys
        return key

    def _reshare(
        self,
        facts: KeyFacts,
        timeout_s: float | None,
        request_id: str | None,
        *,
        threshold: int | None,
        parties: Sequence[str] | None,
        dealers: Sequence[str] | None,
        first_epoch: int | None,
        **more: Any,
    ) -> ReshareRequest:
        fields = _new_shares(
            facts, threshold=threshold, parties=parties, dealers=dealers, first_epoch=first_epoch
        )
        return self._request(
            ReshareRequest, timeout_s or self._settings.timeout_s, request_id, **fields, **more
        )


def _new_shares(
    facts: KeyFacts,
    *,
    threshold: int | None,
    parties: Sequence[str] | None,
    dealers: Sequence[str] | None,
    first_epoch: int | None,
) -> dict[str, Any]:
    """Fields of a request, with what these facts say of all that is None."""
    holders = [holder.party_id for holder in facts.holders]
    return {
        "key_id": facts.key_id,
        "public_key": facts.public_key,
        "from_epoch": facts.epoch,
        "first_epoch": facts.epoch + 1 if first_epoch is None else first_epoch,
        "threshold": facts.threshold if threshold is None else threshold,
        "parties": holders if parties is None else list(parties),
        "dealers": None if dealers is None else list(dealers),
    }
