"""A stack of its own, whose parties come and go."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import migrations
from contracts.client import ClientSettings
from contracts.identity import Identity
from contracts.party_card import PartyCard, SignedCard, read_card
from contracts.peers import Role
from ops.cli.current import REGISTRAR
from ops.registrar.parties import PartyDesk
from ops.registrar.settings import RegistrarSettings
from ops.stack.deployment import Deployment, Plan, running_deployment
from ops.stack.files import write, write_secret
from ops.stack.processes import Program
from ops.stack.services import Services
from workers.settings import party_in


@pytest.fixture(scope="package")
def stack(services: Services) -> Iterator[Deployment]:
    plan = Plan(clients=("svcA",), plain_clients=("svcA",), sqlite_parties=3, health=True)
    with running_deployment(services, plan.compact()) as running:
        yield running


@pytest.fixture
def registrar(stack: Deployment) -> RegistrarSettings:
    environment = {"WARREN_MANAGEMENT_URL": stack.services.management_url}
    return RegistrarSettings.load(stack.directory / REGISTRAR, environment)


@pytest.fixture
def desk(registrar: RegistrarSettings) -> PartyDesk:
    return PartyDesk(registrar)


def following(stack: Deployment, registrar: RegistrarSettings) -> ClientSettings:
    """A client that follows the list of parties."""
    settings = ClientSettings.load(stack.clients["svcA"])
    return dataclasses.replace(settings, list_operators=registrar.operators)


def card(
    party_id: str, index: int, identity: Identity, role: Role = Role.PERSISTENT, **labels: str
) -> PartyCard:
    made = PartyCard(
        party_id=party_id,
        index=index,
        role=role,
        labels=labels,
        public_key=identity.public.der,
        made_at=1,
    )
    return read_card(SignedCard.of(made, identity).to_bytes())


def card_of(path: Path, role: Role = Role.PERSISTENT) -> PartyCard:
    """Of a party's file, as it says of itself."""
    own, identity = party_in(path, {})
    return card(own.party_id, own.index, identity, role)


def file_of_new_party(stack: Deployment, party_id: str, index: int) -> Path:
    """Of one that nobody else has in a file; without its address."""
    folder = stack.directory
    tables = tomllib.loads((folder / "party-3.toml").read_text())
    write_secret(folder / f"{party_id}.key", Identity.generate().to_base64())
    write_secret(folder / f"{party_id}.master", f'1 = "{secrets.token_hex(32)}"')
    del tables["party"]["amqp_url"]
    tables["party"] |= {
        "party_id": party_id,
        "index": index,
        "private_key_file": f"{party_id}.key",
        "master_key_file": f"{party_id}.master",
        "database_url": f"sqlite:///{folder / party_id}.sqlite",
    }
    write(folder / f"{party_id}.toml", tables)
    return folder / f"{party_id}.toml"


def start_party(stack: Deployment, path: Path, broker: Path | None) -> None:
    """With the address that it was given; returns before it serves."""
    tables = tomllib.loads(path.read_text())
    if broker is not None:
        tables["party"] |= tomllib.loads(broker.read_text())
        path.unlink()
        write(path, tables)
    party_id = tables["party"]["party_id"]
    asyncio.run(migrations.upgrade("party", tables["party"]["database_url"]))
    arguments = (*stack.plan.entry, "party", "run", "--config", str(path))
    stack.supervisor.start(Program(name=f"{party_id}.1", arguments=arguments))


def restart(stack: Deployment, name: str, path: Path, **changes: object) -> None:
    """A party's process, its file changed."""
    tables = tomllib.loads(path.read_text())
    tables["party"] |= changes
    path.unlink()
    write(path, tables)
    stack.supervisor.start(stack.programs[name])
