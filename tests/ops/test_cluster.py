"""A private broker of three nodes from outside: one cluster, loopback only, gone with its owner."""

from __future__ import annotations

import ast
import signal
from pathlib import Path

import httpx
import psutil
import pytest

import topology
from contracts.hosts import Hosts
from ops.stack import vhosts
from ops.stack.discovery import Facts, Source, choose
from ops.stack.errors import StackError
from ops.stack.services import Services
from tests.ops.test_services import bystanders, family, gone, owner, private
from topology.management import Management

__all__ = ["bystanders", "private"]

VHOST = "cluster"
MEMBERS = topology.Members(parties=("party-1",), clients=("svcA",))


@pytest.mark.system
@pytest.mark.usefixtures("bystanders")
async def test_three_nodes_are_one_broker_and_end_with_their_owner(private: Services) -> None:
    stack = private.directory / "of-three"
    with owner(stack, "cluster") as (process, shown):
        pids = ast.literal_eval(shown["broker_pids"])
        assert len(set(pids)) == len(Hosts(shown["amqp_url"])) == 3
        password = httpx.URL(shown["management_url"]).password
        for pid in pids:
            found = psutil.Process(pid)
            assert password not in " ".join(found.cmdline())
            assert listens_at(pid) == {"127.0.0.1"}

        vhosts.create(shown["management_url"], VHOST)
        await topology.apply_all(shown["management_url"], members=MEMBERS, vhost=VHOST)
        async with Management(shown["management_url"]) as management:
            queues = await management.get("queues/{}", VHOST)
        # RabbitMQ 3.10 says of streams only who leads.
        assert {queue["type"] for queue in queues} == {"quorum", "stream"}
        of_quorums = [queue["members"] for queue in queues if queue["type"] == "quorum"]
        assert {len(members) for members in of_quorums} == {3}

        everything = [each for pid in pids for each in family(pid)]
        process.send_signal(signal.SIGKILL)
    assert gone(everything)


def listens_at(pid: int) -> set[str]:
    connections = psutil.Process(pid).net_connections()
    return {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}


def test_a_cluster_is_made_of_private_nodes_even_where_docker_would_do() -> None:
    facts = Facts(docker=True, rabbitmq=Path("/usr/lib/rabbitmq/bin"))
    assert choose(facts).broker is Source.CONTAINER
    assert choose(facts, nodes=3).broker is Source.LOCAL
    assert choose(Facts(docker=True, apt=True), nodes=3).broker is Source.INSTALL


def test_a_broker_that_is_given_is_no_cluster_of_ours() -> None:
    facts = Facts(amqp_url=True, management_url=True, docker=True)
    assert choose(facts).broker is Source.GIVEN
    with pytest.raises(StackError, match=r"leave WARREN_AMQP_URL and WARREN_MANAGEMENT_URL out"):
        choose(facts, nodes=3)
