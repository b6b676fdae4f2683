"""Both arithmetic paths against each other and against kept figures.

To write the figures anew: ``python -m tests.protocols.ot.test_arithmetic``.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.protocols.groups import SECP256K1
from workers.protocols.ot.arithmetic import (
    ROWS,
    ROWS_SIZE,
    Arithmetic,
    BatchedArithmetic,
    PlainArithmetic,
    all_below_q,
)
from workers.protocols.ot.arithmetic.interface import CHOICE_SIZE, gadget

from ..simulate import coins

FIGURES = Path(__file__).parent / "figures" / "arithmetic.json"
Q = SECP256K1.order
PATHS: list[Arithmetic] = [PlainArithmetic(), BatchedArithmetic()]
EACH = pytest.mark.parametrize("path", PATHS, ids=lambda path: type(path).__name__)

EXTREMES = {"zeros": 0, "ones": 2**256 - 1, "order": Q, "below": Q - 1, "fold": 2**256 - Q}


def stream(size: int, *label: object) -> bytes:
    return hashlib.shake_256(coins(*label)).digest(size)


def wide(value: int, instances: int) -> bytes:
    return value.to_bytes(32, "little") * (instances * ROWS * 3)


def number(*label: object) -> int:
    return int.from_bytes(coins(*label), "big") % Q


def case(name: str) -> tuple[int, bytes, bytes, bytes]:
    """Instances, two strings of pads, choice bits."""
    if name in EXTREMES:
        value = wide(EXTREMES[name], 2)
        return 2, value, wide(0, 2), b"\xff" * (2 * CHOICE_SIZE)
    instances = int(name)
    size = instances * ROWS_SIZE
    return instances, stream(size, name, 0), stream(size, name, 1), stream(size // 768, name, 2)


def run(path: Arithmetic, name: str) -> dict[str, Any]:
    """Every operation once; long results as their hash."""
    instances, one, two, choice = case(name)
    triples = [(number(name, i, 0), number(name, i, 1), Q - 1) for i in range(instances)]
    thetas = [(number(name, i, "theta"), Q - 1 - i) for i in range(instances)]
    etas = [number(name, i, "eta") for i in range(instances)]
    masked = path.mask(one, two, triples)
    swapped = path.mask(two, one, triples)
    sent = path.open_sender(one, thetas)
    received = path.open_receiver(two, choice, masked, thetas, etas)
    assert all(map(all_below_q, (masked, swapped, sent.check, received.check)))
    return {
        "multiplicands": [hex(chi) for chi in path.multiplicands(choice)],
        "masked": hashlib.sha256(masked).hexdigest(),
        "swapped": hashlib.sha256(swapped).hexdigest(),
        "sender": _opened(sent.check, sent.products),
        "receiver": _opened(received.check, received.products),
    }


def _opened(check: bytes, products: Sequence[tuple[int, int]]) -> list[object]:
    return [hashlib.sha256(check).hexdigest(), [[hex(x), hex(y)] for x, y in products]]


@EACH
@pytest.mark.parametrize("name", ["1", "3", "16", *EXTREMES])
def test_each_path_gives_the_kept_figures(path: Arithmetic, name: str) -> None:
    assert run(path, name) == json.loads(FIGURES.read_text())[name]


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_both_paths_agree_on_numbers_at_the_edges(data: st.DataObject) -> None:
    edges = st.sampled_from([*EXTREMES.values(), 1, 2**255, 2**128, 2**256 - 2**16, Q + 1])
    rows = data.draw(st.lists(edges, min_size=24, max_size=24))
    pads = b"".join(value.to_bytes(32, "little") for value in rows) * (ROWS // 8)
    other = pads[32:] + pads[:32]
    below = b"".join((value % Q).to_bytes(32, "little") for value in rows) * (ROWS // 8)
    choice = data.draw(st.binary(min_size=CHOICE_SIZE, max_size=CHOICE_SIZE))
    pair = (data.draw(edges) % Q, data.draw(edges) % Q)
    eta = data.draw(edges) % Q
    for x in (pads, other):
        triple = [(*pair, eta)]
        plain, batched = PATHS
        assert plain.mask(x, pads, triple) == batched.mask(x, pads, triple)
        assert plain.open_sender(x, [pair]) == batched.open_sender(x, [pair])
        arguments = (x, choice, below, [pair], [eta])
        assert plain.open_receiver(*arguments) == batched.open_receiver(*arguments)
        assert plain.multiplicands(choice) == batched.multiplicands(choice)


def test_a_carry_and_a_borrow_do_not_chase_each_other_for_ever() -> None:
    """2^255 - 2^128 + 2^255: folding the top before all borrows have reached it never ends."""
    ones, zeros = (number.to_bytes(32, "little") * (3 * ROWS) for number in (2**255, 2**128))
    triple = [(2**255,) * 3]
    expected = ((2**256 - 2**128) % Q).to_bytes(32, "little") * (3 * ROWS)
    for path in PATHS:
        assert path.mask(ones, zeros, triple) == expected


THREADS = """
import psutil
from workers.protocols import dkls23
import numpy as np
np.ones((600, 600)) @ np.ones((600, 600))
import os
print(os.environ["OPENBLAS_NUM_THREADS"], psutil.Process().num_threads())
"""


@pytest.mark.parametrize(
    ("given", "kept"), [({}, ["1", "1"]), ({"OPENBLAS_NUM_THREADS": "2"}, ["2"])]
)
def test_linear_algebra_runs_on_one_thread_unless_somebody_said_otherwise(
    given: dict[str, str], kept: list[str]
) -> None:
    environment = {name: value for name, value in os.environ.items() if "NUM_THREADS" not in name}
    done = subprocess.run(
        [sys.executable, "-c", THREADS],
        env={**environment, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[: len(kept)] == kept


def test_the_gadget_is_public_pinned_and_all_different() -> None:
    assert len(set(gadget())) == ROWS == 256 + 2 * 80
    pinned = json.loads(FIGURES.read_text())["gadget"]
    assert [hex(gadget()[0]), hex(gadget()[-1])] == pinned


def test_range_checks_find_the_one_number_that_is_too_large() -> None:
    fine = b"".join(number(i).to_bytes(32, "little") for i in range(50))
    edge = (Q - 1).to_bytes(32, "little")
    assert all_below_q(fine + edge)
    assert not all_below_q(fine + Q.to_bytes(32, "little") + edge)


if __name__ == "__main__":
    figures: dict[str, Any] = {
        name: run(PlainArithmetic(), name) for name in ["1", "3", "16", *EXTREMES]
    }
    figures["gadget"] = [hex(gadget()[0]), hex(gadget()[-1])]
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n")
