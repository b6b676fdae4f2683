"""The broker as declared: YAML files, a pure plan over them, and the way to apply it."""

from topology.apply import BlockedError, apply_all
from topology.files import declared
from topology.model import VHOST, Members, Topology
from topology.passwords import InFiles, InMemory
from topology.plan import Plan, difference
from topology.problems import InvalidTopologyError, TopologyError

__all__ = [
    "VHOST",
    "BlockedError",
    "InFiles",
    "InMemory",
    "InvalidTopologyError",
    "Members",
    "Plan",
    "Topology",
    "TopologyError",
    "apply_all",
    "declared",
    "difference",
]
