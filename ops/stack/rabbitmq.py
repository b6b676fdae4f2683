"""Private RabbitMQ nodes: own names, cookie, epmd, ports and data; loopback only.

One node, or several that make one cluster. Works with any release from 3.10 on.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ops.stack import children
from ops.stack.certificates import Credentials, TestingCa
from ops.stack.errors import StartError
from ops.stack.sockets import LOOPBACK, free_ports, listens, speaks_amqp

USER = "warren"

# For the node and its command line tools: otherwise the port for Erlang's distribution would listen
# on every interface.
_LOOPBACK_DISTRIBUTION = "-kernel inet_dist_use_interface {127,0,0,1}"
_NO_BUSY_WAIT = "+sbwt none +sbwtdcpu none +sbwtdio none"
"""A node shares its cores with all else that a stack has: who waits sleeps, and does not spin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """The ports of one node, all on the loopback."""

    amqp: int
    management: int
    distribution: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node to be, with everything that is its own.

    Attributes:
        founder: The first node of its cluster, perhaps itself; None if it stays alone.
    """

    name: str
    directory: Path
    ports: Ports
    founder: str | None = None

    @property
    def log(self) -> Path:
        """What the node says."""
        return self.directory / "node.log"

    def answers(self, tls: Credentials | None) -> bool:
        """Whether both its AMQP and its management port answer."""
        context = None if tls is None else tls.context()
        return speaks_amqp(self.ports.amqp, context=context) and listens(self.ports.management)


@dataclass(slots=True, kw_only=True)
class RabbitBroker:
    """Nodes that were started; no broker before `wait_ready` returns.

    Attributes:
        programs: The folder of `rabbitmq-server`.
        servers: Of the nodes, as far as those were started.
        tls: The administrator's, where the nodes speak nothing else.
    """

    nodes: tuple[Node, ...]
    password: str = field(repr=False)
    programs: Path
    environment: Mapping[str, str] = field(repr=False)
    epmd: subprocess.Popen[bytes]
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    tls: Credentials | None = None

    @property
    def amqp_url(self) -> str:
        """Of all nodes."""
        hosts = ",".join(f"{LOOPBACK}:{node.ports.amqp}" for node in self.nodes)
        if self.tls is not None:
            return f"amqps://{hosts}/?{self.tls.amqp_query}"
        return f"amqp://{USER}:{self.password}@{hosts}/"

    @property
    def management_url(self) -> str:
        """Of the first node, which answers for all."""
        place = f"{USER}:{self.password}@{LOOPBACK}:{self.nodes[0].ports.management}"
        return f"http://{place}" if self.tls is None else f"https://{place}?{self.tls.ca_query}"

    @property
    def pids(self) -> tuple[int, ...]:
        """The process of each node."""
        return tuple(server.pid for server in self.servers)

    def wait_ready(self, timeout_s: float = 90) -> None:
        """On the thread that called `start`, and that stays: it may start the other nodes."""
        self._wait(timeout_s)
        self._start_others()
        self._wait(timeout_s)

    def stop(self, *, keep: bool) -> None:
        """End it at once, or, if its data are kept, as it wants to be ended (6 s in 3.10)."""
        how = signal.SIGTERM if keep else signal.SIGKILL
        with contextlib.ExitStack() as stack:  # goes on when Ctrl-C comes again
            stack.callback(children.stop, self.epmd)
            for server in self.servers:
                stack.callback(children.stop, server, how, grace_s=30)
                if server.poll() is None:
                    server.send_signal(how)

    def start_first(self) -> None:
        """Only one node, where a cluster is to be made: two that begin at once may become two
        brokers. Those that were a cluster before wait for each other, so they start together."""
        self._spawn(self.nodes[0])
        if all((node.directory / "data").exists() for node in self.nodes):
            self._start_others()

    def _start_others(self) -> None:
        for node in self.nodes[len(self.servers) :]:
            self._spawn(node)

    def _spawn(self, node: Node) -> None:
        server = children.spawn(
            [self.programs / "rabbitmq-server"],
            environment={**self.environment, **_own_environment(node, tls=self.tls is not None)},
            directory=node.directory,
            log=node.log,
        )
        self.servers.append(server)

    def _wait(self, timeout_s: float) -> None:
        for node, server in zip(self.nodes, self.servers, strict=False):
            answers = functools.partial(node.answers, self.tls)
            children.wait_ready("RabbitMQ", server, answers, log=node.log, timeout_s=timeout_s)


def start(
    directory: Path, programs: Path, *, nodes: int = 1, ca: TestingCa | None = None
) -> RabbitBroker:
    """Start a broker that keeps everything in `directory`, with the programs found in `programs`.

    Arguments:
        nodes: More than one make a cluster, as soon as somebody waits for it.
        ca: Everything is encrypted then, and certificates that it signed are the only logins.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = directory / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    epmd_port, *ports = free_ports(1 + 3 * nodes)
    password = _secret(directory / "password")
    _secret(home / ".erlang.cookie")
    members = _nodes(directory, ports)
    tls = None if ca is None else _tls_settings(ca)
    plugins = ["rabbitmq_management", *([] if ca is None else ["rabbitmq_auth_mechanism_ssl"])]
    for node in members:
        node.directory.mkdir(mode=0o700, exist_ok=True)
        _write(node.directory / "rabbitmq.conf", _configuration(node, password, tls))
        _write(node.directory / "enabled_plugins", f"[{','.join(plugins)}].\n")
        _write(node.directory / "environment.conf", "")

    environment = _environment(home, epmd_port, os.environ)
    log = directory / "epmd.log"
    # Our own epmd, in the foreground: erl would leave one behind as a daemon, on the standard port.
    epmd = children.spawn(
        [_epmd(programs), "-port", str(epmd_port), "-address", LOOPBACK],
        environment=environment,
        directory=directory,
        log=log,
    )
    broker = RabbitBroker(
        nodes=members,
        password=password,
        programs=programs,
        environment=environment,
        epmd=epmd,
        tls=None if ca is None else Credentials.issued(ca, USER),
    )
    try:
        children.wait_ready("epmd", epmd, lambda: listens(epmd_port), log=log, timeout_s=10)
        broker.start_first()
    except BaseException:
        broker.stop(keep=False)
        raise
    return broker


