"""The options of the commands."""

from pathlib import Path
from typing import Annotated

import typer

from contracts.primitives import MAX_ITEMS, MAX_PARTIES, Curve, Scheme
from contracts.requests import MAX_LIFETIME_MS
from contracts.terms import MAX_PRESIGN_BATCH

from .floods import Kind, Way
from .site import Store

CurveOption = Annotated[Curve, typer.Option("--curve", help="Of the keys.")]
SchemeOption = Annotated[
    Scheme | None,
    typer.Option(
        "--scheme",
        help="Of the signatures; goes with the curve.",
        show_default="ed25519 or ecdsa, by the curve",
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="Operations to measure.")]
Keys = Annotated[
    int, typer.Option("--keys", min=1, help="Keys that are reshared while others sign.")
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", min=1, help="Operations in flight at any time.")
]
Open = Annotated[
    list[float] | None,
    typer.Option(
        "--open",
        metavar="RATE",
        help="Offer so many a second, however many are in flight (Poisson). Several rates, each by "
        "an --open of its own, are measured one after another, and drawn as a curve.",
        show_default=False,
    ),
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
PresigningProcesses = Annotated[
    int,
    typer.Option(
        "--presigning-processes", min=1, help="Worker processes of each party, only to presign."
    ),
]
CoordinatorProcesses = Annotated[
    int, typer.Option("--coordinator-processes", min=1, help="Worker processes.")
]
Bundles = Annotated[
    bool,
    typer.Option("--bundles/--no-bundles", help="Whether what waits for a queue leaves together."),
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
WindowSeconds = Annotated[
    float, typer.Option("--seconds", min=1, help="Of each attack, and of each pause before one.")
]
CrowdSeconds = Annotated[float, typer.Option("--seconds", min=1, help="Of each flood.")]
Lanes = Annotated[
    int, typer.Option("--lanes", min=1, help="Requests that a flood keeps in flight.")
]
Kinds = Annotated[
    list[Kind] | None,
    typer.Option(
        "--kind", help="Of the floods; several if given several times.", show_default="all"
    ),
]
Ways = Annotated[
    list[Way] | None,
    typer.Option("--via", help="Over which the floods come.", show_default="both"),
]
Directory = Annotated[
    Path, typer.Option("--directory", file_okay=False, help="For the throw-away stack.")
]

###
### For signatures
###

Digests = Annotated[
    int,
    typer.Option(
        "--batch",
        min=1,
        max=MAX_ITEMS,
        help="Digests of one request: a list, if there are several. For ecdsa.",
    ),
]
Warm = Annotated[
    bool,
    typer.Option(
        "--warm", help="Make all presignatures before, none meanwhile. For ecdsa, as --cold is."
    ),
]
Cold = Annotated[
    bool,
    typer.Option(
        "--cold",
        help="Make each presignature when it is asked for. With neither, the pool is full at the "
        "beginning, and filled again as it is used.",
    ),
]
WhilePresigning = Annotated[
    bool,
    typer.Option(
        "--while-presigning",
        help="Fill another key's pool all the while: does signing starve? For every scheme.",
    ),
]

###
### For presignatures
###

PresignBatch = Annotated[
    int,
    typer.Option("--batch", min=1, max=MAX_PRESIGN_BATCH, help="Presignatures of one batch."),
]
BatchCount = Annotated[int, typer.Option("--count", "-n", min=1, help="Batches to measure.")]
BatchConcurrency = Annotated[
    int, typer.Option("--concurrency", "-c", min=1, help="Batches in the making at any time.")
]
BatchWarmup = Annotated[
    int | None,
    typer.Option(
        "--warmup",
        min=0,
        help="Batches before those that are measured.",
        show_default="twice the concurrency",
    ),
]
BatchTimeout = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Lifetime of a batch, seconds.")
]
JunkCount = Annotated[int, typer.Option("--count", "-n", min=64, help="Bad messages of each kind.")]
Beside = Annotated[
    Path | None,
    typer.Option(
        "--beside",
        exists=True,
        file_okay=False,
        metavar="TREE",
        help="Another tree of Warren, to be measured in turns with this one.",
        show_default=False,
    ),
]
Turns = Annotated[int, typer.Option("--turns", min=1, help="How often each tree is measured.")]
