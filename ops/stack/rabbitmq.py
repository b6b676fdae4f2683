"""A private RabbitMQ node: own name, cookie, epmd, ports and data; loopback only.

Works with any release from 3.10 on.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ops.stack import children
from ops.stack.errors import StartError
from ops.stack.sockets import LOOPBACK, free_ports, listens, speaks_amqp

USER = "warren"

# For the node and its command line tools: otherwise the port for Erlang's distribution would listen
# on every interface.
_LOOPBACK_DISTRIBUTION = "-kernel inet_dist_use_interface {127,0,0,1}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    epmd: int
    amqp: int
    management: int
    distribution: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitNode:
    """A node that was started; not ready before `wait_ready` returns."""

    ports: Ports
    password: str = field(repr=False)
    epmd: subprocess.Popen[bytes]
    server: subprocess.Popen[bytes]
    log: Path

    @property
    def amqp_url(self) -> str:
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.ports.amqp}/"

    @property
    def management_url(self) -> str:
        return f"http://{USER}:{self.password}@{LOOPBACK}:{self.ports.management}"

    @property
    def pid(self) -> int:
        return self.server.pid

    def wait_ready(self, timeout_s: float = 90) -> None:
        children.wait_ready(
            "RabbitMQ",
            self.server,
            lambda: speaks_amqp(self.ports.amqp) and listens(self.ports.management),
            log=self.log,
            timeout_s=timeout_s,
        )

    def stop(self, *, keep: bool) -> None:
        """End it at once, or, if its data are kept, as it wants to be ended (6 s in 3.10)."""
        children.stop(self.server, signal.SIGTERM if keep else signal.SIGKILL, grace_s=30)
        children.stop(self.epmd)


def start(directory: Path, programs: Path) -> RabbitNode:
    """Start a node that keeps everything in `directory`, with the programs found in `programs`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = directory / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    epmd_port, amqp, management, distribution = free_ports(4)
    ports = Ports(epmd=epmd_port, amqp=amqp, management=management, distribution=distribution)
    password = _secret(directory / "password")
    _secret(home / ".erlang.cookie")
    _write(directory / "rabbitmq.conf", _configuration(ports, password))
    _write(directory / "enabled_plugins", "[rabbitmq_management].\n")
    _write(directory / "environment.conf", "")

    environment = _environment(directory, ports, os.environ)
    log = directory / "node.log"
    # Our own epmd, in the foreground: erl would leave one behind as a daemon, on the standard port.
    epmd = children.spawn(
        [_epmd(programs), "-port", str(ports.epmd), "-address", LOOPBACK],
        environment=environment,
        directory=directory,
        log=log,
    )
    try:
        children.wait_ready("epmd", epmd, lambda: listens(ports.epmd), log=log, timeout_s=10)
        server = children.spawn(
            [programs / "rabbitmq-server"], environment=environment, directory=directory, log=log
        )
    except BaseException:
        children.stop(epmd)
        raise
    return RabbitNode(ports=ports, password=password, epmd=epmd, server=server, log=log)


def _configuration(ports: Ports, password: str) -> str:
    settings: dict[str, object] = {
        "default_user": USER,
        "default_pass": password,
        "management.tcp.ip": LOOPBACK,
        "management.tcp.port": ports.management,
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
        "vm_memory_high_watermark.absolute": "1GB",
    }
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _environment(directory: Path, ports: Ports, outer: Mapping[str, str]) -> dict[str, str]:
    """Every path and port that the node would otherwise share with an installed one."""
    return {
        "PATH": outer.get("PATH", os.defpath),
        "LANG": outer.get("LANG", "C.UTF-8"),
        "HOME": str(directory / "home"),  # where Erlang looks for its cookie
        "ERL_EPMD_PORT": str(ports.epmd),
        "ERL_EPMD_ADDRESS": LOOPBACK,
        "RABBITMQ_CONF_ENV_FILE": str(directory / "environment.conf"),  # empty: not the one in /etc
        "RABBITMQ_BASE": str(directory),
        "RABBITMQ_NODENAME": "warren@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SCHEMA_DIR": str(directory / "schema"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _LOOPBACK_DISTRIBUTION,
        "RABBITMQ_CTL_ERL_ARGS": _LOOPBACK_DISTRIBUTION,
        # The start script then becomes the Erlang machine instead of waiting for it: signals and
        # process ids mean the broker itself.
        "RUNNING_UNDER_SYSTEMD": "1",
    }


def _epmd(programs: Path) -> str:
    beside = programs / "epmd"
    found = str(beside) if beside.is_file() else shutil.which("epmd")
    if found is None:
        raise StartError(
            "RabbitMQ is here but Erlang's epmd is not on the PATH: install erlang-base."
        )
    return found


def _secret(path: Path) -> str:
    """A secret that stays the same as long as the node's data do."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    value = secrets.token_hex(20)
    _write(path, value, mode=0o400)
    return value


def _write(path: Path, text: str, *, mode: int = 0o600) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
