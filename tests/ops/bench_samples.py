"""A report whose every figure is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from contracts.primitives import Curve, Scheme
from ops.bench.latency import Latency
from ops.bench.machine import Machine
from ops.bench.measure import GroupCpu
from ops.bench.report import Report
from ops.bench.site import Stack, Store
from ops.bench.work import Pool, Work

STACK = Stack(
    store=Store.MIXED,
    coordinator_processes=1,
    processes_per_party=2,
    keygen_processes=1,
    presigning_processes=1,
    rabbitmq="3.10.8",
    postgresql="15.18",
    queues=["quorum"],
    fsync="on",
    synchronous_commit="on",
)

WORK = Work(
    operation="sign", curve=Curve.SECP256K1, scheme=Scheme.BIP340, threshold=2, party_count=3
)


LISTS = Work(
    operation="sign",
    curve=Curve.SECP256K1,
    scheme=Scheme.ECDSA,
    threshold=2,
    party_count=3,
    batch=8,
    pool=Pool.SUSTAINED,
    refill=True,
)

BATCHES = Work(
    operation="presign",
    curve=Curve.SECP256K1,
    scheme=Scheme.ECDSA,
    threshold=2,
    party_count=3,
    batch=64,
)


def group(name: str, cpu_s: float, *, processes: int = 1, batch: int = 1) -> GroupCpu:
    return GroupCpu(
        group=name,
        processes=processes,
        cpu_s=cpu_s,
        cpu_ms_per_operation=10 * cpu_s,
        cpu_ms_per_item=10 * cpu_s / batch,
        cores=cpu_s / 2,
    )


def report(**changes: Any) -> Report:
    sample = Report(
        date="2026-11-21T00:30:20+00:00",
        commit="ebeff70",
        machine=Machine(
            cpu="Some Processor", cores=2, memory_bytes=8 * 2**30, kernel="Linux 6", python="3.11.2"
        ),
        stack=STACK,
        work=WORK,
        count=100,
        concurrency=4,
        warmup=10,
        warmup_failures={},
        interrupted=False,
        elapsed_s=2.0,
        succeeded=100,
        failures={},
        abandoned=0,
        throughput_per_s=50.0,
        items_per_s=50.0,
        latency_ms=Latency(p50=10.0, p95=20.0, p99=25.04, max=30.0, mean=11.0, min=5.0),
        presignatures=None,
        cpu=[group("client", 0.25), group("party-1", 0.5, processes=2), group("broker", 1.0)],
        other_cores=0.02,
        memory_bytes={
            "client": 50 * 2**20,
            "party-1.1": 60 * 2**20,
            "party-1.2": 61 * 2**20,
            "broker": 140 * 2**20,
        },
    )
    return replace(sample, **changes)
