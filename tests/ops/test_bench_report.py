"""What a measurement looks like: to programs, to people, as a picture."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.bench.plot import PlotError, draw, require_matplotlib
from ops.bench.report import Report, as_json, render
from ops.bench.tally import Presignatures
from ops.bench.work import Pool, Work
from tests.ops.bench_samples import BATCHES, LISTS, WORK, group, report

PAGE = """\
sign bip340, 2 of 3, 4 in flight
2026-11-21T00:30:20+00:00, commit ebeff70

machine     Some Processor, 2 cores, 8.0 GiB
software    Linux 6, Python 3.11.2, RabbitMQ 3.10.8, PostgreSQL 15.18
processes   coordinator 1, 3 parties x 2 and keys 1, presign 1, client 1; the parties' store: mixed
durability  quorum queues, publisher confirms, fsync on, synchronous_commit on
load        100 operations after 10 to warm up

100 succeeded in 2.00 s: 50.0/s

Latency, queue to verified result, ms

   p50    p95    p99    max   mean   min
 ────────────────────────────────────────
  10.0   20.0   25.0   30.0   11.0   5.0


CPU and resident memory

            CPU s   ms/signature   cores      MiB
 ─────────────────────────────────────────────────
  client     0.25           2.50    0.12       50
  party-1    0.50           5.00    0.25   60, 61
  broker     1.00          10.00    0.50      140
 ─────────────────────────────────────────────────
  all        1.75          17.50    0.88

