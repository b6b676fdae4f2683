"""PostgreSQL servers of a test's own, to be stopped, copied and followed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from ops.stack import children, postgres


def run(program: Path, url: str, *arguments: str) -> None:
    """One of PostgreSQL's programs, the password out of sight."""
    parts = urlsplit(url)
    environment = {
        "PATH": os.environ["PATH"],
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path[1:],
    }
    subprocess.run([program, *arguments], env=environment, check=True, capture_output=True)


class Server:
    """One server of ours, whose files are copied while it does not run."""

    def __init__(self, folder: Path, cache: Path, programs: Path) -> None:
        self._account = children.unprivileged_account()
        self._programs, self._cache = programs, cache
        self.folder = folder
        self.server: postgres.PostgresServer | None = None

    def start(self) -> str:
        """Returns the party's database's URL; the port is another one each time."""
        self.server = postgres.start(
            self.folder, self._programs, cache=self._cache, account=self._account
        )
        self.server.wait_ready()
        return urlsplit(self.server.database_url)._replace(path="/party").geturl()

    def stop(self, *, cleanly: bool = True) -> None:
        if self.server is not None:
            self.server.stop(keep=cleanly)
            self.server = None

    def copy(self, source: str, target: str) -> None:
        shutil.rmtree(self.folder / target, ignore_errors=True)
        arguments = ["cp", "-a", str(self.folder / source), str(self.folder / target)]
        subprocess.run(arguments, check=True)

    def follow(self) -> Server:
        """A replica of it, as `pg_basebackup` makes it."""
        assert self.server is not None
        folder = self.folder.parent / "replica"
        folder.mkdir()
        if self._account is not None:
            os.chown(folder, self._account.uid, self._account.gid)
        data = str(folder / "data")
        run(
            self._programs / "pg_basebackup",
            self.server.database_url,
            "-R",
            "-c",
            "fast",
            "-D",
            data,
        )
        if self._account is not None:
            owner = f"{self._account.uid}:{self._account.gid}"
            subprocess.run(["chown", "-R", owner, data], check=True)
        shutil.copy2(self.folder / "data" / "warren.password", data)
        return Server(folder, self._cache, self._programs)
