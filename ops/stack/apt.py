"""Installing packages with apt so that no service starts, neither now nor at the next boot."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ops.stack.errors import StackError

Progress = Callable[[str], None]

# Package scripts ask this program before they start anything; 101 means "no".
_REFUSAL = """#!/bin/sh
# Made by Warren while it installs packages. Is it a leftover of one that was killed? Delete it.
exit 101
"""


@dataclass(frozen=True, slots=True)
class Package:
    """A Debian package, and the services that it brings along."""

    name: str
    services: tuple[str, ...]
    """What its installation would enable for the next boot."""


RABBITMQ = Package("rabbitmq-server", ("rabbitmq-server.service", "epmd.service", "epmd.socket"))
POSTGRES = Package("postgresql", ("postgresql.service",))


def install(packages: Sequence[Package], *, progress: Progress, root: Path = Path("/")) -> None:
    """Install what is missing, with the package lists as they are if they suffice.

    Raises:
        StackError: apt could not; with its last words.
    """
    names = [package.name for package in packages]
    progress(f"Installing {' and '.join(names)} with apt (once) ...")
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    with _no_service_starts(root), _no_default_cluster(root):
        status, _ = _run(command)
        if status:
            progress("Updating apt's package lists ...")
            _run(["apt-get", "update"])
            status, output = _run(command)
            if status:
                words = "\n    ".join(output.strip().splitlines()[-5:])
                raise StackError(f"apt could not install {' and '.join(names)}:\n    {words}")
    _disable([service for package in packages for service in package.services])


@contextlib.contextmanager
def _no_service_starts(root: Path) -> Iterator[None]:
    """Put a refusal in place of the machine's own policy, and that one back afterwards."""
    policy = root / "usr/sbin/policy-rc.d"
    before = policy.read_text() if policy.exists() else _REFUSAL
    mode = policy.stat().st_mode if policy.exists() else 0o755
    policy.parent.mkdir(parents=True, exist_ok=True)
    policy.write_text(_REFUSAL)
    policy.chmod(0o755)
    try:
        yield
    finally:
        if before == _REFUSAL:
            policy.unlink()
        else:
            policy.write_text(before)
            policy.chmod(mode)


@contextlib.contextmanager
def _no_default_cluster(root: Path) -> Iterator[None]:
    """Debian makes a database cluster with the package; a private server has no use for it."""
    folder = root / "etc/postgresql-common/createcluster.d"
    setting = folder / "warren.conf"
    folder.mkdir(parents=True, exist_ok=True)
    setting.write_text("create_main_cluster = false\n")
    try:
        yield
    finally:
        setting.unlink(missing_ok=True)
        for empty in (folder, folder.parent):
            with contextlib.suppress(OSError):
                empty.rmdir()


def _disable(services: Sequence[str]) -> None:
    if shutil.which("systemctl") is not None:
        # One at a time: systemctl gives up at the first that it does not know.
        for service in services:
            subprocess.run(["systemctl", "disable", service], capture_output=True, check=False)


def _run(command: Sequence[str]) -> tuple[int, str]:
    """Run apt to its end even if we are interrupted: better late than half installed."""
    process = subprocess.Popen(
        [*command, "-o", "DPkg::Lock::Timeout=120"],
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            output, _ = process.communicate()
        except BaseException:
            process.communicate()
            raise
    return process.returncode, output
