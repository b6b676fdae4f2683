"""`warren doctor`: what is not as it must be, and what to do about it."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from contracts import hosts
from contracts.tls import TlsFiles
from ops.cli.exits import ExitCode, leave
from ops.doctor.examination import examination
from ops.doctor.picture import drawn
from ops.doctor.report import Group, Report
from ops.doctor.surroundings import WAIT_S, Surroundings, Wanted, load_all
from topology import tls
from topology.management import Management
from topology.model import VHOST
from topology.options import Directory, MembersFile, Overlays, User, VhostName
from topology.problems import TopologyError
from workers.settings import SettingsError

EXIT_CODES = (
    "Exit codes: 0 healthy; 1 a check failed, or a warning; 2 wrong usage, a file that cannot be "
    "used as a configuration, or nothing that could be looked at."
)

Configs = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        "-c",
        help="A party's, the coordinator's, a gateway's or a client's; as many as you have.",
        dir_okay=False,
        show_default=False,
    ),
]
ManagementUrl = Annotated[
    str | None,
    typer.Option(
        envvar="WARREN_MANAGEMENT_URL",
        help="RabbitMQ's management API, as for `warren topology plan`: with an administrator's "
        "login all is looked at, with that of `monitor` the broker's health. Put it into the "
        "environment.",
        show_default=False,
    ),
]
OperatorUrl = Annotated[
    str | None,
    typer.Option(
        envvar="WARREN_OPERATOR_URL",
        help="The broker, with the operator's login: then dead letters are told by their reasons, "
        "for which each is taken into the hand and put back. Put it into the environment.",
        show_default=False,
    ),
]
Groups = Annotated[
    list[Group] | None, typer.Option("--only", help="These groups of checks.", show_default=False)
]
Others = Annotated[
    list[Group] | None, typer.Option("--skip", help="All but these.", show_default=False)
]


def doctor(
    configs: Configs = None,
    management_url: ManagementUrl = None,
    user: User = None,
    vhost: VhostName = VHOST,
    directory: Directory = None,
    members: MembersFile = None,
    overlay: Overlays = None,
    operator_url: OperatorUrl = None,
    only: Groups = None,
    skip: Others = None,
    wait: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="For one check.")
    ] = WAIT_S,
    whole: Annotated[
        bool, typer.Option("--why", help="Say also why something was not looked at.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Look whether all is as it must be, with what you have of it: files, addresses, logins.

    It changes nothing. Each check tells what must be true, what is not so, and what to do.

    \b
    Examples:
      warren doctor -c party-1.toml
      warren doctor -c coordinator.toml --members members.yaml
    """
    for noisy in ("aiormq", "aio_pika", "asyncio", "contracts.connecting"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # a row tells it in a sentence
    groups = frozenset(only or Group) - frozenset(skip or ())
    wanted = None
    if members is not None or directory is not None:
        wanted = Wanted(
            directory=directory, members=members, overlays=tuple(overlay or ()), vhost=vhost
        )
    try:
        surroundings = Surroundings(
            subjects=load_all(configs or ()),
            wanted=wanted,
            operator_url=None if operator_url is None else _with_files(operator_url),
            wait_s=wait,
        )
        report = asyncio.run(_report(surroundings, management_url, user, groups))
    except (SettingsError, TopologyError, hosts.AddressError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    if not report.looked_at:
        why = "nothing could be looked at: name a file with --config, or the broker with "
        why += "WARREN_MANAGEMENT_URL"
        leave(ExitCode.USAGE, "usage", why, as_json=as_json)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        Console(soft_wrap=True, highlight=False).print(drawn(report, whole=whole))
    if any(subject.settings is None for subject in surroundings.subjects):
        raise typer.Exit(ExitCode.USAGE)
    if not report.healthy:
        raise typer.Exit(ExitCode.FAILED)


def _with_files(url: str) -> str:
    try:
        return hosts.with_files(url, TlsFiles.named(Path(), "WARREN_AMQP"))
    except hosts.AddressError as error:
        raise hosts.AddressError(f"the operator's address is {error}") from None


async def _report(
    surroundings: Surroundings, url: str | None, user: str | None, groups: frozenset[Group]
) -> Report:
    async with contextlib.AsyncExitStack() as stack:
        if url is not None:
            password = os.environ.get("WARREN_MANAGEMENT_PASSWORD")
            management = Management(tls.with_files(url), user=user, password=password)
            surroundings.management = await stack.enter_async_context(management)
        return await examination(surroundings, groups)
