"""What a check is, and how it is carried out: with a limit of time, and never with a traceback."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias, TypeVar

from contracts.confirming import AWAY
from contracts.errors import ContractError
from contracts.hosts import AddressError
from contracts.tls import TlsFileError
from ops.configurations import Role
from ops.deadletters.errors import AccessError, BrokerAwayError
from ops.doctor.report import Group, Row, Verdict
from ops.doctor.surroundings import NotLookedError, Subject, Surroundings
from topology.problems import TopologyError
from workers.delivery.lists import UnusableListError
from workers.delivery.publisher import NoAdmissionError
from workers.delivery.publisher import TopologyError as MissingError
from workers.store.interface import SchemaError, StoreUnavailableError, WitnessError
from workers.store.sealing import SealError


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Attributes:
        text: With whose it is.
        verdict: Failed, or a warning.
        todo: In place of the check's own.
    """

    text: str
    verdict: Verdict = Verdict.FAILED
    todo: str | None = None


def warning(text: str, todo: str | None = None) -> Trouble:
    """What works for now."""
    return Trouble(text, Verdict.WARNING, todo)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Check:
    """
    Attributes:
        name: Behind the group's, for scripts.
        must: What has to be true, as a sentence.
        todo: What to do where it is not.
        runbook: A file of `ops/runbooks`.
    """

    group: Group
    name: str
    must: str
    todo: str
    runbook: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OfFile(_Check):
    """Looked at for each file of these roles that was given, and can be used as settings.

    Attributes:
        look: Raises NotLookedError, or whatever happens.
        raw: It looks at the file's tables only, whether they can be used or not.
    """

    roles: frozenset[Role]
    look: Callable[[Surroundings, Subject], Awaitable[list[Trouble]]]
    raw: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OfAll(_Check):
    """Looked at once."""

    look: Callable[[Surroundings], Awaitable[list[Trouble]]]


Check: TypeAlias = OfFile | OfAll

TOLD_TO_END = 3
ENDS_S = 0.5
"""After that it is left behind."""

T = TypeVar("T")

_TOLD = (
    AccessError,
    AddressError,
    BrokerAwayError,
    ContractError,
    MissingError,
    NoAdmissionError,
    SchemaError,
    SealError,
    StoreUnavailableError,
    TlsFileError,
    TopologyError,
    UnusableListError,
    WitnessError,
)
"""Their texts are sentences for operators, with no secret in them."""


async def examine(check: Check, surroundings: Surroundings) -> list[Row]:
    """The check's rows: one for each file that it is about, or one."""
    if isinstance(check, OfAll):
        return [await _row(check, None, check.look(surroundings), surroundings)]
    subjects = [each for each in surroundings.subjects if each.role in check.roles]
    if not subjects:
        roles = " or ".join(f"{role}'s" for role in Role if role in check.roles)
        return [_told(check, None, Verdict.NOT_LOOKED_AT, [f"no {roles} file was given"])]
    rows = []
    for subject in subjects:
        if subject.settings is None and not check.raw:
            why = f"{subject.path.name} cannot be used: see configuration.usable"
            rows.append(_told(check, subject, Verdict.NOT_LOOKED_AT, [why]))
        else:
            rows.append(await _row(check, subject, check.look(surroundings, subject), surroundings))
    return rows


async def _row(
    check: Check,
    subject: Subject | None,
    look: Awaitable[list[Trouble]],
    surroundings: Surroundings,
) -> Row:
    try:
        troubles = await limited(look, surroundings.wait_s)
    except NotLookedError as error:
        return _told(check, subject, Verdict.NOT_LOOKED_AT, [str(error)])
    except TimeoutError:
        why = f"could not look: no answer within {surroundings.wait_s:g} s"
        return _told(check, subject, Verdict.FAILED, [why])
    except Exception as error:
        return _told(check, subject, Verdict.FAILED, [f"could not look: {_in_words(error)}"])
    if not troubles:
        return _told(check, subject, Verdict.OK, [])
    failed = any(each.verdict is Verdict.FAILED for each in troubles)
    todo = "; ".join(dict.fromkeys(each.todo or check.todo for each in troubles))
    verdict = Verdict.FAILED if failed else Verdict.WARNING
    return _told(check, subject, verdict, [each.text for each in troubles], todo)


async def limited(look: Awaitable[T], wait_s: float) -> T:
    """Whatever it does when it is told to end: a connection that the broker holds back does not
    close. Raises TimeoutError."""
    task = asyncio.ensure_future(look)
    await asyncio.wait({task}, timeout=wait_s)
    for _ in range(TOLD_TO_END):
        if task.done():
            break
        task.cancel()
        await asyncio.wait({task}, timeout=ENDS_S)
    if not task.done() or task.cancelled():
        raise TimeoutError
    return task.result()


def _told(
    check: Check, subject: Subject | None, verdict: Verdict, found: list[str], todo: str = ""
) -> Row:
    wrong = verdict in {Verdict.FAILED, Verdict.WARNING}
    return Row(
        group=check.group,
        name=f"{check.group}.{check.name}",
        of=None if subject is None else subject.name,
        must=check.must,
        verdict=verdict,
        found=found,
        todo=(todo or check.todo) if wrong else None,
        runbook=check.runbook if wrong else None,
    )


def _in_words(error: Exception) -> str:
    """Of an error that nobody expected only what it is and where it arose: its text may quote what
    is secret."""
    if isinstance(error, _TOLD):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or type(error).__name__}: {error.strerror}"
    if isinstance(error, AWAY):
        return f"the broker is away ({type(error).__name__})"
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}, line {last.lineno}"
