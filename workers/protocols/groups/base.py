"""Scalars, points and groups of prime order, with the operators the papers use.

Timing. A secret scalar may meet the generator only, as ``k * G``, which every backend computes in
constant time. ``Point.multiply_public`` takes time that depends on the scalar (libsecp256k1 has
no constant-time product with a foreign point), so its scalar must be public. The generator is
therefore a type of its own: ``k * point`` does not exist, and nobody writes it by habit.

Scalars are Python integers. Their arithmetic is neither constant-time nor can it be wiped from
memory; whoever can time or read the worker's process is outside the threat model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import reduce
from typing import Literal, Self

from ..rounds import SpoiltSessionError


class IdentityError(SpoiltSessionError):
    """A computation ended in the identity, which is no ``Point`` and has no encoding.

    Between honest parties it does not happen (2^-252). Where one party's message alone causes it,
    the step blames that party; elsewhere nobody is proven guilty, hence the base class.
    """


class Scalar:
    """An integer modulo the group's order. ``repr`` hides it: most scalars are secrets."""

    __slots__ = ("group", "value")

    def __init__(self, group: Group, value: int) -> None:
        self.group = group
        self.value = value % group.order

    def to_bytes(self) -> bytes:
        """``group.scalar_size`` bytes in the group's byte order."""
        return self.value.to_bytes(self.group.scalar_size, self.group.byteorder)

    def __add__(self, other: Scalar) -> Scalar:
        return Scalar(self.group, self.value + self._operand(other))

    def __sub__(self, other: Scalar) -> Scalar:
        return Scalar(self.group, self.value - self._operand(other))

    def __mul__(self, other: Scalar) -> Scalar:
        if not isinstance(other, Scalar):
            return NotImplemented  # Scalar * Generator is Generator.__rmul__
        return Scalar(self.group, self.value * self._operand(other))

    def __truediv__(self, other: Scalar) -> Scalar:
        """ValueError if ``other`` is zero."""
        return Scalar(self.group, self.value * pow(self._operand(other), -1, self.group.order))

    def __neg__(self) -> Scalar:
        return Scalar(self.group, -self.value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scalar):
            return NotImplemented
        return self.group is other.group and self.value == other.value

    def __hash__(self) -> int:
        return hash((self.group.name, self.value))

    def __repr__(self) -> str:
        return "Scalar(…)"

    def _operand(self, other: Scalar) -> int:
        if not isinstance(other, Scalar) or other.group is not self.group:
            raise TypeError(f"not a scalar of {self.group.name}")
        return other.value


class Point(ABC):
    """A group element of prime order, never the identity."""

    __slots__ = ()

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The one encoding that a point has; the group tells its size."""

    @abstractmethod
    def __add__(self, other: Self) -> Self:
        """IdentityError if the sum is the identity."""

    @abstractmethod
    def __neg__(self) -> Self: ...

    @abstractmethod
    def multiply_public(self, scalar: Scalar) -> Self:
        """Scalar times point, in *variable time*: the scalar must be public.

        Raises:
            IdentityError: The scalar is zero.
        """

    def __sub__(self, other: Self) -> Self:
        return self + -other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Point):
            return NotImplemented
        return type(self) is type(other) and self.to_bytes() == other.to_bytes()

    def __hash__(self) -> int:
        return hash(self.to_bytes())

    def __repr__(self) -> str:
        return f"Point({self.to_bytes().hex()})"


class Generator:
    """The group's base point G. ``scalar * G`` is constant-time: the place for secrets."""

    __slots__ = ("_group",)

    def __init__(self, group: Group) -> None:
        self._group = group

    def __rmul__(self, scalar: Scalar) -> Point:
        """IdentityError if the scalar is zero."""
        if not isinstance(scalar, Scalar) or scalar.group is not self._group:
            raise TypeError(f"not a scalar of {self._group.name}")
        return self._group.multiply_generator(scalar)

    def __repr__(self) -> str:
        return f"Generator({self._group.name})"


class Group(ABC):
    """A group of prime order: its sizes, its parsing, its generator."""

    name: str
    order: int
    point_size: int
    byteorder: Literal["big", "little"]
    scalar_size = 32

    def __init__(self) -> None:
        self.generator = Generator(self)

    def __repr__(self) -> str:
        return f"Group({self.name})"

    def scalar(self, value: int) -> Scalar:
        """An integer of any size and sign, reduced."""
        return Scalar(self, value)

    def scalar_from_bytes_checked(self, data: bytes) -> Scalar:
        """Parse ``scalar_size`` bytes. ValueError if the value is not below the order."""
        if len(data) != self.scalar_size:
            raise ValueError(f"a scalar is {self.scalar_size} bytes, not {len(data)}")
        value = int.from_bytes(data, self.byteorder)
        if value >= self.order:
            raise ValueError("a scalar is below the group's order")
        return Scalar(self, value)

    def scalar_from_bytes_wrapping(self, data: bytes) -> Scalar:
        """Reduce a hash output of any length."""
        return Scalar(self, int.from_bytes(data, self.byteorder))

    def sum(self, points: Iterable[Point]) -> Point:
        """Add one or more points. IdentityError if a sum on the way is the identity."""
        return reduce(lambda total, point: total + point, points)

    @abstractmethod
    def point_from_bytes_checked(self, data: bytes) -> Point:
        """Parse a point that somebody sent.

        ValueError unless it is canonical, on the curve, in the group of prime order, and not the
        identity.
        """

    @abstractmethod
    def point_from_bytes_stored(self, data: bytes) -> Point:
        """Parse a point that we checked before we stored it under our own seal.

        ValueError if the size is wrong; the costly part of the check is not repeated.
        """

    @abstractmethod
    def multiply_generator(self, scalar: Scalar) -> Point:
        """Scalar times G in constant time; spelt ``scalar * G`` elsewhere."""
