"""A whole Warren on one machine: topology, identities, databases, worker processes.

What `warren up`, `warren demo`, `warren bench` and the system tests run. Everything is made anew
for each run and thrown away with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

import migrations
import topology
from contracts.identity import Identity
from contracts.operations import RIGHTS
from ops.cli.current import OPERATOR, REGISTRAR
from ops.stack import databases, gateways, logins, registrars, sockets, vhosts
from ops.stack.files import write as _write
from ops.stack.files import write_secret as _write_secret
from ops.stack.logins import Login
from ops.stack.processes import Program, Supervisor
from ops.stack.services import Progress, Services

KEYGEN_NICENESS = "5"
PRESIGNING_NICENESS = "10"
LEGACY = "legacy"
"""The name, among a plan's clients, of the one without a client id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run.

    Attributes:
        clients: Names; `LEGACY` makes one without a client id.
        plain_clients: Of those with an id, who may not ask what is for clients that serve many.
        resharers: Who may have the shares of their keys made anew.
        sqlite_parties: How many of the parties, from the last, keep their shares in SQLite
            instead of PostgreSQL.
        keygen_processes: Of each party, beside those that sign; lower in priority. 0: those that
            sign make the keys, too.
        presigning_processes: The same, lower still.
        gateways: How many HTTP gateways.
        limits: Per role (``coordinator``, ``party``, ``gateway``), as in their configuration files.
        pools: As in the coordinator's configuration file.
        bundles: Whether workers send, and clients take, several messages in one.
        health: Whether the workers answer /health and /metrics, each on a port of its own.
        entry: What Python runs as a worker, before the words of `warren`: another entry can bring
            faults along.
    """

    party_count: int = 3
    clients: tuple[str, ...] = ("svcA", "svcB", LEGACY)
    plain_clients: tuple[str, ...] = ()
    resharers: tuple[str, ...] = ("svcA", gateways.CLIENT)
    sqlite_parties: int = 1
    processes_per_party: int = 1
    keygen_processes: int = 1
    presigning_processes: int = 1
    coordinator_processes: int = 1
    gateways: int = 0
    limits: dict[str, dict[str, float]] = field(default_factory=dict)
    pools: dict[str, float] = field(default_factory=dict)
    bundles: bool = True
    health: bool = False
    entry: tuple[str, ...] = ("-m", "ops.cli")

    def compact(self) -> Plan:
        """The same with nothing beside the processes that sign: there by far sooner, and signatures
        wait for keys that are being made."""
        return replace(self, keygen_processes=0, presigning_processes=0)

    @property
    def party_ids(self) -> tuple[str, ...]:
        """`party-1` to `party-n`."""
        return tuple(f"party-{i}" for i in range(1, self.party_count + 1))

    @property
    def client_ids(self) -> tuple[str, ...]:
        """The clients that have an id: all but the legacy one."""
        return tuple(name for name in self.all_clients if name != LEGACY)

    @property
    def members(self) -> topology.Members:
        """Everybody, by the role of their broker user."""
        own = [name for name in self.clients if name != LEGACY]
        return topology.Members(
            parties=self.party_ids,
            clients=tuple(name for name in own if name in self.plain_clients),
            tenant_clients=tuple(name for name in own if name not in self.plain_clients),
            gateways=(gateways.CLIENT,) if self.gateways else (),
            legacy_clients=(LEGACY,) if LEGACY in self.clients else (),
        )

    @property
    def all_clients(self) -> tuple[str, ...]:
        """With that of the gateways."""
        return (*self.clients, gateways.CLIENT) if self.gateways else self.clients


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """Where everything is.

    Attributes:
        amqp_url: The administrator's, for those who look after it or attack it. It stands in no
            file of anybody's.
        amqp_urls: By whose login: party ids, names of clients, `coordinator`, `operator`,
            `registrar`.
        monitor_url: Of the management API, for who only looks.
        clients: Name -> its configuration file, for `ClientSettings.load` and `warren --config`.
        supervisor: Of all worker processes; those of party P are called ``P.1``, ``P.2``, ...,
            the others by their lane: ``P.keygen.1``, ..., ``P.presigning.1``, ...
        programs: By name, to start one again after it was stopped.
        health_urls: By name of the program, where the plan has it so.
        gateways: None where the plan has none.
    """

    plan: Plan
    services: Services
    vhost: str
    amqp_url: str = field(repr=False)
    amqp_urls: dict[str, str] = field(repr=False)
    monitor_url: str = field(repr=False)
    directory: Path
    clients: dict[str, Path]
    supervisor: Supervisor
    programs: dict[str, Program]
    health_urls: dict[str, str]
    database_urls: dict[str, str] = field(repr=False)
    gateways: gateways.Gateways | None


@contextlib.contextmanager
def running_deployment(
    services: Services, plan: Plan | None = None, *, progress: Progress = lambda _: None
) -> Iterator[Deployment]:
    """Set up and start; on the way out stop the workers and remove vhost, databases and files.

    Raises:
        StackError, topology.TopologyError: with a sentence for the person at the terminal.
    """
    plan = plan or Plan()
    started = time.monotonic()
    token = secrets.token_hex(4)
    vhost = f"{topology.VHOST}-{token}"
    amqp_url = vhosts.address(services.amqp_url, vhost)
    directory = services.directory / f"warren-{token}"
    directory.mkdir(mode=0o700)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)

        stack.callback(_forget, services, vhost, progress)
        vhosts.create(services.management_url, vhost)
        entering = logins.make(services, plan.members, vhost=vhost, directory=directory)
        progress("The topology is applied.")

        urls = _database_urls(services, plan, directory, token)
        on_server = [url for url in urls.values() if url.startswith("postgresql")]
        stack.callback(_drop, services, on_server)
        asyncio.run(_create_databases(services, urls))
        progress("The databases are migrated.")

        files = None if services.tls is None else logins.declarations(directory)
        clients = _write_configuration(directory, plan, vhost, entering.by_name, urls, files)
        own = clients.pop(gateways.CLIENT, None)
        supervisor = stack.enter_context(Supervisor(directory / "logs"))
        programs = {program.name: program for program in _programs(directory, plan)}
        health_urls = _give_health(programs) if plan.health else {}
        ports = sockets.free_ports(plan.gateways)
        if own is not None:
            config = gateways.write_configuration(
                own,
                plan.party_ids,
                plan.limits.get("gateway", {}),
                [registrars.operator_of(directory / REGISTRAR)],
                services.tls,
            )
            programs |= {each.name: each for each in gateways.programs(config, ports, plan.entry)}
        for program in programs.values():
            supervisor.start(program)
        supervisor.wait_ready()
        progress(f"{len(programs)} workers are ready after {time.monotonic() - started:.1f} s.")
        opened = (
            asyncio.run(gateways.let_in(config, ports, services.tls)) if own is not None else None
        )
        yield Deployment(
            plan=plan,
            services=services,
            vhost=vhost,
            amqp_url=amqp_url,
            amqp_urls={name: login.url for name, login in entering.by_name.items()},
            monitor_url=entering.monitor_url,
            directory=directory,
            clients=clients,
            supervisor=supervisor,
            programs=programs,
            health_urls=health_urls,
            database_urls=urls,
            gateways=opened,
        )


###
### Databases
###


def _database_urls(services: Services, plan: Plan, directory: Path, token: str) -> dict[str, str]:
    """Role or party id -> URL; those on the server do not exist yet."""
    on_server = plan.party_ids[: plan.party_count - plan.sqlite_parties]
    urls = {
        name: urlsplit(services.database_url)
        ._replace(path=f"/warren_{token}_{name.replace('-', '_')}")
        .geturl()
        for name in ("coordinator", *on_server)
    }
    for party_id in plan.party_ids[len(on_server) :]:
        urls[party_id] = f"sqlite:///{directory / party_id}.sqlite"
    return urls


async def _create_databases(services: Services, urls: dict[str, str]) -> None:
    async def make(name: str, url: str) -> None:
        if url.startswith("postgresql"):
            await databases.create(services.database_url, urlsplit(url).path[1:])
        await migrations.upgrade("coordinator" if name == "coordinator" else "party", url)

    # One after another: PostgreSQL copies its template for one at a time.
    for name, url in urls.items():
        await make(name, url)


def _forget(services: Services, vhost: str, progress: Progress) -> None:
    """A broker that is gone must not hide why."""
    try:
        vhosts.delete(services.management_url, vhost)
    except httpx.TransportError as error:
        progress(f"The vhost {vhost} was not deleted: {error}")


def _drop(services: Services, urls: list[str]) -> None:
    async def drop_all() -> None:
        for url in urls:
            await databases.drop(services.database_url, urlsplit(url).path[1:])

    asyncio.run(drop_all())


###
### Configuration files
###


def _write_configuration(
    directory: Path,
    plan: Plan,
    vhost: str,
    entering: dict[str, Login],
    urls: dict[str, str],
    files: Path | None,
) -> dict[str, Path]:
    """All files of all roles; returns the clients'.

    Arguments:
        files: The topology's, where they are not those that come with Warren.
    """
    parties = {party_id: Identity.generate() for party_id in plan.party_ids}
    clients = {name: Identity.generate() for name in plan.all_clients}
    coordinator = Identity.generate()
    pins = [{"public_key": coordinator.public.to_base64()}]
    peers = [
        {"party_id": party_id, "index": i, "public_key": identity.public.to_base64()}
        for i, (party_id, identity) in enumerate(parties.items(), start=1)
    ]
    authorised: list[dict[str, Any]] = [
        {"public_key": identity.public.to_base64()}
        | ({} if name == LEGACY else {"client_id": name})
        | ({"operations": list(RIGHTS)} if name in plan.resharers else {})
        for name, identity in clients.items()
    ]
    trusted: dict[str, Any] = {"coordinators": pins, "parties": peers}
    operator = registrars.write_desk(
        directory / REGISTRAR,
        members=plan.members,
        vhost=vhost,
        amqp_url=entering["registrar"].url,
        tables={**trusted, "clients": [each for each in authorised if "client_id" in each]},
        topology=files,
    )
    # Who signs the list of clients, and asks for nothing.
    authorised.append({"public_key": operator.to_base64(), "operator": True, "operations": []})
    _write_secret(directory / OPERATOR, entering["operator"].url)
    _write_secret(directory / "coordinator.key", coordinator.to_base64())
    _write(
        directory / "coordinator.toml",
        {
            "coordinator": {
                "private_key_file": "coordinator.key",
                **entering["coordinator"].settings,
                "database_url": urls["coordinator"],
            },
            "limits": plan.limits.get("coordinator", {}),
            "pools": plan.pools,
            "delivery": {"bundles": plan.bundles},
            "parties": peers,
            "clients": authorised,
        },
    )
    for i, (party_id, identity) in enumerate(parties.items(), start=1):
        _write_secret(directory / f"{party_id}.key", identity.to_base64())
        _write_secret(directory / f"{party_id}.master", f'1 = "{secrets.token_hex(32)}"')
        _write(
            directory / f"{party_id}.toml",
            {
                "party": {
                    "party_id": party_id,
                    "index": i,
                    "private_key_file": f"{party_id}.key",
                    "master_key_file": f"{party_id}.master",
                    **entering[party_id].settings,
                    "database_url": urls[party_id],
                },
                # Nobody makes backups of it: with each reshare shares would be kept for a day.
                "limits": {"backup_wait_seconds": 0, **plan.limits.get("party", {})},
                "delivery": {"bundles": plan.bundles},
                "peers": peers,
                "coordinators": pins,
                "clients": authorised,
            },
        )
    written = {}
    for name, identity in clients.items():
        _write_secret(directory / f"client-{name}.key", identity.to_base64())
        written[name] = directory / f"client-{name}.toml"
        own: dict[str, Any] = {
            **entering[name].settings,
            "private_key_file": f"client-{name}.key",
        }
        if name != LEGACY:
            own["client_id"] = name
        if not plan.bundles:
            own["bundles"] = False
        _write(written[name], {"client": own, **trusted})
    return written


###
### Processes
###


def _programs(directory: Path, plan: Plan) -> Iterator[Program]:
    def program(name: str, role: str, config: Path, *options: str) -> Program:
        return Program(
            name=name,
            arguments=(*plan.entry, role, "run", "--config", str(config), *options),
        )

    for i in range(1, plan.coordinator_processes + 1):
        yield program(f"coordinator.{i}", "coordinator", directory / "coordinator.toml")
    beside = {
        "keygen": (plan.keygen_processes, KEYGEN_NICENESS),
        "presigning": (plan.presigning_processes, PRESIGNING_NICENESS),
    }
    own = ["signing", *(lane for lane, (count, _) in beside.items() if count == 0)]
    for party_id in plan.party_ids:
        config = directory / f"{party_id}.toml"
        for i in range(1, plan.processes_per_party + 1):
            lanes = (word for lane in own for word in ("--lane", lane))
            yield program(f"{party_id}.{i}", "party", config, *lanes)
        for lane, (count, niceness) in beside.items():
            options = ("--lane", lane, "--nice", niceness)
            for i in range(1, count + 1):
                yield program(f"{party_id}.{lane}.{i}", "party", config, *options)


def _give_health(programs: dict[str, Program]) -> dict[str, str]:
    """Let every worker answer on a port of its own. Returns where."""
    urls = {}
    for (name, program), port in zip(
        list(programs.items()), sockets.free_ports(len(programs)), strict=True
    ):
        address = f"{sockets.LOOPBACK}:{port}"
        programs[name] = replace(program, environment={"WARREN_HEALTH": address})
        urls[name] = f"http://{address}"
    return urls
