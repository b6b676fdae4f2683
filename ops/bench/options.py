"""The options that both commands share."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.primitives import MAX_PARTIES, Curve, Scheme
from contracts.requests import MAX_LIFETIME_MS

from .site import Store

CurveOption = Annotated[Curve, typer.Option("--curve", help="Of the keys.")]
SchemeOption = Annotated[
    Scheme | None,
    typer.Option(
        "--scheme",
        help="Of the signatures; goes with the curve.",
        show_default="ed25519 or bip340, by the curve",
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Operations to measure.")]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", min=1, help="Operations in flight at any time.")
]
Warmup = Annotated[
    int | None,
    typer.Option(
        "--warmup",
        min=0,
        help="Operations before those that are measured.",
        show_default="twice the concurrency, at least 10",
    ),
]
Parties = Annotated[
    int, typer.Option("--parties", min=2, max=MAX_PARTIES, help="How many hold a share.")
]
Threshold = Annotated[
    int, typer.Option("--threshold", min=2, max=MAX_PARTIES, help="How many of them sign.")
]
PartyProcesses = Annotated[
    int, typer.Option("--processes-per-party", min=1, help="Worker processes of each party.")
]
CoordinatorProcesses = Annotated[
    int, typer.Option("--coordinator-processes", min=1, help="Worker processes.")
]
StoreOption = Annotated[Store, typer.Option("--store", help="Where the parties keep shares.")]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        dir_okay=False,
        help="A client's configuration: use the stack that it belongs to, start none.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout", min=0.1, max=MAX_LIFETIME_MS / 1000, help="Lifetime of a request, seconds."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", dir_okay=False, help="Write a PNG to this file.")
]
Directory = Annotated[
    Path, typer.Option("--directory", file_okay=False, help="For the throw-away stack.")
]
