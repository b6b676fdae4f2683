"""`ops/rabbitmq-release`, with an archive in which every package holds one file."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

APT_GET = """#!/bin/sh
case "$*" in
    indextargets*) echo "$ARCHIVE"; exit 0 ;;
esac
for option in "$@"; do
    case $option in
        Dir::Etc::sourcelist=*) cat "${option#*=}" >>"$CALLS" ;;
        Dir::Cache::archives=*) archives=${option#*=} ;;
    esac
done
case "$*" in
    *" update") [ -z "$UNREACHABLE" ] || { echo "E: unreachable" >&2; exit 100; } ;;
    *" install "*) cd "$archives" && touch base-files_13_all.deb rabbitmq-server_4.9.1-1_all.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
mkdir -p "$3/usr"
basename "$2" >"$3/usr/$(basename "$2" | cut -d_ -f1)"
"""
PROGRAMS = {"rabbitmq-server", "rabbitmqctl", "rabbitmq-diagnostics", "rabbitmq-queues"}


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    folder = tmp_path / "tools"
    folder.mkdir()
    for name, text in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def run(
    tools: Path,
    *arguments: str | Path,
    archive: str = "http://archive/debian",
    unreachable: str = "",
) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PATH": f"{tools}:{os.environ['PATH']}",
        "ARCHIVE": archive,
        "CALLS": str(tools / "calls"),
        "UNREACHABLE": unreachable,
    }
    return subprocess.run(
        [ROOT / "ops" / "rabbitmq-release", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_a_release_stands_in_its_folder_with_a_program_of_each_name(
    tools: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "release"
    done = run(tools, "trixie", folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"RabbitMQ 4.9.1-1: set WARREN_RABBITMQ_SBIN={folder}/sbin\n")
    assert {path.name for path in (folder / "sbin").iterdir()} >= PROGRAMS
    assert all(os.access(path, os.X_OK) for path in (folder / "sbin").iterdir())
    assert {path.name for path in (folder / "root" / "usr").iterdir()} == {
        "base-files",
        "rabbitmq-server",
    }
    assert {path.name for path in folder.iterdir()} == {"root", "sbin"}
    assert "http://archive/debian trixie main" in (tools / "calls").read_text()


def test_one_that_is_there_is_kept(tools: Path, tmp_path: Path) -> None:
    assert run(tools, "trixie", tmp_path / "release").returncode == 0
    done = run(tools, "sid", tmp_path / "release")
    assert done.returncode == 1
    assert "has a release already" in done.stderr


def test_one_that_was_cut_short_is_fetched_anew(tools: Path, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    done = run(tools, "trixie", folder, unreachable="yes")
    assert done.returncode != 0
    assert "unreachable" in done.stderr
    assert not (folder / "sbin").exists()
    assert run(tools, "trixie", folder).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("trixie",), ("trixie", "folder", "more")])
def test_says_how_it_is_used(tools: Path, arguments: tuple[str, ...]) -> None:
    done = run(tools, *arguments)
    assert (done.returncode, done.stderr) == (1, "usage: ops/rabbitmq-release SUITE FOLDER\n")


def test_says_that_apt_knows_no_archive(tools: Path, tmp_path: Path) -> None:
    done = run(tools, "trixie", tmp_path / "release", archive="")
    assert done.returncode == 1
    assert "run apt-get update first" in done.stderr
