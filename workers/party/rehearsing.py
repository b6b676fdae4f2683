"""A party's answer when a reshare is rehearsed: whether it would take part, and if not, why.

It looks at all that it looks at before a reshare begins, the first step included, and keeps nothing
of it. So asked twice it answers twice, and no database has a line of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from contracts.errors import ContractError
from contracts.readiness import Readiness, RoleAnswer
from contracts.requests import ReshareRequest
from contracts.sessions import (
    RehearsalAnswered,
    RehearsalAsked,
    ReshareCreated,
    rehearsal_session_id,
)
from contracts.terms import ReshareTerms

from ..delivery.publisher import Publisher
from ..protocols.rounds import ProtocolError
from ..session.errors import RefusedError
from ..session.failures import failure_of
from ..session.party.acceptance import Party
from ..session.sending import report
from .epochs import Epochs

TIME_LEFT_MS = 1
"""Of a session that does not begin."""


class Rehearsing:
    """Arguments: clock: Unix milliseconds."""

    def __init__(
        self, party: Party, epochs: Epochs, publisher: Publisher, clock: Callable[[], int]
    ) -> None:
        self._party = party
        self._epochs = epochs
        self._publisher = publisher
        self._clock = clock

    async def answer(self, asked: RehearsalAsked) -> None:
        """Raises ContractError if the session is none of this request."""
        digest = hashlib.sha256(asked.request).digest()
        if asked.session_id != rehearsal_session_id(digest):
            raise ContractError("the session id is not the one that the rehearsal gives")
        readiness = Readiness.signed(
            self._party.speaker,
            self._party.party_id,
            request_digest=digest,
            roles=[await self._in_role(asked, terms) for terms in asked.terms],
            at=self._clock(),
        )
        await self._publisher.publish(
            report(
                RehearsalAnswered(readiness=readiness),
                identity=self._party.speaker,
                party_id=self._party.party_id,
                session_id=asked.session_id,
            )
        )

    async def _in_role(self, asked: RehearsalAsked, terms: ReshareTerms) -> RoleAnswer:
        own = [each for each in terms.members if each.party_id == self._party.party_id]
        if not own:
            raise ContractError("we would have no part in it: nothing is to be answered")
        if terms.request_digest != hashlib.sha256(asked.request).digest():
            raise ContractError("the terms name another request than the one sent along")
        deals, receives = own[0].deals_as is not None, own[0].receives_as is not None
        try:
            request = self._epochs.rehearsed(asked).asks_for
            await self._epochs.would_begin(_as_created(asked, terms, request), request)
        except (RefusedError, ProtocolError) as error:
            known = asked.predecessor.facts.epoch
            why = await self._epochs.explained(error, terms.key_session, known)
            failure = failure_of(why, terms.members, round_=0)
            return RoleAnswer(
                deals=deals, receives=receives, refused=failure.code, message=failure.message
            )
        return RoleAnswer(deals=deals, receives=receives)


def _as_created(
    asked: RehearsalAsked, terms: ReshareTerms, request: ReshareRequest
) -> ReshareCreated:
    """What a coordinator would tell us of the session with these terms, if its owner had asked for
    it. Nobody has signed that request, so it leaves this process in no form."""
    body = request.model_dump_json().encode()
    named = terms.model_copy(update={"request_digest": hashlib.sha256(body).digest()})
    return ReshareCreated(
        session_id=named.session_id(),
        issued_at=asked.issued_at,
        terms=named,
        predecessor=asked.predecessor,
        request=body,
        request_signature=asked.request_signature,
        time_left_ms=TIME_LEFT_MS,
    )
