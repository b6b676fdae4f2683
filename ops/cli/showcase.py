"""`warren demo` and `warren up`: a whole Warren on this machine, and what it can do."""

import asyncio
import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from contracts.primitives import MAX_PARTIES
from ops.cli import current
from ops.cli.exits import ExitCode, clients_errors, leave, print_json
from ops.showcase.errors import DemonstrationError
from ops.showcase.narrator import Narrator

if TYPE_CHECKING:
    from ops.showcase.deliveries import Delivered
    from ops.showcase.tour import Performance
    from ops.stack.deployment import Deployment, Plan

demo = typer.Typer()
up = typer.Typer()

EXIT_CODES = (
    "Exit codes: 0 done; 1 a step failed or the stack could not start; 2 wrong usage or "
    "configuration; 3 no result in time; 4 no broker or database to be had; 130 ended by Ctrl-C."
)
_LOOK_S = 0.5

AsJson = Annotated[
    bool,
    typer.Option("--json", help="One JSON object on standard output, all else on standard error."),
]
Directory = Annotated[
    Path,
    typer.Option(
        help="For all files of the stack. The other commands find it by themselves in .warren.",
        file_okay=False,
        show_default=False,
    ),
]


Tls = Annotated[
    bool,
    typer.Option(
        "--tls",
        help="Encrypt everything, and let each in by its certificate alone, of a CA made for this.",
    ),
]


@demo.command("demo", epilog=EXIT_CODES)
def run_demo(
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Leave the stack running until Ctrl-C, and say how to use it."),
    ] = False,
    tls: Tls = False,
    directory: Directory = current.DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Make keys among three parties and sign real transactions, from nothing, in seconds.

    Starts a broker, a database and all workers, has three clients make a key each and sign
    transactions for Solana, Bitcoin and Ethereum, and has other libraries verify what came out.
    Another key gets new shares and another party, and what was stolen before is tried. Then stops
    everything.

    \b
    Example:
      warren demo --json | jq -r '.signatures[].transaction'
    """
    narrator = Narrator(Console(stderr=as_json, highlight=False))
    with _known_errors(as_json=as_json), contextlib.ExitStack() as stack:
        from ops.showcase import report
        from ops.stack.deployment import Plan
        from workers.session.epochs import SHORTEST_SWITCH_S

        # One party more than hold a key, and nobody wants to wait for who is asked when.
        plan = Plan(party_count=4, limits={"coordinator": {"switch_seconds": SHORTEST_SWITCH_S}})
        more = {"gateways": 1, "health": True} if keep else {"plain_clients": ("svcB",)}
        deployment = _start(stack, narrator, directory, replace(plan, **more), tls=tls)
        performance, delivered = _perform(narrator, deployment)
        if not keep:
            with narrator.step("stop", "Everything is stopped"):
                stack.close()
        shown = report.as_json(narrator, performance, delivered)
        if not as_json:
            narrator.show(report.as_table(performance))
        elif not keep:
            print_json(shown)
        if keep:
            _stay(narrator, deployment, directory, as_json=as_json, more=shown)


@up.command("up", epilog=EXIT_CODES)
def run_up(
    parties: Annotated[
        int, typer.Option("--parties", "-n", min=2, max=MAX_PARTIES, help="How many parties.")
    ] = 3,
    processes: Annotated[
        int, typer.Option(min=1, max=16, help="How many worker processes for each party.")
    ] = 1,
    tls: Tls = False,
    directory: Directory = current.DIRECTORY,
    as_json: AsJson = False,
) -> None:
    """Run a whole Warren on this machine until Ctrl-C. Its keys end with it.

    The other commands, started in the same source tree or folder, find it by themselves.

    \b
    Example:
      warren up --parties 5
    """
    narrator = Narrator(Console(stderr=as_json, highlight=False))
    with _known_errors(as_json=as_json), contextlib.ExitStack() as stack:
        from ops.stack.deployment import Plan

        plan = Plan(party_count=parties, processes_per_party=processes, gateways=1, health=True)
        deployment = _start(stack, narrator, directory, plan, tls=tls)
        _stay(narrator, deployment, directory, as_json=as_json, more={})


def _start(
    stack: contextlib.ExitStack, narrator: Narrator, directory: Path, plan: "Plan", *, tls: bool
) -> "Deployment":
    from ops.stack.deployment import running_deployment
    from ops.stack.services import running_services

    with narrator.step("services", "Broker and database run"):
        running = running_services(directory, tls=tls, progress=narrator.note)
        services = stack.enter_context(running)
    with narrator.step("deployment", "Coordinator and parties run"):
        return stack.enter_context(running_deployment(services, plan, progress=narrator.note))


def _perform(narrator: Narrator, deployment: "Deployment") -> "tuple[Performance, list[Delivered]]":
    from contracts.client import ClientSettings
    from ops.showcase.deliveries import deliver
    from ops.showcase.tour import tour

    settings = {name: ClientSettings.load(path) for name, path in deployment.clients.items()}
    parties = {name: deployment.directory / f"{name}.toml" for name in deployment.plan.party_ids}
    performance = asyncio.run(tour(settings, parties, narrator))
    with narrator.step("deliver", "All sign at once, each queue gets its own results only"):
        return performance, asyncio.run(deliver(settings, performance.outcomes))


def _stay(
    narrator: Narrator,
    deployment: "Deployment",
    directory: Path,
    *,
    as_json: bool,
    more: dict[str, Any],
) -> NoReturn:
    """Say how to use it, and watch over it until somebody ends it."""
    from ops.showcase import usage
    from ops.stack.errors import StackError

    client = next(iter(deployment.clients.values()))
    try:
        with current.announced(deployment.directory, client, directory):
            if as_json:
                print_json(more | usage.as_json(deployment, client))
            else:
                narrator.show(usage.as_text(deployment, client))
            while True:
                deployment.supervisor.check()
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        narrator.note("Stopping everything ...")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    except StackError as error:
        # As text in any case: the JSON object was printed.
        leave(ExitCode.FAILED, "stack", str(error), as_json=False)


@contextlib.contextmanager
def _known_errors(*, as_json: bool) -> Iterator[None]:
    import asyncpg
    import httpx

    from contracts.errors import ContractError
    from ops.stack.errors import MissingServiceError, StackError
    from topology import TopologyError

    try:
        with clients_errors(as_json=as_json):
            yield
    except MissingServiceError as error:
        leave(ExitCode.UNREACHABLE, "unreachable", str(error), as_json=as_json)
    except (StackError, TopologyError) as error:
        leave(ExitCode.FAILED, "stack", str(error), as_json=as_json)
    except (ContractError, DemonstrationError) as error:
        leave(ExitCode.FAILED, "demonstration", str(error), as_json=as_json)
    except (httpx.HTTPError, asyncpg.PostgresError, ConnectionError, TimeoutError) as error:
        text = f"Broker or database: {type(error).__name__}: {error}"
        leave(ExitCode.UNREACHABLE, "unreachable", text, as_json=as_json)
    except OSError as error:
        leave(ExitCode.USAGE, "configuration", str(error), as_json=as_json)
    except ModuleNotFoundError as error:
        package = (error.name or "a package").partition(".")[0]
        text = f"{package} is not installed: pip install 'warren[demo]', or use ops/demo."
        leave(ExitCode.USAGE, "configuration", text, as_json=as_json)
