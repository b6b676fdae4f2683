"""secp256k1 over libsecp256k1. Points stay parsed, because parsing costs a square root."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from . import libsecp256k1
from .base import Group, IdentityError, Point, Scalar
from .libsecp256k1 import Handle


class Secp256k1Point(Point):
    """A point as libsecp256k1 keeps it, parsed once."""

    __slots__ = ("handle",)

    def __init__(self, handle: Handle | None) -> None:
        """Wrap what libsecp256k1 made. IdentityError if it answered that there is no such point."""
        if handle is None:
            raise IdentityError("the result is the identity")
        self.handle = handle

    def to_bytes(self) -> bytes:
        """SEC1 compressed, 33 bytes."""
        return libsecp256k1.serialize(self.handle)

    def __add__(self, other: Secp256k1Point) -> Secp256k1Point:
        if not isinstance(other, Secp256k1Point):
            return NotImplemented
        return Secp256k1Point(libsecp256k1.add([self.handle, other.handle]))

    def __neg__(self) -> Secp256k1Point:
        return Secp256k1Point(libsecp256k1.negate(self.handle))

    def multiply_public(self, scalar: Scalar) -> Secp256k1Point:
        if scalar.group is not SECP256K1:
            raise TypeError("not a scalar of secp256k1")
        return Secp256k1Point(libsecp256k1.multiply_variable_time(self.handle, scalar.to_bytes()))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secp256k1Point):
            return NotImplemented
        return libsecp256k1.equal(self.handle, other.handle)

    __hash__ = Point.__hash__  # a class that defines __eq__ loses the inherited one


class Secp256k1(Group):
    """secp256k1, by libsecp256k1."""

    name = "secp256k1"
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    point_size = libsecp256k1.POINT_SIZE
    byteorder = "big"

    def sum(self, points: Iterable[Point]) -> Point:
        handles = [cast("Secp256k1Point", point).handle for point in points]
        return Secp256k1Point(libsecp256k1.add(handles))

    def point_from_bytes_checked(self, data: bytes) -> Secp256k1Point:
        # The cofactor is 1 and the identity has no compressed form: parsing is the whole check.
        handle = libsecp256k1.parse(data) if len(data) == self.point_size else None
        if handle is None:
            raise ValueError("not a compressed point of secp256k1")
        return Secp256k1Point(handle)

    def point_from_bytes_stored(self, data: bytes) -> Secp256k1Point:
        return self.point_from_bytes_checked(data)

    def multiply_generator(self, scalar: Scalar) -> Secp256k1Point:
        return Secp256k1Point(libsecp256k1.multiply_generator(scalar.to_bytes()))


SECP256K1 = Secp256k1()
