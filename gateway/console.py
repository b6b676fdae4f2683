"""What all of `warren gateway` shares: the configuration, and how commands end."""

from pathlib import Path
from typing import Annotated, NoReturn

import typer

from contracts.client import SettingsError

from .settings import GatewaySettings

EXIT_FAILED = 1
EXIT_CONFIGURATION = 2
EXIT_TIMED_OUT = 3
EXIT_UNAVAILABLE = 4

Config = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="WARREN_GATEWAY_CONFIG",
        help="The gateway's TOML configuration.",
        dir_okay=False,
    ),
]


def load(config: Path, *, host: str | None = None, port: int | None = None) -> GatewaySettings:
    """The settings, or the end of the command with a sentence that says what is wrong."""
    try:
        settings = GatewaySettings.load(config)
    except SettingsError as error:
        leave(str(error), EXIT_CONFIGURATION)
    return settings.listening(host=host, port=port)


def leave(message: str, code: int) -> NoReturn:
    """End the command with a sentence and an exit code."""
    typer.secho(message, fg="red", err=True)
    raise typer.Exit(code)
