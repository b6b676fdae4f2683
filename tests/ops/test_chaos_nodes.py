"""A broker of several nodes: which of them is struck, and that there has to be more than one."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from ops.chaos import nodes
from ops.chaos.faults import FOLLOWING, LEADING, TRAITS, Kind, claims, possible
from ops.chaos.wires import Wires
from ops.cli.main import app
from tests.ops.test_chaos_wires import connect, port

__all__ = ["port"]

LEADERS = ["b", "b", "a", "c", "c", "c", "a", "c", "b"]
"""Of each queue; a classic one has none."""


class FakeManagement:
    def __init__(self, _: str) -> None: ...

    async def __aenter__(self) -> FakeManagement:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def get(self, path: str) -> list[dict[str, str]]:
        assert path.startswith("queues/a%20vhost?")
        return [{"name": "classic"}, *({"name": "quorum", "leader": each} for each in LEADERS)]


async def chosen(names: Sequence[str], target: str, monkeypatch: pytest.MonkeyPatch) -> str | None:
    monkeypatch.setattr(nodes, "Management", FakeManagement)
    deployment: Any = SimpleNamespace(monitor_url="http://127.0.0.1", vhost="a vhost")
    machines: Any = [SimpleNamespace(name=name) for name in names]
    machine = await nodes.chosen(deployment, machines, target)
    return None if machine is None else machine.name


@pytest.mark.parametrize(("target", "expected"), [(LEADING, "c"), (FOLLOWING, "a")])
async def test_the_node_that_leads_most_queues_or_fewest_is_struck(
    target: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await chosen("abc", target, monkeypatch) == expected


async def test_a_node_that_leads_none_leads_fewest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await chosen("abcd", FOLLOWING, monkeypatch) == "d"


@pytest.mark.parametrize("names", ["", "c"])
async def test_the_only_node_is_not_one_of_several(
    names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await chosen(names, LEADING, monkeypatch) is None


def test_a_node_dies_only_where_there_are_others() -> None:
    assert set(possible(3)) == set(Kind)
    assert set(possible(1)) == set(Kind) - {Kind.NODE}
    assert not TRAITS[Kind.NODE].excuses
    assert claims(Kind.NODE, LEADING) == claims(Kind.BROKER_KILL, "")


def test_the_command_says_what_it_takes_to_lose_a_node() -> None:
    refused = CliRunner().invoke(app, ["chaos", "--fault", "node", "--plan"])
    assert refused.exit_code == 2
    assert "--nodes" in refused.stderr
    planned = CliRunner().invoke(app, ["chaos", "--fault", "node", "--nodes", "3", "--plan"])
    assert planned.exit_code == 0
    assert "node  leading" in planned.stderr or "node  following" in planned.stderr
    whole = ["chaos", "--seconds", "2000", "--seed", "1", "--plan"]
    assert "  node  " not in CliRunner().invoke(app, whole).stderr
    assert "  node  " in CliRunner().invoke(app, [*whole, "--nodes", "3"]).stderr


def test_a_wire_takes_a_far_end_that_is_there(port: int) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = nobody.getsockname()[1]
    url = f"amqp://u:p@127.0.0.1:{gone},127.0.0.1:{port}/v"
    with Wires(url, ["w"]) as wires:
        for _ in range(8):
            with connect(wires) as connection:
                connection.sendall(b"hello")
                assert connection.recv(100) == b"hello"
