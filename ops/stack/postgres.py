"""A private PostgreSQL server: own data, own port, loopback only, a random password.

`initdb` takes a second, so its result is kept as a template and copied. The template holds the
password of its superuser, and so does every copy, readable by the server's user only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ops.stack import children
from ops.stack.certificates import Credentials, TestingCa
from ops.stack.children import Account
from ops.stack.errors import StartError
from ops.stack.sockets import LOOPBACK, free_ports, speaks_postgres

USER = "postgres"
_PASSWORD_FILE = "warren.password"  # noqa: S105  # a file's name

# Durability stays as it is in production: fsync, full_page_writes and synchronous_commit are on.
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "jit": "off",  # our statements are short, compiling them is not
    "log_min_messages": "warning",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",  # parameters are sealed shares
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresServer:
    """A server that was started; not ready before `wait_ready` returns."""

    port: int
    password: str = field(repr=False)
    server: subprocess.Popen[bytes]
    log: Path
    tls: Credentials | None = None
    """The superuser's, where the server lets nobody in without."""

    @property
    def database_url(self) -> str:
        """For the superuser of a server that nobody else reaches."""
        url = f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/postgres"
        return url if self.tls is None else f"{url}?{self.tls.postgres_query}"

    @property
    def pid(self) -> int:
        """The server's own process, which starts the others."""
        return self.server.pid

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Raises StartError, with the server's log, if it does not come up."""
        children.wait_ready(
            "PostgreSQL",
            self.server,
            lambda: speaks_postgres(self.port),
            log=self.log,
            timeout_s=timeout_s,
        )

    def stop(self, *, keep: bool) -> None:
        """End it at once (it releases its shared memory, no more), or after a last checkpoint."""
        children.stop(self.server, signal.SIGINT if keep else signal.SIGQUIT, grace_s=30)


def start(
    directory: Path,
    programs: Path,
    *,
    cache: Path,
    account: Account | None,
    ca: TestingCa | None = None,
) -> PostgresServer:
    """Start a server whose data are in `directory`, made from the template in `cache` if need be.

    Both must be reachable by `account`, which the server runs as.

    Arguments:
        ca: Everything is encrypted then, and whoever enters shows a certificate that it signed,
            beside the password.
    """
    data = directory / "data"
    log = directory / "server.log"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _give(directory, account)
    if not data.exists():
        _copy(_template(programs, cache, account), data)
    (port,) = free_ports(1)
    own = _SETTINGS if ca is None else _SETTINGS | _with_tls(directory, ca, account)
    settings = [f"-c{name}={value}" for name, value in own.items()]
    server = children.spawn(
        [programs / "postgres", "-D", data, f"-cport={port}", *settings],
        environment=_environment(),
        directory=directory,
        log=log,
        death_signal=signal.SIGQUIT,  # SIGKILL would leave its shared memory behind
        account=account,
    )
    password = (data / _PASSWORD_FILE).read_text()
    tls = None if ca is None else Credentials.issued(ca, USER)
    return PostgresServer(port=port, password=password, server=server, log=log, tls=tls)


def _with_tls(directory: Path, ca: TestingCa, account: Account | None) -> dict[str, str]:
    """Copies of what the server needs, which only its user can read, and the settings for them."""
    issued = ca.for_server("database", (LOOPBACK, "localhost"))
    entry = f"hostssl all all {LOOPBACK}/32 scram-sha-256 clientcert=verify-ca\n"
    files = {
        "ssl_ca_file": ("ca.pem", ca.certificate.read_bytes()),
        "ssl_cert_file": ("server.pem", issued.certificate.read_bytes()),
        "ssl_key_file": ("server.key", issued.key.read_bytes()),
        "hba_file": ("hba.conf", entry.encode()),
    }
    for name, content in files.values():
        path = directory / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
        _give(path, account)
    return {"ssl": "on"} | {setting: str(directory / name) for setting, (name, _) in files.items()}


def _template(programs: Path, cache: Path, account: Account | None) -> Path:
    """An initialised data directory that no server ever ran on, one per release and user."""
    version = _run([programs / "postgres", "--version"], account=None).split()[2]
    owner = os.geteuid() if account is None else account.uid
    template = cache / f"postgres-{version}-{owner}"
    if not template.exists():
        with _staging(cache, account) as staging:
            password = staging / _PASSWORD_FILE
            password.write_text(secrets.token_hex(20))
            password.chmod(0o600)
            _give(password, account)
            data = staging / "data"
            options = [
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--no-locale",
                "--no-instructions",
            ]
            _run(
                [programs / "initdb", "-D", data, "-U", USER, f"--pwfile={password}", *options],
                account=account,
            )
            password.rename(data / _PASSWORD_FILE)
            # Another run may have been faster; its template is as good.
            with contextlib.suppress(OSError):
                data.rename(template)
    return template


def _copy(template: Path, data: Path) -> None:
    """Copy under another name first: a data directory exists whole or not at all."""
    unfinished = data.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _run(["cp", "-a", template, unfinished], account=None)
    unfinished.rename(data)


@contextlib.contextmanager
def _staging(cache: Path, account: Account | None) -> Iterator[Path]:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="initdb-", dir=cache) as name:
        staging = Path(name)
        _give(staging, account)
        yield staging


def _run(argv: list[str | Path], *, account: Account | None) -> str:
    done = subprocess.run(
        [str(word) for word in argv],
        env=_environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else [],
    )
    if done.returncode:
        raise StartError(f"{argv[0]} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _environment() -> dict[str, str]:
    """No PGHOST, PGDATA or PGOPTIONS of the caller's."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _give(path: Path, account: Account | None) -> None:
    if account is not None:
        os.chown(path, account.uid, account.gid)
