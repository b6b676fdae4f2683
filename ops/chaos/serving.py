"""The commands of a worker that does wrong when told to: those of `warren`, with its middleware."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, TypeVar

import typer

from workers import app
from workers.cli import Config, serve
from workers.health import Health
from workers.settings import CoordinatorSettings, Lane, PartySettings

from .disobedience import disobedience
from .orders import Obedience
from .wires import through

S = TypeVar("S", PartySettings, CoordinatorSettings)


def commands(obedience: Obedience) -> typer.Typer:
    """`party run` and `coordinator run`, as the product's own."""
    party, coordinator = typer.Typer(), typer.Typer()

    @party.command("run")
    def run_party(
        config: Config,
        lane: Annotated[list[Lane] | None, typer.Option()] = None,
        niceness: Annotated[int, typer.Option("--nice")] = 0,
    ) -> None:
        os.nice(niceness)
        settings = _wired(PartySettings.load(config), obedience)
        middleware = disobedience(obedience, settings.identity)
        serve(app.run_party(settings, lane or list(Lane), Health("party"), middleware))

    @coordinator.command("run")
    def run_coordinator(config: Config) -> None:
        settings = _wired(CoordinatorSettings.load(config), obedience)
        serve(app.run_coordinator(settings, Health("coordinator"), disobedience(obedience)))

    both = typer.Typer()
    both.add_typer(party, name="party")
    both.add_typer(coordinator, name="coordinator")
    return both


def _wired(settings: S, obedience: Obedience) -> S:
    """With the broker at the end of its wire, if it has one."""
    port = obedience.wire_port()
    if port is None:
        return settings
    return dataclasses.replace(settings, amqp_url=through(settings.amqp_url, port))
