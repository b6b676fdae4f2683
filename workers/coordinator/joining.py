"""Callers that join parties to sessions, by the tokens that a session was announced with."""

from __future__ import annotations

from contracts.requests import JoinSessionRequest
from contracts.results import JoinSessionResult, Status
from contracts.signing import SignedRequest

from ..session.coordinator.announcing import JoinError, all_joined, join
from ..session.coordinator.conduct import Conduct, Progress
from ..session.coordinator.views import session_view
from ..session.sending import result
from ..store.interface import CoordinatorStore, StoreUnavailableError
from ..store.records import Event
from .answers import Answers, unknown
from .beginnings import Beginnings
from .commits import RACES, CoordinatorCommits
from .desks import Service
from .known_sessions import Found, find
from .recent import Known


class Joining:
    def __init__(
        self,
        store: CoordinatorStore,
        answers: Answers,
        commits: CoordinatorCommits,
        beginnings: Beginnings,
    ) -> None:
        self._store = store
        self._answers = answers
        self._commits = commits
        self._beginnings = beginnings

    def services(self) -> tuple[Service, ...]:
        return (Service.of(JoinSessionRequest, self._handle),)

    async def _handle(self, signed: SignedRequest, request: JoinSessionRequest) -> None:
        # Come again, the very same request is answered as it was the first time.
        cause = f"join:{signed.digest.hex()}"
        for _ in range(RACES):
            found = await find(self._store, request.owner, session_id=request.session_id)
            if found is None:
                return await self._answers.fail(signed, unknown("session"))
            async with self._commits.locks.of(found.session.session_id):
                if await self._join(found, signed, request, cause):
                    return None
        raise StoreUnavailableError("other workers were faster every time")

    async def _join(
        self, found: Found, signed: SignedRequest, request: JoinSessionRequest, cause: str
    ) -> bool:
        """False if another worker moved the session on: look and try again."""
        session_id = found.session.session_id
        if await self._commits.send_again(session_id, cause):
            return await self._begin(session_id)
        try:
            party_id, conduct = join(found.conduct, request.join_token, request.party_id)
        except JoinError as error:
            await self._answers.fail(signed, error.failure)
            return True
        if found.over or conduct is found.conduct:
            # Late or repeated: there is nothing to change, and the caller sees how it stands.
            answer = await self._answer(found, found.conduct, signed, party_id)
            await self._answers.give(request, answer)
            return True
        answer = await self._answer(found, conduct, signed, party_id)
        progress = Progress(
            conduct=conduct,
            status=Status(found.session.status),
            outgoing=(result(answer, request.reply_to),),
        )
        event = Event(event="caller_joined", party_id=party_id)
        if not await self._commits.commit(found.known, progress, cause, None, event):
            return False
        return await self._begin(session_id)

    async def _answer(
        self, found: Found, conduct: Conduct, signed: SignedRequest, party_id: str
    ) -> JoinSessionResult:
        """Whoever may join one party is not told the tokens of the others."""
        events = await self._store.events(found.session.session_id)
        return JoinSessionResult(
            **self._answers.head(signed, found.named),
            party_id=party_id,
            session=session_view(
                found.record,
                found.session,
                conduct,
                events,
                session_id=found.named,
                with_tokens=False,
            ),
        )

    async def _begin(self, session_id: bytes) -> bool:
        """Once all are there, the session waits no longer."""
        for _ in range(RACES):
            session = await self._store.session(session_id)
            if session is None or Status(session.status).final:
                return True
            known = Known.read(session)
            if known.conduct.begins_at is None or not all_joined(known.conduct):
                return True
            if await self._beginnings.begin(known):
                return True
        raise StoreUnavailableError("other workers were faster every time")
