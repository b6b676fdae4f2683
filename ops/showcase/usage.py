"""How to use a stack that runs: what `warren up` tells once it is ready."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from rich.text import Text

from ops.cli.current import REGISTRAR
from ops.stack.deployment import Deployment


def as_text(deployment: Deployment, default_client: Path) -> Text:
    """What to type now, for people."""
    warren = shutil.which("warren") or str(Path(sys.executable).with_name("warren"))
    urls = _urls(deployment)
    lines = [
        f"Warren runs here until Ctrl-C: {deployment.plan.party_count} parties.",
        "",
        f"In another terminal, as client {_name_of(deployment, default_client)}:",
        f"  {warren} key create treasury --curve ed25519 --threshold 2 --parties 3",
        f"  {warren} sign treasury --scheme ed25519 --message hello",
        f"  {warren} session show REQUEST_ID",
        "As another client, set WARREN_CLIENT_CONFIG or --config to one of",
        *(f"  {path}" for path in deployment.clients.values()),
        *_over_http(deployment, warren),
        "",
        "Another client, while everything runs:",
        f"  WARREN_MANAGEMENT_URL={urls['management_url']} \\",
        f"    {warren} client add svcC --out {deployment.directory / 'svcC'}",
        "",
        f"AMQP URL       {urls['amqp_url']}",
        f"management UI  {urls['management_url']}  (vhost {deployment.vhost})",
        f"logs           {deployment.directory / 'logs'}",
        *_health(deployment),
    ]
    return Text("\n".join(lines))


def as_json(deployment: Deployment, default_client: Path) -> dict[str, Any]:
    """Where everything is, for programs."""
    return {
        "clients": {name: str(path) for name, path in deployment.clients.items()},
        "default_client": str(default_client),
        "vhost": deployment.vhost,
        **_urls(deployment),
        **_gateways(deployment),
        "logs": str(deployment.directory / "logs"),
        "health": deployment.health_urls,
        "registrar": str(deployment.directory / REGISTRAR),
        "processes": dict(_processes(deployment)),
    }


def _health(deployment: Deployment) -> Iterator[str]:
    if deployment.health_urls:
        yield "workers        each answers /health, /health/ready and /metrics:"
        width = max(map(len, deployment.health_urls))
        for name, url in deployment.health_urls.items():
            yield f"  {name:{width}}  {url}"


def _over_http(deployment: Deployment, warren: str) -> Iterator[str]:
    gateways = deployment.gateways
    if gateways is None:
        return
    url, account = gateways.urls[0], '{"user_id": "alice"}'
    tls = deployment.services.tls
    curl = "curl" if tls is None else f"curl --cacert {tls / 'ca.pem'}"
    yield ""
    yield f"Over HTTP, at {url}:"
    yield f"  {curl} {url}/health"
    yield f"  KEY='X-API-Key: {gateways.api_key}'"
    yield f"""  {curl} -H "$KEY" '{url}/api/v1/accounts?wait=10' -d '{account}'"""
    sign = f"{url}/api/v1/accounts/ACCOUNT_ID/sign?wait=10"
    yield f"""  {curl} -H "$KEY" '{sign}' -d '{{"message": "aGVsbG8="}}'"""
    yield "Another API key, and what else there is:"
    files = f"-c {gateways.config} --authority {gateways.authority}"
    yield f"  {warren} gateway api-keys create NAME --holder TENANT --scope sign {files}"
    yield f"  {url}/openapi.json"


def _gateways(deployment: Deployment) -> dict[str, Any]:
    gateways = deployment.gateways
    if gateways is None:
        return {}
    return {
        "gateways": list(gateways.urls),
        "gateway_config": str(gateways.config),
        "api_key_authority_file": str(gateways.authority),
        "api_key": gateways.api_key,
    }


def _urls(deployment: Deployment) -> dict[str, str]:
    """With the password where the broker is our own: that one ends with us."""
    services = deployment.services
    shown = str if services.broker_pid is not None else _without_password
    return {
        "amqp_url": shown(deployment.amqp_url),
        "management_url": shown(services.management_url),
    }


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _processes(deployment: Deployment) -> Iterator[tuple[str, int]]:
    services = deployment.services
    for name, pid in (("broker", services.broker_pid), ("database", services.database_pid)):
        if pid is not None:
            yield name, pid
    yield from deployment.supervisor.pids.items()


def _name_of(deployment: Deployment, client: Path) -> str:
    return next(name for name, path in deployment.clients.items() if path == client)
