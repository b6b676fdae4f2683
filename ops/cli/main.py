"""The command `warren`: every folder's commands under one roof."""

import typer

import topology.cli
import workers.cli

app = typer.Typer(
    name="warren",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # they may hold secrets
    help="Threshold signatures through RabbitMQ.",
)
app.add_typer(workers.cli.coordinator, name="coordinator")
app.add_typer(workers.cli.party, name="party")
app.add_typer(workers.cli.store, name="store")
app.add_typer(workers.cli.identity, name="identity")
app.add_typer(topology.cli.app, name="topology")


def main() -> None:
    app()
