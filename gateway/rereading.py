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


class Rereading:
    """
    Arguments:
        networks: Who may enter; it becomes whom the file says.
        path: Of a file that is wrong or gone nothing is taken; the log says what is wrong, once.
        read: The file's section on the door. Raises SettingsError.
    """

    def __init__(self, networks: Networks, path: Path, read: Callable[[Path], Door]) -> None:
        self._networks = networks
        self._path = path
        self._read = read
        self._seen: Stamp | None = None
        self._known: Stamp | None = None

    async def go_on(self) -> None:
        """For as long as it runs."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Once; takes a change over that was there at the last look, too."""
        before, self._seen = self._seen, _stamp(self._path)
        if self._seen != before or self._seen == self._known:
            return
        self._known = self._seen
        try:
            door = self._read(self._path)
        except SettingsError as error:
            told = {"reason": str(error)}
            logger.error("configuration not read again", extra=told)  # noqa: TRY400 - a sentence
        else:
            _let_in(self._networks, door)


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
