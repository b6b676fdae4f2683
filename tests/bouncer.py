"""A PgBouncer of a test's own, before a PostgreSQL server."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from ops.stack import children, sockets

DEBIANS = Path("/usr/sbin/pgbouncer")
"""Not on everybody's PATH."""


class Bouncer:
    """
    Attributes:
        settings: As in its file, beside those that it needs to run at all.
    """

    def __init__(self, folder: Path, program: Path, server_url: str, **settings: str) -> None:
        self._folder, self._program, self._server = folder, program, urlsplit(server_url)
        self._account = children.unprivileged_account()
        self.settings = settings
        self.server_port = self._server.port
        (self._port,) = sockets.free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        if self._account is not None:
            os.chown(folder, self._account.uid, self._account.gid)

    def url(self, database_url: str) -> str:
        """The same database, through it."""
        parts = urlsplit(database_url)
        login, _, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}@{sockets.LOOPBACK}:{self._port}").geturl()

    def start(self) -> None:
        self._write()
        self._process = children.spawn(
            [self._program, self._folder / "pgbouncer.ini"],
            environment={"PATH": os.defpath},
            directory=self._folder,
            log=self._folder / "pgbouncer.log",
            account=self._account,
        )
        children.wait_ready(
            "PgBouncer",
            self._process,
            lambda: sockets.speaks_postgres(self._port),
            log=self._folder / "pgbouncer.log",
            timeout_s=60,
        )

    def stop(self) -> None:
        if self._process is not None:
            children.stop(self._process)
            self._process = None

    def change(self, **settings: str) -> None:
        """While it runs."""
        assert self._process is not None
        self.settings |= settings
        self._write()
        self._process.send_signal(signal.SIGHUP)

    def _write(self) -> None:
        user, password = unquote(self._server.username or ""), unquote(self._server.password or "")
        users = self._folder / "users.txt"
        lines = [
            "[databases]",
            f"* = host={sockets.LOOPBACK} port={self.server_port}",
            "[pgbouncer]",
            f"listen_addr = {sockets.LOOPBACK}",
            f"listen_port = {self._port}",
            "unix_socket_dir =",
            "auth_type = scram-sha-256",
            f"auth_file = {users}",
            *(f"{name} = {value}" for name, value in self.settings.items()),
        ]
        self._keep(users, f'"{user}" "{password}"\n')
        self._keep(self._folder / "pgbouncer.ini", "\n".join(lines) + "\n")

    def _keep(self, path: Path, text: str) -> None:
        path.touch(mode=0o600)
        path.write_text(text)
        if self._account is not None:
            os.chown(path, self._account.uid, self._account.gid)


@contextlib.contextmanager
def running_bouncer(server_url: str, **settings: str) -> Iterator[Bouncer]:
    """Skips the test where there is none."""
    found = shutil.which("pgbouncer") or (str(DEBIANS) if DEBIANS.exists() else None)
    if found is None:
        pytest.skip("no pgbouncer here: it is in Debian's package of that name")
    with tempfile.TemporaryDirectory(prefix="warren-bouncer-") as name:
        bouncer = Bouncer(Path(name), Path(found), server_url, **settings)
        bouncer.start()
        try:
            yield bouncer
        finally:
            bouncer.stop()
