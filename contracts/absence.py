"""What the broker says is not found, and whether it is not there at all."""

from __future__ import annotations

from aio_pika.exceptions import ChannelNotFoundEntity

_NOT_THERE = "NOT_FOUND - no "


def is_missing(error: ChannelNotFoundEntity) -> bool:
    """Whether there is no such queue or exchange.

    Otherwise there is one, which cannot be reached for now: its node is down, it has no leader, or
    it is too busy to answer in a minute. The broker has one code for all of them, and its words
    tell them apart; those for what is missing have been the same from RabbitMQ 3.10 to 4.3.
    """
    return str(error).startswith(_NOT_THERE)