def _nodes(directory: Path, ports: Sequence[int]) -> tuple[Node, ...]:
    """Three ports for each. A node that stays alone has the broker's folder for itself."""
    triples = [
        Ports(amqp=a, management=m, distribution=d)
        for a, m, d in zip(ports[::3], ports[1::3], ports[2::3], strict=True)
    ]
    if len(triples) == 1:
        return (Node(name=f"{USER}@localhost", directory=directory, ports=triples[0]),)
    names = [f"{USER}-{i}@localhost" for i in range(1, len(triples) + 1)]
    return tuple(
        Node(name=name, directory=directory / name.partition("@")[0], ports=own, founder=names[0])
        for name, own in zip(names, triples, strict=True)
    )


def _tls_settings(ca: TestingCa) -> dict[str, object]:
    """What all nodes have in common. The management API knows no login by certificate."""
    server = ca.for_server("broker", (LOOPBACK, "localhost"))
    files = {"cacertfile": ca.certificate, "certfile": server.certificate, "keyfile": server.key}
    return {
        "listeners.tcp": "none",
        **{f"ssl_options.{name}": path for name, path in files.items()},
        "ssl_options.verify": "verify_peer",
        "ssl_options.fail_if_no_peer_cert": "true",
        "ssl_options.versions.1": "tlsv1.3",
        "ssl_options.versions.2": "tlsv1.2",
        "auth_mechanisms.1": "EXTERNAL",
        "ssl_cert_login_from": "common_name",
        **{f"management.ssl.{name}": path for name, path in files.items()},
    }


def _configuration(node: Node, password: str, tls: Mapping[str, object] | None) -> str:
    management = "management.tcp" if tls is None else "management.ssl"
    settings: dict[str, object] = {
        "default_user": USER,
        "default_pass": password,
        f"{management}.ip": LOOPBACK,
        f"{management}.port": node.ports.management,
        "log.console": "true",
        "log.console.level": "warning",
        "log.file": "false",
        "vm_memory_high_watermark.absolute": "1GB",
    }
    if tls is not None:
        settings |= {"listeners.ssl.default": f"{LOOPBACK}:{node.ports.amqp}", **tls}
    if node.founder is not None:
        # What those who run a cluster are told to choose.
        settings["cluster_partition_handling"] = "pause_minority"
        settings["cluster_formation.peer_discovery_backend"] = "classic_config"
        # Only the first and itself: in 4.x a first node that knows of others waits for them.
        for i, name in enumerate(sorted({node.founder, node.name}), start=1):
            settings[f"cluster_formation.classic_config.nodes.{i}"] = name
    return "".join(f"{name} = {value}\n" for name, value in settings.items())


def _environment(home: Path, epmd_port: int, outer: Mapping[str, str]) -> dict[str, str]:
    """What the nodes and the epmd of one broker have in common."""
    return {
        "PATH": outer.get("PATH", os.defpath),
        "LANG": outer.get("LANG", "C.UTF-8"),
        "HOME": str(home),  # where Erlang looks for its cookie
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": LOOPBACK,
    }


def _own_environment(node: Node, *, tls: bool = False) -> dict[str, str]:
    """Every path and port that the node would otherwise share with an installed one."""
    directory = node.directory
    # Of the listener without TLS; the other one stands in the configuration.
    plain = {} if tls else {"RABBITMQ_NODE_PORT": str(node.ports.amqp)}
    return {
        **plain,
        "RABBITMQ_CONF_ENV_FILE": str(directory / "environment.conf"),  # empty: not the one in /etc
        "RABBITMQ_BASE": str(directory),
        "RABBITMQ_NODENAME": node.name,
        "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
        "RABBITMQ_DIST_PORT": str(node.ports.distribution),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_SCHEMA_DIR": str(directory / "schema"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(directory / "generated"),
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_LOOPBACK_DISTRIBUTION} {_NO_BUSY_WAIT}",
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
