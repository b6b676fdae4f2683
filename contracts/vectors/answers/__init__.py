"""Results to accept and to refuse: whole deliveries, as they come to a client's queue."""

from __future__ import annotations

import json
from typing import Any

from ..hands import CLIENT, COORDINATOR, NOW, public_keys
from .deliveries import KNOWN
from .epochs import rehearsals, reshares
from .forms import forms, strangers
from .histories import histories
from .keys import keys
from .signatures import failures, signatures
from .views import announcements, lists, looks


def results() -> dict[str, Any]:
    """With all that a client needs to judge them."""
    deliveries = [
        *keys(),
        *signatures(),
        *failures(),
        *lists(),
        *looks(),
        *reshares(),
        *rehearsals(),
        *histories(),
        *announcements(),
        *strangers(),
        *forms(),
    ]
    return {
        "client_id": "svcA",
        "signer": CLIENT.public.to_base64(),
        "coordinator": COORDINATOR.public.to_base64(),
        "parties": public_keys(),
        "now": NOW,
        "known_keys": [json.loads(key.model_dump_json()) for key in KNOWN],
        "cases": [each.shown() for each in deliveries],
    }
