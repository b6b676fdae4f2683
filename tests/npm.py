"""Folders of the tree that are packages of npm's: installed once, from their lock files."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL_S, RUN_S = 120, 120
AWAY = re.compile(
    r"\b(ENOTFOUND|EAI_AGAIN|ECONN\w+|ETIMEDOUT|ENETUNREACH|ERR_SOCKET\w*|E[45]\d\d)\b"
)
"""What npm says where its registry cannot be had."""


@dataclass(frozen=True)
class Npm:
    program: str
    home: Path

    @classmethod
    def installed(cls, home: Path) -> Npm:
        """With the packages of the lock file in that folder, which stay for the next run. Skips the
        test where there is no npm, or no registry."""
        found = shutil.which("npm")
        if found is None:
            pytest.skip("npm is not installed")
        npm = cls(found, home)
        lock, mark = home / "package-lock.json", home / "node_modules" / ".installed-lock.json"
        if mark.exists() and mark.read_bytes() == lock.read_bytes():
            return npm
        try:
            ended = npm("ci", "--prefer-offline", limit_s=INSTALL_S)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm has not got its packages within {INSTALL_S} s")
        if ended.returncode and (reason := AWAY.search(ended.stderr)):
            pytest.skip(f"npm cannot get its packages: {reason.group()}")
        assert ended.returncode == 0, ended.stderr
        shutil.copy(lock, mark)
        return npm

    def run(
        self, script: str, *, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A script of the package's."""
        return self("--silent", "run", script, environ=environ)

    def __call__(
        self,
        *words: str,
        limit_s: float = RUN_S,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, *words],
            cwd=cwd or self.home,
            env={**os.environ, **(environ or {})},
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