Meanwhile 0.02 of 2 cores were busy with what is not in this table.
"""

KEYS = {
    "": "version date commit machine stack work count concurrency offered_per_s "
    "warmup warmup_failures "
    "interrupted elapsed_s succeeded failures abandoned throughput_per_s items_per_s "
    "latency_ms presignatures cpu other_cores memory_bytes",
    "machine": "cpu cores memory_bytes kernel python",
    "stack": "store coordinator_processes processes_per_party keygen_processes "
    "presigning_processes gateways rabbitmq postgresql queues fsync synchronous_commit",
    "work": "operation curve scheme threshold party_count batch pool refill",
    "presignatures": "before after made made_elsewhere",
    "latency_ms": "p50 p95 p99 max mean min",
}
"""What scripts rely on. A change here is a new version."""


MADE = Presignatures(before=128, after=96, made=768, made_elsewhere=256)


def page(sample: Report) -> str:
    out = io.StringIO()
    Console(file=out, width=100).print(render(sample))
    return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())


###
### For people
###


def test_a_report_reads_as_it_should() -> None:
    assert page(report()) == PAGE


def test_failures_stand_beside_what_succeeded_by_code() -> None:
    shown = page(
        report(succeeded=90, failures={"internal": 1, "expired": 9}, warmup_failures={"expired": 2})
    )
    assert "90 succeeded" in shown
    assert "10 failed: expired 9, internal 1" in shown
    assert "2 warm-up failed: expired 2" in shown


def test_an_interrupted_measurement_says_so_and_what_it_left() -> None:
    shown = page(report(interrupted=True, succeeded=7, abandoned=4))
    assert "Interrupted. 7 succeeded" in shown
    assert "4 were in flight and not waited for" in shown


def test_nothing_measured_shows_dashes_and_no_latency() -> None:
    silent = replace(group("client", 0.25), cpu_ms_per_operation=None, cpu_ms_per_item=None)
    shown = page(report(succeeded=0, failures={"expired": 5}, latency_ms=None, cpu=[silent]))
    assert "Latency" not in shown
    assert "5 failed: expired 5" in shown
    row = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["client"])
    assert row == ["client", "0.25", "-", "0.12", "50"]


def test_a_stack_that_ran_already_shows_only_what_is_known_of_it() -> None:
    shown = page(report(stack=None, cpu=[group("client", 0.25)]))
    assert "only the client's own CPU is known" in shown
    assert "PostgreSQL" not in shown
    assert "durability" not in shown


def test_a_queue_that_is_not_replicated_is_not_called_quorum() -> None:
    stack = report().stack
    assert stack is not None
    shown = page(report(stack=replace(stack, queues=["classic", "quorum"], fsync="off")))
    assert "classic and quorum queues" in shown
    assert "fsync off" in shown


def test_lists_are_told_by_the_signature_too() -> None:
    shown = page(report(work=LISTS, items_per_s=400.0, cpu=[group("party-1", 0.5, batch=8)]))
    assert "100 succeeded in 2.00 s: 50.0/s, 400.0 signatures/s" in shown
    header = next(line for line in shown.splitlines() if "CPU s" in line)
    assert header.split()[2:4] == ["ms/request", "ms/signature"]
    row = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["party-1"])
    assert row[1:4] == ["0.50", "5.00", "0.62"]


def test_presignatures_are_told_of_if_they_are_part_of_it() -> None:
    shown = page(report(work=LISTS, presignatures=MADE))
    assert "presigned   128 in stock before, 96 after, 768 made meanwhile" in shown
    assert "256 made for another key, 128.0/s" in " ".join(shown.split())
    assert "another key," not in page(report(presignatures=replace(MADE, made_elsewhere=None)))
    assert "presigned" not in page(report())


@pytest.mark.parametrize(
    ("work", "title"),
    [
        (WORK, "sign bip340, 2 of 3, 4 in flight"),
        (
            LISTS,
            "sign ecdsa, 2 of 3, sustained, lists of 8, 4 in flight, "
            "beside another key's presigning",
        ),
        (BATCHES, "presign ecdsa, 2 of 3, batches of 64, 4 in the making"),
        (
            replace(LISTS, pool=Pool.COLD, batch=1, refill=False),
            "sign ecdsa, 2 of 3, cold, 4 in flight",
        ),
    ],
)
def test_the_title_says_what_was_measured(work: Work, title: str) -> None:
    assert report(work=work).title == title


def test_a_batch_of_presignatures_has_no_way_to_the_client() -> None:
    assert "Latency of a batch at the coordinator, ms" in page(report(work=BATCHES))


def test_the_groups_that_presign_have_memory_of_their_own() -> None:
    memory = {"party-1.1": 60 * 2**20, "party-1.presigning.1": 90 * 2**20}
    groups = [group("party-1", 0.5), group("party-1.presigning", 0.5)]
    shown = page(report(cpu=groups, memory_bytes=memory))
    rows = [line.split() for line in shown.splitlines() if line.strip().startswith("party-1")]
    assert [(row[0], row[-1]) for row in rows] == [("party-1", "60"), ("party-1.presigning", "90")]


###
### For programs
###


def test_the_json_has_the_keys_that_scripts_rely_on() -> None:
    found: dict[str, Any] = json.loads(as_json(report(presignatures=MADE)))
    for name, keys in KEYS.items():
        assert " ".join(found[name] if name else found) == keys
    assert found["version"] == 1
    assert list(found["cpu"][0]) == [
        "group",
        "processes",
        "cpu_s",
        "cpu_ms_per_operation",
        "cpu_ms_per_item",
        "cores",
    ]
    assert found["work"]["scheme"] == "bip340"
    assert found["stack"]["store"] == "mixed"
    assert found["latency_ms"]["p99"] == 25.04


def test_what_is_unknown_is_null_in_the_json() -> None:
    found = json.loads(as_json(report(stack=None, commit=None, latency_ms=None)))
    unknown = ("stack", "commit", "latency_ms", "presignatures")
    assert [found[name] for name in unknown] == [None] * 4


###
### As a picture
###


def test_the_plot_is_a_png_of_the_figures(tmp_path: Path) -> None:
    image = pytest.importorskip("matplotlib.image")
    file = tmp_path / "plot.png"
    draw(report(), [0.005 + i / 4000 for i in range(100)], file)
    assert file.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    pixels = image.imread(file)
    assert pixels.shape == (576, 1320, 4)
    left, right = pixels[:, :660], pixels[:, 660:]
    for half in (left, right):
        inked = (half[:, :, :3] < 0.9).any(axis=2).mean()
        assert 0.01 < inked < 0.5


@pytest.mark.long
def test_other_figures_make_another_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    latencies = [0.005 + i / 4000 for i in range(100)]
    draw(report(), latencies, tmp_path / "1.png")
    draw(report(), [2 * latency for latency in latencies], tmp_path / "2.png")
    draw(report(cpu=[group("client", 3.0)]), latencies, tmp_path / "3.png")
    draw(report(), latencies, tmp_path / "4.png")
    first, second, third, fourth = ((tmp_path / f"{i}.png").read_bytes() for i in (1, 2, 3, 4))
    assert len({first, second, third}) == 3
    assert first == fourth


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(PlotError, match="no operation succeeded"):
        draw(report(latency_ms=None), [], tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()


def test_without_matplotlib_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PlotError, match=r"warren\[plot\]"):
        require_matplotlib()
