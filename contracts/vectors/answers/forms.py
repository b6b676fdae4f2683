"""What does not come from the coordinator, and what is no result."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from ...coordinators import result_headers
from .. import spoken
from ..hands import CLIENT, COORDINATOR, PARTIES, STRANGER, b64
from .deliveries import MALFORMED, UNAUTHENTICATED, Delivery
from .signatures import sign_result


def strangers() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    body = sign_result(asked).model_dump_json().encode()

    def of(name: str, **changes: Any) -> Delivery:
        given: dict[str, Any] = {"asked": asked, "body": body, "refused": UNAUTHENTICATED}
        return Delivery(name=f"a signature: {name}", **{**given, **changes})

    return [
        of("signed by a stranger", by=STRANGER),
        of("signed by its own asker", by=CLIENT),
        of("signed by a party", by=PARTIES["p1"]),
        of("not signed", headers={}),
        of(
            "signed before it was changed",
            body=body + b" ",
            headers=result_headers(body, COORDINATOR),
        ),
        of(
            "signed as a request",
            headers={"signature": b64(COORDINATOR.sign(b"warren/request/v1", body))},
        ),
    ]


def forms() -> Sequence[Delivery]:
    asked = spoken.signed("sign", **spoken.SIGN)
    good: dict[str, Any] = json.loads(sign_result(asked).model_dump_json())

    def of(name: str, change: Callable[[dict[str, Any]], None]) -> Delivery:
        told = json.loads(json.dumps(good))
        change(told)
        return Delivery(
            name=f"a result: {name}",
            asked=asked,
            body=json.dumps(told).encode(),
            refused=MALFORMED,
        )

    return [
        of("with an unknown field", lambda told: told.update(more=1)),
        of("of an unknown kind", lambda told: told.update(result="reshare")),
        of("of another version", lambda told: told.update(version=2)),
        of("of version true", lambda told: told.update(version=True)),
        of("without its version", lambda told: told.pop("version")),
        of("without its time", lambda told: told.pop("finished_at")),
        of("with a time that is text", lambda told: told.update(finished_at="7")),
        of("with hex in upper case", lambda told: told.update(signature="AB")),
        of("with half a byte", lambda told: told.update(signature="a")),
        of("with a digest of 31 bytes", lambda told: told.update(request_digest="00" * 31)),
        of("with an id that is none", lambda told: told.update(request_id="a.b")),
        of("with a scheme that is none", lambda told: told.update(scheme="rsa")),
        of("with a path that is hardened", lambda told: told.update(derivation_path="m/1'")),
        of("with signers that are no list", lambda told: told.update(signers="p1")),
        Delivery(
            name="a result: with a field twice",
            asked=asked,
            body=json.dumps(good).encode()[:-1] + b',"status":"completed"}',
            refused=MALFORMED,
        ),
        Delivery(name="a result: that is a list", asked=asked, body=b"[]", refused=MALFORMED),
        Delivery(name="a result: that is nothing", asked=asked, body=b"", refused=MALFORMED),
        Delivery(name="a result: cut short", asked=asked, body=b'{"result":', refused=MALFORMED),
    ]
