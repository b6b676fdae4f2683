"""What the commands have in common by which operators sign lists."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from contracts.logs import hushed
from ops.cli import current
from ops.cli.exits import ExitCode, leave

if TYPE_CHECKING:
    from ops.registrar.settings import RegistrarSettings

T = TypeVar("T")

EXIT_CODES = (
    "Exit codes: 0 done; 1 refused; 2 wrong usage or configuration; 3 begun, and the rest waits "
    "for something; 4 broker not reached. After any of them the same command may be run again."
)
HELD = 3

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        envvar="WARREN_REGISTRAR_CONFIG",
        help="The registrar's file; that of `warren up` unless given.",
        dir_okay=False,
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="For programs.")]


def at_registrar(
    config: Path | None,
    work: "Callable[[RegistrarSettings, Callable[[str], None]], Coroutine[Any, Any, T]]",
    *,
    as_json: bool,
) -> T:
    """Do it with the registrar's settings. Arguments: work: Is given whom to tell each step."""
    from ops.deadletters.errors import broker_errors, parsed
    from ops.registrar.settings import RegistrarSettings

    path = config or current.registrar_file()
    if path is None:
        text = "no registrar's file: name it with --config, or start a stack with `warren up`"
        leave(ExitCode.USAGE, "configuration", text, as_json=as_json)
    say: Callable[[str], None] = (lambda _: None) if as_json else typer.echo
    settings = RegistrarSettings.load(path)
    for noisy in ("aiormq", "aio_pika", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)  # the errors tell it in a sentence
    with hushed("contracts"), broker_errors(parsed(settings.amqp_url)), _files():
        return asyncio.run(work(settings, say))


@contextmanager
def _files() -> Iterator[None]:
    """A file that cannot be used is not the broker's fault."""
    from ops.registrar.handover import HandoverError

    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        raise HandoverError(f"{error.filename}: {error.strerror}") from None


@contextmanager
def errors(*, as_json: bool) -> Iterator[None]:
    """Each ends in a sentence and an exit code."""
    from contracts.client import SettingsError
    from contracts.errors import ContractError
    from contracts.list_file import ListFileError
    from ops.deadletters.errors import AccessError, BrokerAwayError
    from ops.registrar.errors import HeldError, RefusedError
    from ops.registrar.handover import HandoverError
    from topology import TopologyError
    from topology.management import AccessError as ManagementAccessError
    from topology.management import UnavailableError

    try:
        yield
    except (SettingsError, AccessError, ManagementAccessError) as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    except HeldError as error:
        leave(ExitCode(HELD), "held", str(error), as_json=as_json)
    except BrokerAwayError as error:
        leave(ExitCode.UNREACHABLE, "unreachable", str(error), as_json=as_json)
    except UnavailableError as error:
        hint = "Its address, with an administrator's login, is management_url of the registrar's "
        text = f"{error} {hint}file, or WARREN_MANAGEMENT_URL"
        leave(ExitCode.UNREACHABLE, "unreachable", text, as_json=as_json)
    except (RefusedError, ContractError, HandoverError, ListFileError, TopologyError) as error:
        leave(ExitCode.FAILED, "refused", str(error), as_json=as_json)
    except KeyboardInterrupt:
        leave(ExitCode.INTERRUPTED, "interrupted", "interrupted: run it again", as_json=as_json)


def number_at(url: str, name: str) -> int | None:
    """How far a worker follows a list, by its metrics; None if it does not answer."""
    told = metric_at(url, f'warren_list_number{{list="{name}"}}')
    return None if told is None else int(told)


def metric_at(url: str, metric: str) -> float | None:
    """What a worker's metrics say; None if it does not answer, or has no such one."""
    import httpx

    try:
        told = httpx.get(f"{url.rstrip('/')}/metrics", timeout=5, trust_env=False).text
    except httpx.HTTPError:
        return None
    for line in told.splitlines():
        if line.startswith(f"{metric} "):
            return float(line.rpartition(" ")[2])
    return None


def moment(at_ms: int) -> str:
    """For people, in UTC."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="seconds")
