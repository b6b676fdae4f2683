"""Directories of topology files for tests, good but for what a test spoils."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from topology.files import declared
from topology.model import Members, Topology
from topology.problems import InvalidTopologyError

FLOW = """\
exchanges:
  work:
    type: topic
  dead:
    type: fanout

queues:
  jobs:
    bindings:
      - exchange: work
        key: job.*
  box.{party}:
    for_each: parties
    bindings:
      - exchange: work
        key: box.{party}
  dead:
    bindings:
      - exchange: dead

policies:
  work:
    queues:
      - jobs
      - box.{id}
    definition:
      delivery-limit: 10
      dead-letter-exchange: dead
      dead-letter-strategy: at-least-once
      overflow: reject-publish
      max-length: 100
  dead:
    queues:
      - dead
    definition:
      delivery-limit: 1000
      max-length: 100
"""
MEMBERS = "parties: [p1, p-2]\nclients: []\n"


def tree(directory: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).write_text(text, encoding="utf-8")
    return directory


def read(directory: Path, flow: str = FLOW, members: str | Members = MEMBERS) -> Topology:
    files = {"flow.yaml": flow}
    if isinstance(members, Members):
        return declared(members, tree(directory, files))
    return declared(None, tree(directory, {**files, "members.yaml": members}))


def problems(directory: Path, flow: str = FLOW, members: str | Members = MEMBERS) -> list[str]:
    """Each problem as ``file:line: text``, without the directory; none when the files are right."""
    try:
        read(directory, flow, members)
    except InvalidTopologyError as error:
        return [str(problem).removeprefix(f"{directory}/") for problem in error.problems]
    return []


def spoiled(old: str, new: str) -> str:
    """The good flow with one passage replaced, which has to be there exactly once."""
    assert FLOW.count(old) == 1, f"{old!r} stands {FLOW.count(old)} times"
    return FLOW.replace(old, new)
