"""What callers call the parties.

A caller of old has names for them in its configuration, and they are not always ours. The settings
map theirs to ours; a name without a mapping is taken as ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from contracts.primitives import ID_PATTERN

from .refusals import invalid


class PartyNames:
    """
    Arguments:
        ours: Caller's name -> party id. Where several names mean one party, answers use the first.
    """

    def __init__(self, ours: Mapping[str, str]) -> None:
        self._ours = dict(ours)
        self._theirs: dict[str, str] = {}
        for name, party_id in self._ours.items():
            self._theirs.setdefault(party_id, name)

    def party_id(self, name: str, field: str) -> str:
        """Raises a Problem if there cannot be such a party."""
        party_id = self._ours.get(name, name)
        if not re.fullmatch(ID_PATTERN, party_id):
            raise invalid(field, "is no party's name here; names are case-sensitive")
        return party_id

    def name(self, party_id: str) -> str:
        """What callers call the party: its own id, unless the configuration has a name."""
        return self._theirs.get(party_id, party_id)

    def names(self, party_ids: Iterable[str]) -> list[str]:
        """The names of several, in their order."""
        return [self.name(party_id) for party_id in party_ids]

    def party_ids(self, names: Sequence[str], field: str) -> list[str]:
        """Raises a Problem if two of them are one party, or there cannot be such a party."""
        meant: list[str] = []
        for name in names:
            party_id = self.party_id(name, field)
            if party_id in meant:
                raise invalid(field, f"names the party {self.name(party_id)} twice")
            meant.append(party_id)
        return meant

    def spoken(self, names: Sequence[str] | None) -> PartyNames:
        """Whose answers call each party as this caller just did."""
        if not names:
            return self
        own = {name: self._ours.get(name, name) for name in names}
        return PartyNames({**own, **{k: v for k, v in self._ours.items() if k not in own}})
