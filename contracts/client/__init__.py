"""The producers' library: publish signed requests, await verified results.

    settings = ClientSettings.load(Path("client.toml"))
    async with Client.connect(settings) as client:
        key = await client.create_key(
            "treasury", curve=Curve.ED25519, threshold=2, party_count=3
        )
        done = await client.sign("treasury", message=b"...", scheme=Scheme.ED25519)

`create_key`, `sign` and `reshare` return when they are done; `begin_key`, `begin_signature` and
`begin_reshare` as soon as there is a session, of which a `Begun` awaits the result. `rehearse`
asks the parties whether they would take part in a reshare, and begins none. A client that serves
many has the keys, accounts and sessions of each apart: `acting_for`.

Nothing that does not verify is handed out. What goes wrong is a `ClientError`; its kinds are in
`errors`. How results are shared by several processes of one client id is told in `mailbox`.
"""

from .begun import Begun
from .client import Client
from .errors import (
    BrokerUnavailableError,
    ClientClosedError,
    ClientError,
    ClockError,
    RequestFailedError,
    ResultTimeoutError,
    SettingsError,
    TopologyError,
)
from .histories import KeyHistory, Succession
from .rehearsals import Rehearsal
from .resharing import RESHARE_TRIES
from .settings import ClientSettings
from .settlement import Settlement

__all__ = [
    "RESHARE_TRIES",
    "Begun",
    "BrokerUnavailableError",
    "Client",
    "ClientClosedError",
    "ClientError",
    "ClientSettings",
    "ClockError",
    "KeyHistory",
    "Rehearsal",
    "RequestFailedError",
    "ResultTimeoutError",
    "SettingsError",
    "Settlement",
    "Succession",
    "TopologyError",
]
