"""What can go wrong at the broker, and what of it is whose business."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from aio_pika.exceptions import AuthenticationError, ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused, InvalidFrameError
from yarl import URL

from contracts.confirming import AWAY, lost
from contracts.frames import TlsError
from contracts.hosts import AddressError, Hosts, login_of


class BrokerAwayError(Exception):
    """No connection, or no answer. Nothing that was not confirmed is lost; the text says where."""


class AccessError(Exception):
    """Login, vhost, permission or queue are not what they should be."""


class NotTakenError(Exception):
    """The broker did not take a letter on its way back; it stays where it is."""


@contextlib.contextmanager
def broker_errors(url: URL) -> Iterator[None]:
    """What goes wrong with the broker ends in an error of ours, without the password."""
    try:
        with lost():
            yield
    except (AuthenticationError, ProbableAuthenticationError):
        raise AccessError(
            f'the broker at {place_of(url)} refuses the login of user "{login_of(url)}"'
        ) from None
    except InvalidFrameError:
        # What aiormq makes of a broker that closes where it should have opened the vhost.
        raise AccessError(
            f"the broker at {place_of(url)} does not open this vhost: it does not exist, or user "
            f'"{login_of(url)}" has no permissions in it'
        ) from None
    except TlsError as error:
        raise AccessError(f"no connection to the broker at {place_of(url)}: {error}") from None
    except ChannelAccessRefused as error:
        raise AccessError(f"the broker at {place_of(url)}: {error}") from None
    except AWAY as error:
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise BrokerAwayError(f"no connection to the broker at {place_of(url)}: {told}") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        # What a question comes to when the connection under it is found dead.
        raise BrokerAwayError(f"the connection to the broker at {place_of(url)} was lost") from None


def parsed(url: str) -> URL:
    """For what is said about it: of a cluster the first host. Raises AccessError."""
    try:
        return Hosts(url, first=0).current
    except AddressError as error:
        raise AccessError(f"the broker's URL is {error}") from None


def place_of(url: URL) -> str:
    """The broker's address as it may be shown: no user, no password."""
    return f"{url.host}:{url.port or 'default port'}{url.path}"
