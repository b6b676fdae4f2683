"""Who may enter, read again from the configuration whenever its file has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from contracts.client import SettingsError

from .entry.networks import Networks
from .settings import Door

logger = logging.getLogger(__name__)

LOOK_S = 0.5
"""Between two looks at the file. It is read once two have found the same, so that half of what an
editor writes is not taken for the whole."""

Stamp = tuple[int, int, int]


async def keep_networks(networks: Networks, path: Path, read: Callable[[Path], Door]) -> None:
    """Let in whom the file says, for as long as this runs. A file that is wrong or gone changes
    nothing; the log says what is wrong with it, once.

    Arguments:
        read: The file's section on the door. Raises SettingsError.
    """
    known = seen = None
    while True:
        before, seen = seen, _stamp(path)
        if seen == before != known:
            known = seen
            try:
                _let_in(networks, read(path))
            except SettingsError as error:
                logger.error("configuration not read again", extra={"reason": str(error)})  # noqa: TRY400
        await asyncio.sleep(LOOK_S)


def _let_in(networks: Networks, door: Door) -> None:
    if not networks.are(door.allowed, door.proxies):
        networks.become(door.allowed, door.proxies)
        told = {"allowed_ips": door.allowed_ips, "trusted_proxies": door.trusted_proxies}
        logger.warning("who may enter has changed", extra=told)


def _stamp(path: Path) -> Stamp | None:
    """Tells one state of the file from another; None while it cannot be looked at."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
