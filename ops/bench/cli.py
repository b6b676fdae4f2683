"""``warren bench``: how fast, at what cost.

Exit codes: 0 every operation succeeded; 1 some failed; 2 a wrong command line or configuration;
4 broker, database or workers cannot be had; 130 interrupted.
"""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from contracts.primitives import Curve, Scheme
from contracts.terms import MAX_PRESIGN_BATCH

from . import options, renewals, static_size
from .beside import HERE
from .console import (
    Output,
    measure,
    measure_abuse,
    measure_crowd,
    measure_hop,
    measure_junk,
    measure_rates,
    measure_renewals,
    measure_typescript,
    say,
)
from .crowd import FLOODER
from .floods import Kind, Way
from .load import Load
from .site import Processes, Site, Store, own_site, plan_for, running_site
from .supply import supply_for
from .work import Pool, Work

MAX_RATE = 10_000

app = typer.Typer(
    help="Measure latency, throughput and CPU, on a throw-away stack or one that runs.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


@app.command()
def keygen(
    curve: options.CurveOption = Curve.ED25519,
    count: options.Count = 50,
    concurrency: options.Concurrency = 1,
    warmup: options.Warmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    processes_per_party: options.PartyProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.Timeout = 60.0,
    config: options.Config = None,
    to_json: options.AsJson = False,
    plot: options.Plot = None,
    directory: options.Directory = Path(".warren"),
) -> None:
    """Key generation: from the request to the certified key."""
    _check_threshold(threshold, parties)
    work = Work(
        operation="keygen", curve=curve, scheme=None, threshold=threshold, party_count=parties
    )
    load = _load(count, concurrency, warmup, timeout)
    processes = Processes(party=processes_per_party, coordinator=coordinator_processes)
    site = _site(config, directory, work, load, processes, store)
    measure(work, load, site, Output(to_json=to_json, plot=plot))


@app.command()
def sign(
    curve: options.CurveOption = Curve.ED25519,
    scheme: options.SchemeOption = None,
    batch: options.Digests = 1,
    warm: options.Warm = False,
    cold: options.Cold = False,
    while_presigning: options.WhilePresigning = False,
    count: options.Count = 300,
    concurrency: options.Concurrency = 1,
    rates: options.Open = None,
    warmup: options.Warmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    processes_per_party: options.PartyProcesses = 1,
    presigning_processes: options.PresigningProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    bundles: options.Bundles = True,
    timeout: options.Timeout = 60.0,
    config: options.Config = None,
    to_json: options.AsJson = False,
    plot: options.Plot = None,
    directory: options.Directory = Path(".warren"),
) -> None:
    """Signing: from the request to the verified signature, all with one key."""
    _check_threshold(threshold, parties)
    scheme = scheme or (Scheme.ED25519 if curve is Curve.ED25519 else Scheme.ECDSA)
    _check_scheme(scheme, curve, batch, presigned=warm or cold)
    _check_pool(warm, cold, while_presigning, running=config is not None)
    _check_rates(rates or [], concurrency)
    work = Work(
        operation="sign",
        curve=curve,
        scheme=scheme,
        threshold=threshold,
        party_count=parties,
        batch=batch,
        pool=None if scheme is not Scheme.ECDSA or config is not None else _pool(warm, cold),
        refill=while_presigning,
    )
    load = _load(count, concurrency, warmup, timeout)
    processes = Processes(
        party=processes_per_party,
        presigning=presigning_processes,
        coordinator=coordinator_processes,
    )
    site = _site(config, directory, work, load, processes, store, bundles=bundles)
    output = Output(to_json=to_json, plot=plot)
    match [replace(load, rate=rate) for rate in rates or []]:
        case []:
            measure(work, load, site, output)
        case [one]:
            measure(work, one, site, output)
        case several:
            measure_rates(work, several, site, output)


@app.command()
def http(
    curve: options.CurveOption = Curve.ED25519,
    scheme: options.SchemeOption = None,
    warm: options.Warm = False,
    cold: options.Cold = False,
    count: options.Count = 300,
    concurrency: options.Concurrency = 1,
    warmup: options.Warmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    processes_per_party: options.PartyProcesses = 1,
    presigning_processes: options.PresigningProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.Timeout = 60.0,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """What HTTP costs: the same signatures by the client library and through a gateway, in turns.

    `--count` of each. Through a gateway it is POST /api/v1/accounts/{id}/sign?wait=10, and the
    gateway verifies them.
    """
    _check_threshold(threshold, parties)
    scheme = scheme or (Scheme.ED25519 if curve is Curve.ED25519 else Scheme.ECDSA)
    _check_scheme(scheme, curve, 1, presigned=warm or cold)
    _check_pool(warm, cold, False, running=False)
    work = Work(
        operation="sign",
        curve=curve,
        scheme=scheme,
        threshold=threshold,
        party_count=parties,
        pool=None if scheme is not Scheme.ECDSA else _pool(warm, cold),
    )
    load = _load(count, concurrency, warmup, timeout)
    processes = Processes(
        party=processes_per_party,
        presigning=presigning_processes,
        coordinator=coordinator_processes,
    )
    site = _site(None, directory, work, load, processes, store, gateways=1)
    measure_hop(work, load, site, to_json=to_json)


@app.command()
def abuse(
    seconds: options.WindowSeconds = 8.0,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """What bad manners of one caller do to another: slow ones, huge bodies, idle connections, a
    burst of 2,000 requests; each while another API key signs steadily."""
    work = Work(
        operation="sign", curve=Curve.ED25519, scheme=Scheme.ED25519, threshold=2, party_count=3
    )
    plan = plan_for(party_count=work.party_count, gateways=1, gateway_limits={})
    site = own_site(directory, plan, Store.POSTGRES, say)
    measure_abuse(work, seconds, site, to_json=to_json)


@app.command("junk")
def junk_(
    count: options.JunkCount = 5_000,
    beside: options.Beside = None,
    turns: options.Turns = 1,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """What bad messages in results, reports, inboxes and requests do to those who sign meanwhile;
    with --beside, in another tree of Warren as well."""
    trees = [HERE] if beside is None else [beside.resolve(), HERE]
    measure_junk(trees, turns=turns, count=count, directory=directory, to_json=to_json)


@app.command("typescript")
def typescript_(
    count: options.Count = 2_000,
    concurrency: options.Concurrency = 24,
    turns: options.Turns = 3,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """The TypeScript client beside the Python client: ed25519 signatures a second, in turns, and
    how its heap grows from the 500th signature to the last."""
    measure_typescript(
        count=count, concurrency=concurrency, turns=turns, directory=directory, to_json=to_json
    )


@app.command()
def crowd(
    seconds: options.CrowdSeconds = 20.0,
    lanes: options.Lanes = 60,
    kind: options.Kinds = None,
    via: options.Ways = None,
    coordinator_processes: options.CoordinatorProcesses = 1,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """What an owner who asks for far too much does to one who signs now and then.

    Floods of keys, lists of signatures, reads, event streams, cancels and bad requests, in turn, by
    an API key and by a client of its own. Over HTTP there are no lists, and single signatures take
    their place; over AMQP there are no streams, and questions do. Exit code 1 if the modest owner's
    signatures fail, or their p99 is more than three times the quiet one and 250 ms, or a refusal
    takes more than 100 ms.
    """
    kinds, ways = tuple(kind or Kind), tuple(via or Way)
    plan = plan_for(
        party_count=3,
        processes=Processes(coordinator=coordinator_processes),
        gateways=1,
        gateway_limits={},
        others=(FLOODER,),
    )
    site = own_site(directory, plan, Store.POSTGRES, say)
    measure_crowd(site, seconds=seconds, lanes=lanes, kinds=kinds, ways=ways, to_json=to_json)


@app.command("reshare")
def reshare_(
    curve: options.CurveOption = Curve.ED25519,
    count: options.Count = 20,
    keys: options.Keys = 100,
    processes_per_party: options.PartyProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.Timeout = 60.0,
    to_json: options.AsJson = False,
    directory: options.Directory = Path(".warren"),
) -> None:
    """New shares: 2-of-3 made 3-of-5 beside a key generation of 3-of-5, in turns; and signatures
    alone and while many keys are reshared. The ratios are what counts."""
    processes = Processes(party=processes_per_party, coordinator=coordinator_processes)
    plan = plan_for(party_count=renewals.PARTY_COUNT, processes=processes, store=store)
    site = own_site(directory, replace(plan, resharers=plan.clients), store, say)
    measure_renewals(site, curve=curve, count=count, keys=keys, timeout_s=timeout, to_json=to_json)


@app.command()
def presign(
    batch: options.PresignBatch = MAX_PRESIGN_BATCH,
    count: options.BatchCount = 20,
    concurrency: options.BatchConcurrency = 2,
    warmup: options.BatchWarmup = None,
    parties: options.Parties = 3,
    threshold: options.Threshold = 2,
    presigning_processes: options.PresigningProcesses = 1,
    coordinator_processes: options.CoordinatorProcesses = 1,
    store: options.StoreOption = Store.POSTGRES,
    timeout: options.BatchTimeout = 60.0,
    to_json: options.AsJson = False,
    plot: options.Plot = None,
    directory: options.Directory = Path(".warren"),
) -> None:
    """Presignatures for ECDSA: batch after batch for one key, as if its pool were never full."""
    _check_threshold(threshold, parties)
    work = Work(
        operation="presign",
        curve=Curve.SECP256K1,
        scheme=Scheme.ECDSA,
        threshold=threshold,
        party_count=parties,
        batch=batch,
    )
    load = _load(count, concurrency, 2 * concurrency if warmup is None else warmup, timeout)
    processes = Processes(presigning=presigning_processes, coordinator=coordinator_processes)
    site = _site(None, directory, work, load, processes, store)
    measure(work, load, site, Output(to_json=to_json, plot=plot))


@app.command()
def topology(
    clients: Annotated[int, typer.Option(min=1, help="How many the files list.")] = 10_000,
    to_json: options.AsJson = False,
) -> None:
    """How long the topology's files take to be checked and planned for very many clients."""
    figures = static_size.measured(clients)
    if to_json:
        typer.echo(json.dumps(figures))
    else:
        typer.echo("\n".join(static_size.lines(figures)))


###
### Options that do not go together
###


def _check_threshold(threshold: int, party_count: int) -> None:
    if threshold > party_count:
        raise typer.BadParameter(f"--threshold {threshold} is more than --parties {party_count}")


def _check_scheme(scheme: Scheme, curve: Curve, batch: int, *, presigned: bool) -> None:
    if scheme.curve is not curve:
        raise typer.BadParameter(
            f"--scheme {scheme} goes with --curve {scheme.curve}, not with {curve}"
        )
    if scheme is Scheme.ECDSA:
        return
    if batch > 1:
        raise typer.BadParameter(f"--batch {batch} goes with --scheme ecdsa: others sign no lists")
    if presigned:
        raise typer.BadParameter(
            "--warm and --cold go with --scheme ecdsa: others need no presignatures"
        )


def _check_pool(warm: bool, cold: bool, while_presigning: bool, *, running: bool) -> None:
    if warm and cold:
        raise typer.BadParameter("--warm and --cold: one of them")
    if cold and while_presigning:
        raise typer.BadParameter(
            "--cold makes nothing ahead, so --while-presigning has nothing to fill"
        )
    if running and (warm or cold or while_presigning):
        raise typer.BadParameter(
            "--warm, --cold and --while-presigning need a stack of their own: "
            "with --config the pools are as that one has them"
        )


def _check_rates(rates: list[float], concurrency: int) -> None:
    if rates and concurrency > 1:
        raise typer.BadParameter(
            "--open and --concurrency: one of them. Who offers so many a second does not ask how "
            "many are in flight"
        )
    if wrong := [rate for rate in rates if not 0 < rate <= MAX_RATE]:
        raise typer.BadParameter(f"--open {wrong[0]:g}: more than 0, at most {MAX_RATE:,} a second")


def _pool(warm: bool, cold: bool) -> Pool:
    return Pool.WARM if warm else Pool.COLD if cold else Pool.SUSTAINED


###
### What the options say
###


def _load(count: int, concurrency: int, warmup: int | None, timeout_s: float) -> Load:
    return Load(
        count=count,
        concurrency=concurrency,
        warmup=max(10, 2 * concurrency) if warmup is None else warmup,
        timeout_s=timeout_s,
    )


def _site(
    config: Path | None,
    directory: Path,
    work: Work,
    load: Load,
    processes: Processes,
    store: Store,
    gateways: int = 0,
    bundles: bool = True,
) -> AbstractContextManager[Site]:
    if config is not None:
        return running_site(config)
    plan = plan_for(
        party_count=work.party_count,
        processes=processes,
        store=store,
        supply=supply_for(work, load),
        gateways=gateways,
        bundles=bundles,
    )
    return own_site(directory, plan, store, say)
