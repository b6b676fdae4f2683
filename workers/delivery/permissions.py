"""Whether our login may do at the broker what a worker does: found out before there is work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from contracts import addresses
from contracts.hosts import Hosts, login_of

from .publisher import NOBODY, NoAdmissionError, admitted


class ForbiddenError(NoAdmissionError):
    """Our login may not do something that a worker has to. The text says who, what and where."""

    def __init__(self, url: str, lack: str) -> None:
        user = login_of(Hosts(url).current)
        super().__init__(
            f"user {user!r} {lack}: `warren topology plan` shows what differs from the roles that "
            f"are declared, `warren topology who {user}` what it should be able to do"
        )


class Way(NamedTuple):
    """Where something is published, with a routing key as it may have."""

    exchange: str
    routing_key: str


def coordinators_ways() -> tuple[Way, ...]:
    """Wherever a coordinator publishes."""
    lanes = (addresses.SESSIONS, addresses.KEYGEN, addresses.PRESIGNING)
    result = addresses.result_key("query_keys", client_id=None, request_id="none")
    return (
        *(Way(lane, NOBODY) for lane in lanes),
        Way(addresses.RESULTS, result),
        Way(addresses.CANCEL, ""),
        Way(addresses.DEAD, addresses.REPORTS_QUEUE),
    )


def partys_ways(party_id: str) -> tuple[Way, ...]:
    """Wherever a party publishes."""
    lanes = (addresses.ROUNDS, addresses.KEYGEN, addresses.PRESIGNING)
    return (
        *(Way(lane, NOBODY) for lane in lanes),
        Way(addresses.REPORTS, addresses.report_key("party_alive", party_id)),
        Way(addresses.DEAD, addresses.inbox_queue(party_id)),
    )


async def require_writing(url: str, ways: Iterable[Way]) -> None:
    """Publish to each and take it back: in an AMQP transaction that is never committed, of which
    nobody gets anything.

    Raises:
        ForbiddenError: for the first that our login may not publish to.
        NoAdmissionError: the login or the vhost is wrong.
    """
    async with await admitted(url) as connection:
        for way in ways:
            try:
                await _publish_nothing(connection, way)
            except ChannelAccessRefused:
                lack = f'may not write to exchange "{way.exchange}"'
                by = f" by the routing key {way.routing_key!r}" if way.routing_key else ""
                raise ForbiddenError(url, f"{lack}{by}") from None
            except ChannelNotFoundEntity:
                continue  # whoever asks for the topology says so


async def _publish_nothing(connection: AbstractConnection, way: Way) -> None:
    channel = await connection.channel(publisher_confirms=False)
    underlay = await channel.get_underlay_channel()
    await underlay.tx_select()
    await underlay.basic_publish(b"", exchange=way.exchange, routing_key=way.routing_key)
    await underlay.tx_rollback()
    await channel.close()


@contextmanager
def reading(url: str) -> Iterator[None]:
    """Around what begins to consume. Raises ForbiddenError, in the broker's words."""
    try:
        yield
    except ChannelAccessRefused as error:
        said = str(error).removeprefix("ACCESS_REFUSED - ")
        raise ForbiddenError(url, f"may not consume ({said})") from None
