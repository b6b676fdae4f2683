"""Whether a reshare would find enough parties, before one is begun.

The parties are asked themselves, and answer under their signatures: the coordinator can keep an
answer back, and cannot make one up. What they say is true for the moment and binds nobody, and
nothing is changed by it: a party that was ready may be away a minute later.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from ..errors import ContractError
from ..keys import KeyFacts
from ..peers import Pinned, by_any
from ..readiness import Readiness
from ..requests import RehearseRequest
from ..results import RehearseResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """
    Attributes:
        request: What was asked for.
        body: Its bytes as they were signed: it is to them that the parties answer.
        before: The key as it is.
        answers: By party id, those that hold: signed by their party, to this request.
    """

    request: RehearseRequest
    body: bytes
    before: KeyFacts
    answers: Mapping[str, Readiness]

    @classmethod
    def of(
        cls,
        request: RehearseRequest,
        body: bytes,
        before: KeyFacts,
        result: RehearseResult,
        pinned: Mapping[str, Pinned],
    ) -> Rehearsal:
        """What does not verify is no answer.

        Arguments:
            body: As it was signed.
            pinned: The parties that we know.
        """
        answers, digest = {}, hashlib.sha256(body).digest()
        for each in sorted(result.answers, key=lambda answer: answer.party_id):
            keys = pinned.get(each.party_id)
            if keys is None:
                continue
            check = partial(each.verify, request_digest=digest)
            try:
                by_any(keys, check)
            except ContractError:
                continue
            answers[each.party_id] = each
        return cls(request=request, body=body, before=before, answers=answers)

    @property
    def could_deal(self) -> list[str]:
        """Who may deal by the request: those that it names, or else every holder."""
        if self.request.dealers is not None:
            return list(self.request.dealers)
        return [holder.party_id for holder in self.before.holders]

    @property
    def asked(self) -> list[str]:
        """Everybody whose answer matters."""
        return list(dict.fromkeys([*self.could_deal, *self.request.parties]))

    @property
    def dealers(self) -> list[str]:
        """Who would deal."""
        return [name for name in self.could_deal if self._says(name, "deals")]

    @property
    def receivers(self) -> list[str]:
        """Which of the new holders would take their share."""
        return [name for name in self.request.parties if self._says(name, "receives")]

    @property
    def silent(self) -> list[str]:
        """Of whom there is no answer that holds."""
        return [name for name in self.asked if name not in self.answers]

    @property
    def refusals(self) -> Mapping[str, tuple[str, str]]:
        """Of those that would not do all that is wanted of them: the code of their failure, and
        why in words. One of them may be no obstacle: where others deal, for example."""
        found = {}
        for name, answer in self.answers.items():
            no = next((each for each in answer.roles if each.refused is not None), None)
            if no is not None and no.refused is not None:
                found[name] = (no.refused.value, no.message)
        return found

    @property
    def ready(self) -> bool:
        """Whether a reshare would find all that it takes: every new holder, and as many dealers as
        the key's threshold."""
        return not self.lacking

    @property
    def lacking(self) -> str | None:
        """What it would lack, in words; None if nothing."""
        return self.lacking_of(self.missing, self.dealers)

    @property
    def missing(self) -> list[str]:
        """New holders that would take no share, or have not said so."""
        return [name for name in self.request.parties if name not in self.receivers]

    def lacking_of(self, missing: Sequence[str], dealers: Sequence[str]) -> str | None:
        """As `lacking`, for who calls the parties otherwise, or has fewer of them deal."""
        told = []
        if missing:
            told.append(f"{', '.join(missing)} would not take a share")
        if len(dealers) < self.before.threshold:
            told.append(f"{len(dealers)} would deal, and it takes {self.before.threshold}")
        return "; ".join(told) or None

    def _says(self, name: str, role: str) -> bool:
        answer = self.answers.get(name)
        return answer is not None and bool(getattr(answer, role))
