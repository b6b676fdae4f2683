"""The broker as declared: YAML files, a pure plan over them, and the way to apply it."""

from topology.apply import BlockedError, apply_all
from topology.files import declared
from topology.model import VHOST, Members, Topology
from topology.plan import Plan, difference
from topology.problems import InvalidTopologyError, TopologyError

__all__ = [
    "VHOST",
    "BlockedError",
    "InvalidTopologyError",
    "Members",
    "Plan",
    "Topology",
    "TopologyError",
    "apply_all",
    "declared",
    "difference",
]
