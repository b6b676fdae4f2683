"""Following a list without a database: verified, kept in a file if there is one, and then it
counts."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from .errors import ContractError
from .list_file import ListFile
from .list_log import Logged
from .numbered_lists import Entry, ListError, NumberedList, SignedEntry

E = TypeVar("E", bound=Entry)

logger = logging.getLogger(__name__)


class FollowedList(Generic[E]):
    """
    Arguments:
        path: Where it is kept what was verified; None: nowhere.
        changed: Called after each change.
    """

    def __init__(
        self, listed: NumberedList[E], path: Path | None, *, changed: Callable[[], None]
    ) -> None:
        self._listed = listed
        self._path = path
        self._changed = changed
        self._kept_to = 0

    def load(self) -> None:
        """What this and other processes have kept. Raises ListFileError."""
        if self._path is not None:
            with ListFile.held(self._listed, self._path) as file:
                self._kept_to = file.end
            self._changed()

    def hear(self, logged: Logged) -> None:
        """One message; whatever does not fit is logged and changes nothing."""
        if logged.list != self._listed.name:
            return
        try:
            signed = SignedEntry.from_bytes(logged.body)
            if self._listed.knows(signed):
                return
            self._take(signed)
        except ContractError as error:
            fork = isinstance(error, ListError) and error.kind == "fork"
            logger.log(
                logging.ERROR if fork else logging.WARNING,
                "ALARM: a list has a fork" if fork else "a list's entry was refused",
                extra={"reason": str(error)},
            )
        else:
            self._changed()

    def _take(self, signed: SignedEntry) -> None:
        if self._path is None:
            self._listed.take(signed)
            return
        with ListFile.held(self._listed, self._path, start=self._kept_to) as file:
            if not self._listed.knows(signed):
                file.append(signed)
            self._kept_to = file.end
