"""A broker of a test's own, to be told what would trouble others."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ops.stack import discovery, rabbitmq
from ops.stack.services import Services
from ops.stack.workspace import workspace
from tests.conftest import STACK


@dataclass
class Broker:
    node: rabbitmq.RabbitBroker
    programs: Path

    def beside(self, others: Services) -> Services:
        """This broker, and the database of the others."""
        return replace(others, amqp_url=self.node.amqp_url, management_url=self.node.management_url)

    def control(self, *words: str, program: str = "rabbitmqctl") -> None:
        """What rabbitmqctl is told, or another such program."""
        (only,) = self.node.nodes
        environment = {**self.node.environment, **rabbitmq._own_environment(only)}
        command = [str(self.programs / program), "-n", only.name, *words]
        subprocess.run(command, env=environment, check=True, capture_output=True)


def own_broker(advanced: str | None = None) -> Iterator[Broker]:
    """For a fixture.

    Arguments:
        advanced: What its `advanced.config` says, if it has one.
    """
    programs = discovery.rabbitmq_programs(os.environ)
    if programs is None or not (programs / "rabbitmqctl").exists():
        pytest.skip("no rabbitmqctl here")
    with workspace(STACK, keep=False, account=None) as place:
        directory = place.run / "rabbitmq"
        if advanced is not None:
            directory.mkdir(mode=0o700)
            (directory / "advanced.config").write_text(advanced)
        node = rabbitmq.start(directory, programs)
        try:
            node.wait_ready()
            yield Broker(node, programs)
        finally:
            node.stop(keep=False)
