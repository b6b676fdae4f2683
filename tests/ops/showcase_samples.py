"""What the demo's acts come to when one hand signs for the parties."""

from __future__ import annotations

from typing import Any

from contracts.keys import CertifiedKey, EpochBundle, Resharing
from ops.showcase import renewal
from ops.showcase.acts import Act, Outcome, Payment
from ops.showcase.renewal import Renewed
from ops.showcase.tour import ACTS, Performance
from ops.stack.deployment import LEGACY
from tests.contracts.fakes import KEYS
from tests.contracts.samples import sign_request, sign_result

CLIENT_IDS = {act.client: None if act.client == LEGACY else act.client for act in ACTS}


def outcomes() -> list[Outcome]:
    return [_outcome(act, payment) for act in ACTS for payment in act.payments]


def performance() -> Performance:
    """With a key whose shares were made anew twice: by the second time, p4 has one for p1."""
    made, refreshed, moved = (_epoch(number) for number in range(3))
    facts = moved.facts
    holders = [facts.holders[0].model_copy(update={"party_id": "p4"}), *facts.holders[1:]]
    moved = moved.model_copy(update={"facts": facts.model_copy(update={"holders": holders})})
    renewed = Renewed(
        made=made,
        refreshed=_proving(refreshed),
        moved=_proving(moved),
        signs_from=0,
        stolen=("p1", "p2"),
    )
    (payment,) = renewal.ACT.payments
    return Performance([*outcomes(), _outcome(renewal.ACT, payment)], renewed)


def _proving(key: CertifiedKey) -> EpochBundle:
    """Nothing, but that it is of this key."""
    only: dict[str, Any] = {"key": key}
    return EpochBundle.model_construct(**only)


def _epoch(number: int) -> CertifiedKey:
    anew = Resharing(session_id=bytes([9]) * 32, predecessor=bytes(32), dealers=["p1", "p2"])
    more: dict[str, Any] = {"version": 3, "epoch": number, "reshared": anew} if number else {}
    return KEYS[renewal.ACT.curve].certified(
        client_id=renewal.ACT.client, key_id=renewal.ACT.key_id, **more
    )


def _outcome(act: Act, payment: Payment) -> Outcome:
    single, client_id = KEYS[act.curve], CLIENT_IDS[act.client]
    key = single.certified(client_id=client_id, key_id=act.key_id)
    unsigned = payment.unsigned(key)
    request = sign_request(
        client_id=client_id,
        key_id=act.key_id,
        scheme=unsigned.scheme,
        message=unsigned.message,
        derivation_path=payment.path,
        taproot_merkle_root=unsigned.taproot_merkle_root,
    )
    result = sign_result(request, single)
    (signature,) = result.signed
    return Outcome(act, payment, key, unsigned, result, unsigned.signed(signature))
