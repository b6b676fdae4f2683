"""The broker is as the topology's files declare it, and nobody's policies stand above them."""

from __future__ import annotations

from collections.abc import Iterator

from ops.doctor.checks import Check, OfAll, Trouble, warning
from ops.doctor.report import Group
from ops.doctor.surroundings import Surroundings
from topology.model import Ref
from topology.plan import Action, Change, Plan

OF_USERS = frozenset({"user", "permission", "topic_permission", "user_limits"})
"""Kinds of what `permissions` tells of."""
OF_OPERATORS = "operator_policy"
_SAID = {
    Action.CREATE: "is missing",
    Action.UPDATE: "is not as declared",
    Action.DELETE: "is declared no more",
}
MANY = 20


async def plan(surroundings: Surroundings) -> list[Trouble]:
    """Queues, exchanges, bindings, policies and limits."""
    made = await surroundings.plan()
    return limited([*changes(made, of_users=False), *_conflicts(made)])


async def policies(surroundings: Surroundings) -> list[Trouble]:
    """RabbitMQ lets an operator policy win over what is declared, and applies one policy only."""
    made = await surroundings.plan()
    hit = {each.ref: each for each in made.conflicts if each.ref.kind == OF_OPERATORS}
    troubles = [Trouble(f"{ref}: {each.text}", todo=each.remedy) for ref, each in hit.items()]
    others = [ref for ref in made.drift if ref.kind in (OF_OPERATORS, "policy") and ref not in hit]
    return limited(troubles + [warning(f"{ref} is somebody else's") for ref in others])


def changes(plan: Plan, *, of_users: bool) -> Iterator[Trouble]:
    """What apply would change."""
    for change in plan.changes:
        if (change.target.ref.kind in OF_USERS) is of_users:
            yield Trouble(_changed(change))


def _changed(change: Change) -> str:
    return f"{change.target.ref} {_SAID[change.action]}"


def _conflicts(plan: Plan) -> Iterator[Trouble]:
    for each in plan.conflicts:
        if each.ref.kind != OF_OPERATORS and not _of_user(each.ref):
            yield Trouble(f"{each.ref}: {each.text}", todo=each.remedy)


def _of_user(ref: Ref) -> bool:
    return ref.kind in OF_USERS


def limited(troubles: list[Trouble]) -> list[Trouble]:
    """A broker without any of it says so in a few lines."""
    shown, more = troubles[:MANY], len(troubles) - MANY
    return [*shown, Trouble(f"and {more} more", troubles[0].verdict)] if more > 0 else shown


CHECKS: tuple[Check, ...] = (
    OfAll(
        group=Group.TOPOLOGY,
        name="plan",
        must="Queues, exchanges, bindings and policies are as declared",
        todo="look with `warren topology plan`, then `warren topology apply`",
        runbook="broker-login.md",
        look=plan,
    ),
    OfAll(
        group=Group.TOPOLOGY,
        name="policies",
        must="No policy of somebody else's stands above or beside the declared ones",
        todo="have the broker's administrator delete it: `rabbitmqctl list_operator_policies`",
        runbook="broker-login.md",
        look=policies,
    ),
)
