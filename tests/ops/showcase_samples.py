"""What the demo's acts come to when one hand signs for the parties."""

from __future__ import annotations

from ops.showcase.tour import ACTS, Act, Outcome, Payment
from ops.stack.deployment import LEGACY
from tests.contracts.fakes import KEYS
from tests.contracts.samples import sign_request, sign_result

CLIENT_IDS = {act.client: None if act.client == LEGACY else act.client for act in ACTS}


def outcomes() -> list[Outcome]:
    return [_outcome(act, payment) for act in ACTS for payment in act.payments]


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
