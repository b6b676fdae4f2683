"""The HTTP gateways of a deployment: their file, their processes, a key that opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.client import Client
from contracts.primitives import Scope
from gateway.entry.api_keys import digest, new_secret
from gateway.settings import GatewaySettings
from ops.stack import sockets
from ops.stack.processes import Program

CLIENT = "gateway"
"""The client id that all gateways of a deployment share."""
HOLDER = "demo"
"""Of the API key; also the key's id."""
_FILE = "gateway.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateways:
    """
    Attributes:
        urls: One for each of them; its process is ``gateway.1``, ``gateway.2``, ...
        config: For `warren gateway`.
        api_key: For the header `X-API-Key`; it may do everything, in the name of `HOLDER`.
    """

    urls: tuple[str, ...]
    config: Path
    api_key: str = field(repr=False)


def write_configuration(
    client: Path, party_ids: Sequence[str], limits: Mapping[str, float]
) -> Path:
    """A gateway's file, which ends with that of its client and lies beside it.

    Callers may say ``server-party-1`` for ``party-1``, as those of old do.
    """
    lines = ["[gateway]", "access_log = false", "", "[limits]"]
    lines += [f"{name} = {json.dumps(value)}" for name, value in limits.items()]
    lines += ["", "[party_names]", *(f'server-{name} = "{name}"' for name in party_ids), "", ""]
    path = client.with_name(_FILE)
    path.touch(mode=0o600, exist_ok=False)  # its client's address holds a password
    path.write_text("\n".join(lines) + client.read_text())
    return path


def programs(config: Path, ports: Sequence[int], entry: Sequence[str]) -> Iterator[Program]:
    """One gateway process for each port."""
    for i, port in enumerate(ports, start=1):
        yield Program(
            name=f"gateway.{i}",
            arguments=(*entry, "gateway", "run", "--config", str(config), "--port", str(port)),
        )


async def let_in(config: Path, ports: Sequence[int]) -> Gateways:
    """Make the API key."""
    secret = new_secret()
    async with Client.connect(GatewaySettings.load(config).client) as client:
        await client.put_api_key(
            HOLDER, holder=HOLDER, key_digest=digest(secret.encode()), scopes=list(Scope)
        )
    return Gateways(
        urls=tuple(f"http://{sockets.LOOPBACK}:{port}" for port in ports),
        config=config,
        api_key=secret,
    )
