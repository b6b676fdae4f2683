"""The coordinator's signature under all that it says to parties and clients.

It is made when a message is published, not when it is stored: what is sent again after a change of
identity carries the new one's.
"""

from __future__ import annotations

import dataclasses

from contracts import addresses, envelope
from contracts.coordinators import result_headers
from contracts.envelope import EVERYONE
from contracts.identity import Identity

from ..delivery.middleware import Middleware
from ..delivery.publisher import Publish
from ..session.envelopes import sealed
from ..store.records import Outgoing

TO_PARTIES = frozenset({addresses.SESSIONS, addresses.KEYGEN, addresses.PRESIGNING})


class Signature(Middleware):
    """To be the innermost around publishing: it signs what leaves."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def around_publishing(self, publish: Publish) -> Publish:
        """With a signature, unless it is a dead letter: that is somebody else's word."""

        async def signed(message: Outgoing) -> None:
            await publish(self.under(message))

        return signed

    def under(self, message: Outgoing) -> Outgoing:
        """The message as it leaves."""
        if message.exchange == addresses.RESULTS:
            headers = {**message.headers, **result_headers(message.body, self._identity)}
            return dataclasses.replace(message, headers=headers)
        if message.exchange in TO_PARTIES:
            return self._instruction(message, message.routing_key)
        if message.exchange == addresses.CANCEL:
            return self._instruction(message, EVERYONE)
        return message

    def _instruction(self, message: Outgoing, recipient: str) -> Outgoing:
        body = sealed(
            message.body,
            self._identity,
            kind=message.kind,
            session_id=bytes.fromhex(message.headers["session_id"]),
            recipient=recipient,
        )
        return dataclasses.replace(message, body=body, content_type=envelope.CONTENT_TYPE)
