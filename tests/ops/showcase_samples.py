"""What the demo's acts come to when one hand signs for the parties."""

from __future__ import annotations

from ops.showcase.tour import ACTS, Outcome
from ops.stack.deployment import LEGACY
from tests.contracts.fakes import KEYS
from tests.contracts.samples import sign_request, sign_result

CLIENT_IDS = {act.client: None if act.client == LEGACY else act.client for act in ACTS}


def outcomes() -> list[Outcome]:
    made = []
    for act in ACTS:
        single, client_id = KEYS[act.curve], CLIENT_IDS[act.client]
        unsigned = act.pay(single.public_key)
        request = sign_request(
            client_id=client_id,
            key_id=act.key_id,
            scheme=unsigned.scheme,
            message=unsigned.message,
            taproot_merkle_root=unsigned.taproot_merkle_root,
        )
        result = sign_result(request, single)
        assert result.signature is not None
        key = single.certified(client_id=client_id, key_id=act.key_id)
        made.append(Outcome(act, key, unsigned, result, unsigned.signed(result.signature)))
    return made
