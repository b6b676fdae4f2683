"""BIP-32 without hardening: the children of a public key, as any wallet derives them.

Public data only: whoever has the public key and the chain code computes the same children. Of the
private key, which nobody has, a child's is this far away: child secret = secret + tweak.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache

from .errors import ContractError
from .secp256k1 import ORDER, parse_point

MAX_DEPTH = 16
"""Steps from the key. The standards use five (BIP-44) or six; each step costs every party and
every verifier a hash and a sum of points, so BIP-32's own limit of 255 would be a burden."""

HARDENED = 2**31
"""Indices from here on are BIP-32's hardened ones."""

_MAX_TEXT = len("m") + MAX_DEPTH * len("/2147483647")
_INDEX = re.compile("0|[1-9][0-9]{0,9}")
_KNOWN_CHILDREN = 4096  # 2 MB when full

Path = tuple[int, ...]
"""Indices, from the key on; empty for the key itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DerivedKey:
    """A key on the way from `m`, with what an extended public key says of it.

    Attributes:
        public_key: Compressed, 33 bytes.
        chain_code: 32 bytes.
        tweak: 32 bytes, below the group's order: the sum of all steps' own.
        depth: Steps from `m`.
        parent: The parent's public key; empty for `m`.
        index: Its place among its parent's children; 0 for `m`.
    """

    public_key: bytes
    chain_code: bytes
    tweak: bytes
    depth: int
    parent: bytes
    index: int

    @property
    def parent_fingerprint(self) -> bytes:
        """4 bytes of the parent's HASH160; zeros for `m`."""
        if not self.parent:
            return bytes(4)
        # Signing never asks for it, and needs no RIPEMD-160, which not every OpenSSL has. Wallets
        # do, with the extra `wallets` of warren-client.
        from btclib.hashes import hash160

        return hash160(self.parent)[:4]


def parse_path(text: str) -> Path:
    """``m/44/60/0/0/7`` or ``44/60/0/0/7``; ``m`` alone is the key itself.

    One path has one spelling but for the ``m/``: no signs, spaces, leading zeros or empty steps.

    Raises:
        ContractError: It is none, has more than `MAX_DEPTH` steps, or one of them is hardened.
    """
    if len(text) > _MAX_TEXT:
        raise ContractError(f"a derivation path has at most {MAX_DEPTH} steps, in plain digits")
    if text == "m":
        return ()
    path = tuple(_parse_index(step) for step in text.removeprefix("m/").split("/"))
    _check_depth(path)
    return path


def format_path(path: Path) -> str:
    """As BIP-32 writes it: `m/44/60/0`."""
    return "/".join(("m", *map(str, path)))


def derive(public_key: bytes, chain_code: bytes, path: Path) -> DerivedKey:
    """The key at `path` below a secp256k1 key.

    Arguments:
        public_key: Compressed, 33 bytes.
        chain_code: 32 bytes.

    Raises:
        ContractError: These are no key, chain code or path, or the path leads to one of the
            children that BIP-32 calls invalid (2^-127).
    """
    if len(chain_code) != 32:
        raise ContractError("a chain code has 32 bytes")
    _check_depth(path)
    for index in path:
        _check_index(index)
    return _derive(public_key, chain_code, path)


@lru_cache(maxsize=_KNOWN_CHILDREN)
def _derive(public_key: bytes, chain_code: bytes, path: Path) -> DerivedKey:
    """Siblings find their parent here, and whoever signs again the child."""
    if path:
        return _child(_derive(public_key, chain_code, path[:-1]), path[-1])
    parse_point(public_key)
    return DerivedKey(
        public_key=public_key,
        chain_code=chain_code,
        tweak=bytes(32),
        depth=0,
        parent=b"",
        index=0,
    )


def _child(parent: DerivedKey, index: int) -> DerivedKey:
    """BIP-32's CKDpub."""
    data = parent.public_key + index.to_bytes(4)
    both = hmac.digest(parent.chain_code, data, hashlib.sha512)
    left, chain_code = both[:32], both[32:]
    own = parse_point(parent.public_key)
    try:
        # K_i = I_L * G + K_par, refused where I_L >= n or where K_i is the point at infinity.
        public_key = own.add(left).format()
    except ValueError:
        raise ContractError(f"BIP-32 has no child {index} here: use the next index") from None
    tweak = (int.from_bytes(parent.tweak) + int.from_bytes(left)) % ORDER
    return DerivedKey(
        public_key=public_key,
        chain_code=chain_code,
        tweak=tweak.to_bytes(32),
        depth=parent.depth + 1,
        parent=parent.public_key,
        index=index,
    )


def _parse_index(step: str) -> int:
    if step.endswith(("'", "h", "H")):
        raise ContractError(
            f"the step {step!r} is hardened, which takes the private key, and nobody has it"
        )
    if not _INDEX.fullmatch(step):
        raise ContractError(f"{step!r} is no index of a derivation path")
    index = int(step)
    _check_index(index)
    return index


def _check_index(index: int) -> None:
    if not 0 <= index < HARDENED:
        raise ContractError(
            f"{index} is no index of a child without hardening: those are 0 to {HARDENED - 1}"
        )


def _check_depth(path: Path) -> None:
    if len(path) > MAX_DEPTH:
        raise ContractError(f"a derivation path has at most {MAX_DEPTH} steps, not {len(path)}")
