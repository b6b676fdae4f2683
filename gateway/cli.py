"""`warren gateway`."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from contracts import logs
from contracts.client import BrokerUnavailableError, SettingsError, TopologyError

from . import document, key_commands
from .console import EXIT_CONFIGURATION, EXIT_FAILED, EXIT_UNAVAILABLE, Config, leave, load
from .processes import keep_running

app = typer.Typer(no_args_is_help=True, help="The door for callers that speak HTTP.")
app.add_typer(key_commands.app, name="api-keys")


@app.command("run")
def run(
    config: Config,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; else the configuration's.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; else the configuration's."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes behind the port. Limits are each one's.")
    ] = 1,
) -> None:
    """Serve HTTP until SIGTERM or Ctrl-C. Start as many gateways as you like."""
    settings = load(config, host=host, port=port)
    with _shared_by(workers) as (ended, folder):
        from . import serving  # after `_shared_by`, which says why

        logs.configure()
        if folder is not None:
            settings = settings.keeping_api_keys(folder / "api-keys")
        serving.allow_many_files()
        door = settings.door
        try:
            serving.check_certificate(door)
            serving.check_api_keys(settings)
        except SettingsError as error:
            leave(f"{config}: {error}", EXIT_CONFIGURATION)
        try:
            listener = serving.listen(door)
        except OSError as error:
            where = f"{door.host}:{door.port}"
            leave(f"cannot listen on {where}: {_reason(error)}", EXIT_CONFIGURATION)
        typer.echo(f"listening on {_address(listener.getsockname())}", err=True)
        if workers == 1:
            raise typer.Exit(_served(serving.serve(settings, listener)))
        code = keep_running(
            workers,
            lambda: _served(serving.serve_as_child(settings, listener)),
            hopeless=frozenset({EXIT_CONFIGURATION}),
            ended=ended,
        )
        raise typer.Exit(code)


@contextmanager
def _shared_by(workers: int) -> Iterator[tuple[Callable[[int], None], Path | None]]:
    """Where several processes put their figures for `/metrics` together, and what they know of API
    keys unless the configuration says where. prometheus_client looks for it when it is first
    imported.

    Yields what to call with the id of a process that ended, and the folder, if there is one.
    """
    if workers == 1:
        yield lambda _: None, None
        return
    with tempfile.TemporaryDirectory(prefix="warren-gateway-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        from prometheus_client import multiprocess

        yield multiprocess.mark_process_dead, Path(folder)


def _served(work: Any) -> int:
    """The exit code; a known trouble leaves a sentence behind."""
    import uvloop

    try:
        uvloop.run(work)
    except TopologyError as error:
        typer.echo(str(error), err=True)
        return EXIT_CONFIGURATION
    except (BrokerUnavailableError, OSError) as error:
        typer.echo(f"cannot serve: {error}", err=True)
        return EXIT_UNAVAILABLE
    except KeyboardInterrupt:
        return 130
    return 0


@app.command("openapi")
def openapi(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if the document is stale.")
    ] = False,
) -> None:
    """Write the gateway's OpenAPI document."""
    stale = document.is_stale()
    if stale and check:
        typer.echo(f"stale: {document.PATH}")
        typer.echo("run `warren gateway openapi`")
        raise typer.Exit(EXIT_FAILED)
    if stale:
        document.write()
    typer.echo(f"{'written' if stale else 'up to date'}: {document.PATH}")


def _reason(error: OSError) -> str:
    """Without the address, which some errors repeat."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)  # below: an unknown name


def _address(name: Any) -> str:
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
