"""A party's side of ECDSA signing: one message in, one signature share for each digest out.

The presignatures were made ahead, in a batch. They are deleted in the transaction that stores the
answer, all or none.
"""

from __future__ import annotations

from collections.abc import Sequence

from contracts.requests import SignRequest
from contracts.results import Status
from contracts.sessions import ShareSigned

from ...protocols import dkls23
from ...store.records import KeyShareRecord, PresignatureRecord
from ..errors import RefusedError
from ..sending import report
from ..tasks import ecdsa_tasks
from .acceptance import (
    Accepted,
    Party,
    answer_of,
    check_signing_key,
    key_facts,
    presignatures_used,
    seal_shares,
    usable,
)
from .step import Step


def answer(
    accepted: Accepted,
    party: Party,
    key_share: KeyShareRecord | None,
    presignatures: Sequence[PresignatureRecord | None],
) -> Step:
    """Sign each message with the presignature that the session names for it.

    Raises:
        RefusedError: key, signers or presignatures are not what the request needs.
        ProtocolError: a task leaves no nonce or no key (2^-256).
    """
    request, terms = accepted.request, accepted.created.terms
    assert isinstance(request, SignRequest)
    key_share = usable(key_share)
    facts = key_facts(key_share)
    check_signing_key(accepted, key_share, party)
    tasks = ecdsa_tasks(
        facts, request, session_id=accepted.session_id, request_digest=terms.request_digest
    )
    shares = []
    for task, record in zip(tasks, presignatures, strict=True):
        presignature = _usable(record, key_share)
        view = presignature.view
        if list(view.signers) != [member.index for member in terms.members]:
            raise RefusedError("the presignature was made with other signers")
        if view.public_key.to_bytes() != facts.public_key:
            raise RefusedError("the presignature was made for another public key")
        shares.append(dkls23.sign(presignature, task).to_bytes())
    answered = report(
        ShareSigned(sealed=seal_shares(accepted, party, shares), fresh=[]),
        identity=party.speaker,
        party_id=party.party_id,
        session_id=accepted.session_id,
        epoch=terms.epoch,
    )
    return Step(
        status=Status.COMPLETED,
        outgoing=(answered,),
        take_presignatures=presignatures_used(accepted.created),
        answers=answer_of(accepted.request, accepted.created, party, commits=True),
    )


def _usable(record: PresignatureRecord | None, key_share: KeyShareRecord) -> dkls23.Presignature:
    if record is None:
        raise RefusedError("a presignature was used before, or was never ours")
    if (record.key_session, record.epoch) != (key_share.key_session, key_share.epoch):
        raise RefusedError("a presignature was made for another key")
    presignature = dkls23.Presignature.from_bytes(record.secret)
    view = presignature.view
    if (view.session_id, view.position) != (record.batch, record.position):
        raise RefusedError("a presignature stands in the place of another one")
    return presignature
