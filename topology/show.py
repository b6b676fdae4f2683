"""A plan for people, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rich.console import Group
from rich.text import Text

from topology.model import (
    Binding,
    Exchange,
    Permission,
    Policy,
    Queue,
    Ref,
    Table,
    TopicPermission,
    User,
    UserLimits,
    VhostLimits,
)
from topology.plan import Action, Change, Held, Ownership, Plan, Target, Vhost
from topology.risks import Level, changed, risk

_SIGNS = {
    Action.CREATE: ("+", "green"),
    Action.UPDATE: ("~", "yellow"),
    Action.DELETE: ("-", "red"),
}


def as_text(plan: Plan, *, vhost: str) -> Group:
    """The plan as lines, never as markup: a routing key may look like one."""
    return Group(*_lines(plan, vhost))


def _lines(plan: Plan, vhost: str) -> Iterator[Text]:
    yield from map(change_line, plan.changes)
    for conflict in plan.conflicts:
        yield Text(f"! {conflict.ref}: {conflict.text}", style="bold red")
        yield Text(f"    what to do: {conflict.remedy}")
    yield from held_lines(plan.held)
    yield from _leftover_lines(plan)
    yield Text(summary(plan, vhost=vhost), style="bold")


def leftovers(plan: Plan) -> Group:
    """What is in the broker beside the declared, and stays."""
    return Group(*_leftover_lines(plan))


def _leftover_lines(plan: Plan) -> Iterator[Text]:
    if plan.retired:
        yield Text("No longer declared, kept as it is; apply --prune removes it:", style="yellow")
        yield from _list(plan.retired)
    if plan.drift:
        yield Text("Not declared and not ours, left alone:", style="dim")
        yield from _list(plan.drift)


def change_line(change: Change) -> Text:
    """A change for people, with a sign as in a diff, and what it may do to others."""
    sign, style = _SIGNS[change.action]
    danger = risk(change)
    loud = "bold red" if danger.level is Level.HIGH else "dim"
    return Text.assemble((f"{sign} {_described(change)}", style), (f"  [{danger}]", loud))


def held_lines(held: Iterable[Held]) -> Iterator[Text]:
    """What is kept although nobody declares it, and why."""
    for one in held:
        yield Text(f"! {one.ref} is kept: {one.why}", style="bold red")


def summary(plan: Plan, *, vhost: str) -> str:
    """The plan in one line."""
    if plan.conflicts:
        return f"vhost {vhost}: blocked, nothing will be changed"
    counts = [
        f"{count} to {action}"
        for action in Action
        if (count := sum(change.action is action for change in plan.changes))
    ]
    said = ", ".join(counts) if counts else "no changes"
    return f"vhost {vhost}: {said}{', some kept' if plan.held else ''}"


def _list(refs: Iterable[Ref]) -> Iterator[Text]:
    for ref in refs:
        yield Text(f"    {ref}")


def _described(change: Change) -> str:
    match change.target:
        case Ownership(refs=refs):
            return f"the record of what is ours: {len(refs)} things"
        case User(new_password=True) as user if isinstance(change.before, User):
            return f"{user.ref}: {'; '.join(['a new password', *_edits(change.before, user)])}"
        case other if change.before is not None:
            return f"{other.ref}: {'; '.join(_edits(change.before, other))}"
        case (Exchange() | Queue()) as one if change.action is Action.CREATE:
            return f"{one.ref} ({one.type})"
        case Policy() as policy if change.action is Action.CREATE:
            return f"{policy.ref} for {policy.applies_to} {policy.pattern}"
        case (User() | Permission() | TopicPermission() | UserLimits() | VhostLimits()) as one:
            said = "; ".join(f"{key} {value}" for key, value in _table_of(one).items())
            return f"{one.ref} ({said})" if said else str(one.ref)
        case other:
            return str(other.ref)


def _edits(before: Target, after: Target) -> list[str]:
    old, new = _table_of(before), _table_of(after)
    return changed(tuple(old.items()), tuple(new.items()))


def _table_of(target: Target) -> dict[str, str | int]:
    """What can be edited of it, in one line each."""
    match target:
        case Policy():
            return {**_of_policy(target), **_plain(target.definition)}
        case User():
            login = {} if target.has_password else {"password": "none"}
            return {**({"tags": ",".join(target.tags)} if target.tags else {}), **login}
        case Permission():
            return {"configure": target.configure, "write": target.write, "read": target.read}
        case TopicPermission():
            return {"write": target.write, "read": target.read}
        case UserLimits() | VhostLimits():
            return _plain(target.limits)
        case _:
            return {}


def _plain(pairs: Table) -> dict[str, str | int]:
    return {key: value if isinstance(value, str | int) else str(value) for key, value in pairs}


def _of_policy(policy: Policy) -> dict[str, str | int]:
    return {
        "pattern": policy.pattern,
        "applies to": policy.applies_to,
        "priority": policy.priority,
    }


def as_json(plan: Plan, *, vhost: str) -> dict[str, object]:
    """The plan for programs."""
    return {
        "vhost": vhost,
        "changes": [_change_as_json(change) for change in plan.changes],
        "conflicts": [
            {**_ref(conflict.ref), "text": conflict.text, "remedy": conflict.remedy}
            for conflict in plan.conflicts
        ],
        "held": held_as_json(plan.held),
        "retired": [_ref(ref) for ref in plan.retired],
        "drift": [_ref(ref) for ref in plan.drift],
    }


def held_as_json(held: Iterable[Held]) -> list[dict[str, object]]:
    """What is kept, for programs."""
    return [{**_ref(one.ref), "why": one.why} for one in held]


def _change_as_json(change: Change) -> dict[str, object]:
    danger = risk(change)
    said: dict[str, object] = {
        "action": str(change.action),
        **_ref(change.target.ref),
        "risk": {"level": str(danger.level), "why": danger.why},
    }
    match change.target:
        case Exchange() | Queue():
            said |= {"type": change.target.type, "arguments": _table(change.target.arguments)}
        case Binding() as binding:
            said |= {
                "source": binding.source,
                "destination": binding.destination,
                "key": binding.key,
            }
        case Policy() as policy:
            said |= {**_of_policy(policy), "definition": _table(policy.definition)}
            if isinstance(change.before, Policy):
                before = change.before
                said["before"] = {**_of_policy(before), "definition": _table(before.definition)}
        case Permission() | TopicPermission() | UserLimits() | VhostLimits() | User():
            said |= _table_of(change.target)
            if change.before is not None:
                said["before"] = _table_of(change.before)
        case Ownership() | Vhost():
            pass
    return said


def _ref(ref: Ref) -> dict[str, object]:
    return {"kind": ref.kind, "name": str(ref).removeprefix(f"{ref.kind.replace('_', ' ')} ")}


def _table(pairs: Table) -> dict[str, object]:
    return dict(pairs)
