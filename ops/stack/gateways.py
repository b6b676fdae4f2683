"""The HTTP gateways of a deployment: their file, their processes, a key that opens them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from contracts.api_keys import DAY_MS, Action
from contracts.client import Client
from contracts.primitives import Scope
from gateway.authority import Authority, new_authority, now_ms, send
from gateway.entry.api_keys import digest, new_secret
from gateway.settings import GatewaySettings
from ops.stack import sockets
from ops.stack.certificates import TestingCa
from ops.stack.processes import Program

CLIENT = "gateway"
"""The client id that all gateways of a deployment share."""
HOLDER = "demo"
"""Of the API key; also the key's id."""
_FILE = "gateway.toml"
_AUTHORITY = "api-key-authority.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateways:
    """
    Attributes:
        urls: One for each of them; its process is ``gateway.1``, ``gateway.2``, ...
        config: For `warren gateway`.
        authority: The private key of whoever signs API keys; no gateway reads it.
        api_key: For the header `X-API-Key`; it may do everything, in the name of `HOLDER`.
    """

    urls: tuple[str, ...]
    config: Path
    authority: Path
    api_key: str = field(repr=False)


def write_configuration(
    client: Path,
    party_ids: Sequence[str],
    limits: Mapping[str, float],
    operators: Sequence[str],
    tls: Path | None = None,
) -> Path:
    """A gateway's file, which ends with that of its client and lies beside it. With TLS if there is
    the folder of a CA for it.

    Beside it is also the authority that signs API keys.

    Arguments:
        operators: Whose list of clients it follows.

    Callers may say ``server-party-1`` for ``party-1``, as those of old do.
    """
    authority = new_authority(client.with_name(_AUTHORITY), CLIENT)
    lines = ["[gateway]", f'api_key_authority = "{authority.public.to_base64()}"']
    lines += [f"list_operators = {json.dumps(list(operators))}"]
    if tls is not None:
        pair = TestingCa(tls).for_server("gateway", (sockets.LOOPBACK, "localhost"))
        lines += [f"tls_certificate_file = {json.dumps(str(pair.certificate))}"]
        lines += [f"tls_key_file = {json.dumps(str(pair.key))}"]
    lines += ["access_log = false", "", "[limits]"]
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


async def let_in(config: Path, ports: Sequence[int], tls: Path | None = None) -> Gateways:
    """Make the API key."""
    authority = config.with_name(_AUTHORITY)
    scheme = "http" if tls is None else "https"
    return Gateways(
        urls=tuple(f"{scheme}://{sockets.LOOPBACK}:{port}" for port in ports),
        config=config,
        authority=authority,
        api_key=await new_api_key(config, authority, HOLDER, tuple(Scope)),
    )


async def new_api_key(
    config: Path, authority: Path, holder: str, scopes: Sequence[Scope], name: str | None = None
) -> str:
    """Sign an API key, called as its holder unless it has a name; returns its secret."""
    secret = new_secret()
    async with Client.connect(GatewaySettings.load(config).client) as client:
        signer = Authority(authority, CLIENT)
        await signer.catch_up(client)
        signed = signer.sign(
            Action.PUT,
            api_key_id=name or holder,
            holder=holder,
            key_digest=digest(secret.encode()),
            scopes=list(scopes),
            valid_until=now_ms() + DAY_MS,
        )
        await send(client, signed)
    return secret
