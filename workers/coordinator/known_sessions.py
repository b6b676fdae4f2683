"""Sessions as their owners name them: by session id, or by the id of the request.

A request may have had several sessions, see `signing_sessions`. By whichever of them it is named,
it is the last one that counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from contracts.operations import OPERATIONS
from contracts.requests import CancelRequest
from contracts.results import DELIVERED, SessionResult, Status

from ..session.coordinator.conduct import Conduct
from ..session.protocols import OF_REQUESTS
from ..store.interface import CoordinatorStore
from ..store.records import RequestRecord, Session
from .recent import Known


@dataclass(frozen=True, slots=True)
class Found:
    """
    Attributes:
        named: The session id by which the owner knows it.
    """

    record: RequestRecord
    session: Session
    conduct: Conduct
    named: bytes

    @property
    def known(self) -> Known:
        return Known(self.session, self.conduct)

    @property
    def over(self) -> bool:
        """The request is, too: no other session will follow."""
        return Status(self.session.status).final and self.record.result is not None


async def find(
    store: CoordinatorStore,
    owner: str | None,
    *,
    session_id: bytes | None = None,
    target: str | None = None,
) -> Found | None:
    """What one of the owner's names stands for, and nothing for one of somebody else's.

    Arguments:
        owner: None: anybody's, by session id.
        target: A request id, in place of `session_id`.
    """
    if session_id is not None:
        record = await _request_of(store, session_id)
    elif owner is not None and target is not None:
        record = await store.request(owner, target)
    else:
        record = None
    if record is None or record.refused or owner not in {None, record.owner}:
        return None
    if not OPERATIONS[record.operation].begins_session:
        return None  # a cancel's, which nobody asks for
    session = await store.session(record.session_id)
    if session is None:
        return None
    conduct = Conduct.model_validate_json(session.state)
    return Found(record, session, conduct, session_id or conduct.public_id)


@dataclass(frozen=True, slots=True)
class Target:
    """What a cancel is about, as far as it is known here.

    Attributes:
        status: None where the request was not seen, or so long ago that it was forgotten.
        named: Its session, if it has one, by the id by which the owner knows it.
    """

    status: Status | None = None
    named: bytes | None = None


async def find_target(store: CoordinatorStore, cancel: CancelRequest) -> Target:
    record = await store.request(cancel.target_owner.name, cancel.target)
    if record is None or not OPERATIONS[record.operation].begins_session:
        return Target()
    if record.result is None:
        return Target(Status.IN_PROGRESS)
    content = DELIVERED.validate_json(record.result.body)
    assert isinstance(content, SessionResult)
    return Target(content.status, content.session_id)


async def _request_of(store: CoordinatorStore, session_id: bytes) -> RequestRecord | None:
    record = await store.request_of(session_id)
    if record is not None:
        return record
    session = await store.session(session_id)
    if session is None or session.protocol not in OF_REQUESTS:
        return None
    # One that did not succeed; its request has gone on in another.
    conduct = Conduct.model_validate_json(session.state)
    return await store.request(conduct.request.owner, conduct.request.request_id)
