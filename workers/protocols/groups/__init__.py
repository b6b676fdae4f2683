"""Groups of prime order behind one interface."""

from __future__ import annotations

from .base import Generator, Group, IdentityError, Point, Scalar
from .ed25519 import ED25519
from .secp256k1 import SECP256K1

__all__ = [
    "ED25519",
    "SECP256K1",
    "Generator",
    "Group",
    "IdentityError",
    "Point",
    "Scalar",
    "group_by_name",
]

_GROUPS: dict[str, Group] = {group.name: group for group in (SECP256K1, ED25519)}


def group_by_name(name: str) -> Group:
    """``"secp256k1"`` or ``"ed25519"``. ValueError for any other name."""
    try:
        return _GROUPS[name]
    except KeyError:
        raise ValueError(f"no group {name!r}; there are {', '.join(_GROUPS)}") from None
