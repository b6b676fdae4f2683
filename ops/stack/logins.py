"""How everybody of a deployment gets into the broker: by a password, or by a certificate."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

from ruamel.yaml import YAML

import topology
from ops.stack import vhosts
from ops.stack.certificates import Credentials, TestingCa
from ops.stack.services import Services

MONITOR = "monitor"
"""Looks by the management API alone, where nobody comes by a certificate."""
_ROLES = "roles.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """
    Attributes:
        url: Of the broker, with all that it takes.
        settings: The same, as a configuration file has it.
    """

    url: str = field(repr=False)
    settings: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Logins:
    """
    Attributes:
        by_name: Of party ids, names of clients, `coordinator`, `operator`.
        monitor_url: Of the management API, for who only looks.
    """

    by_name: dict[str, Login]
    monitor_url: str = field(repr=False)


def make(services: Services, members: topology.Members, *, vhost: str, directory: Path) -> Logins:
    """Apply the topology, and hand out what its users come by.

    Arguments:
        directory: For certificates, if that is what they come by.
    """
    own = None if services.tls is None else _without_passwords(declarations(directory))
    owner = topology.InMemory()
    applied = topology.apply_all(
        services.management_url,
        members=members,
        directory=own,
        vhost=vhost,
        owner=owner,
    )
    asyncio.run(applied)
    declared = topology.declared(members, own, vhost=vhost)
    users = {user.member or user.role: user.name for user in declared.users}
    monitor = users.pop(MONITOR)
    amqp_url = vhosts.address(services.amqp_url, vhost)
    return Logins(
        by_name={
            name: _by_password(amqp_url, user, owner.made[user])
            if services.tls is None
            else _by_certificate(amqp_url, Credentials.issued(TestingCa(services.tls), user))
            for name, user in users.items()
        },
        monitor_url=vhosts.login(services.management_url, monitor, owner.made[monitor]),
    )


def declarations(directory: Path) -> Path:
    """The folder of those for a deployment whose users come by certificates."""
    return directory / "topology"


def _by_password(amqp_url: str, user: str, password: str) -> Login:
    url = vhosts.login(amqp_url, user, password)
    return Login(url=url, settings={"amqp_url": url})


def _by_certificate(amqp_url: str, own: Credentials) -> Login:
    place = amqp_url.partition("?")[0]
    return Login(
        url=f"{place}?{own.amqp_query}",
        settings={
            "amqp_url": place,
            "amqp_ca_file": str(own.ca),
            "amqp_certificate_file": str(own.pair.certificate),
            "amqp_key_file": str(own.pair.key),
        },
    )


def _without_passwords(directory: Path) -> Path:
    """The declarations that come with Warren, but for logins."""
    directory.mkdir(mode=0o700)
    yaml = YAML()
    for file in files("topology").iterdir():
        if not file.name.endswith(".yaml"):
            continue
        text = file.read_text(encoding="utf-8")
        if file.name != _ROLES:
            (directory / file.name).write_text(text, encoding="utf-8")
            continue
        told = yaml.load(text)
        for name, role in told["roles"].items():
            if name != MONITOR:
                role["password"] = "none"  # noqa: S105  # that there is none
        with (directory / _ROLES).open("w", encoding="utf-8") as copy:
            yaml.dump(told, copy)
    return directory
