"""Sessions as the coordinator conducts them, for a test to change one thing in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from contracts import sessions
from contracts.keys import KeyFacts
from contracts.sessions import KeyCertified
from contracts.signing import sign_request
from tests.protocols.simulate import coins
from tests.session.builders import (
    CLIENT,
    COORDINATOR_IDENTITY,
    IDENTITIES,
    LIFETIME_MS,
    NOW,
    Signing,
    facts,
    keygen_request,
    member,
    received_report,
    report_envelope,
    sealed,
    signing_session,
    terms,
)
from tests.session.ecdsa_sessions import EcdsaSigning, ecdsa_session
from workers.session.coordinator import reports as reporting
from workers.session.coordinator.conduct import Conduct, Progress
from workers.store.records import Received


def keygen_conduct(**fields: Any) -> Conduct:
    request = keygen_request(**fields)
    signed = sign_request(request, CLIENT)
    members = [member(1), member(2), member(3)]
    return Conduct(
        request=request,
        terms=terms(signed, members, threshold=2),
        join_secret=coins("join secret"),
        deadline=NOW + LIFETIME_MS,
    )


def certified(made: KeyFacts) -> KeyCertified:
    return KeyCertified(
        facts=made,
        certificates={f"party-{i}": made.certify(IDENTITIES[f"party-{i}"]) for i in (1, 2, 3)},
    )


def new_facts(conduct: Conduct, **changes: Any) -> KeyFacts:
    return facts(
        **(
            {
                "session_id": conduct.session_id,
                "request_digest": conduct.terms.request_digest,
            }
            | changes
        )
    )


def waiting(*present: int) -> tuple[Signing, Conduct]:
    session = signing_session()
    kept = {f"party-{i}": session.commitments[i] for i in present}
    return session, session.conduct().model_copy(update={"commitments": kept})


def hear(conduct: Conduct, sender: str, report: sessions.Report, **changes: Any) -> None:
    envelope = report_envelope(sender, report, session_id=conduct.session_id)
    reporting.check_report(conduct, replace(envelope, **changes), report)


def replaceable(**changes: Any) -> Conduct:
    given = {"try_ms": 5_000, **changes}
    return ecdsa_session().conduct().model_copy(update=given)


def share_signed(session: Signing | EcdsaSigning, i: int, *others: int, **changes: Any) -> Progress:
    """Party i's report after those of the others, changed as given; `signature_shares` are what it
    has sealed."""
    rows = [received_report(j, session.share(j)) for j in others]
    if "signature_shares" in changes:
        changes["sealed"] = sealed(changes.pop("signature_shares"), i, session.terms)
    report = session.share(i).model_copy(update=changes)
    return heard_share(session.conduct(), f"party-{i}", report, rows)


def heard_share(
    conduct: Conduct,
    sender: str,
    report: sessions.ShareSigned,
    rows: Sequence[Received],
    *,
    now: int = NOW,
) -> Progress:
    """What the coordinator makes of a report."""
    return reporting.share_signed(
        conduct, sender, report, rows, identities=[COORDINATOR_IDENTITY], now=now
    )
