"""Shovels, federation and the like: what moves messages in the broker without a login of ours.

No file declares them. Whoever may set one takes messages out of queues by no permission that we
gave, so each is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from topology.management import Management
from topology.model import Ref

_KNOWN_OTHERWISE: Final = ("policy", "operator_policy", "vhost-limits")
_ADDRESSES: Final = ("src-uri", "dest-uri", "uri", "src_uri", "dest_uri")
_DEFAULT_VHOST: Final = "/"


async def found_parameters(management: Management, vhost: str) -> tuple[Ref, ...]:
    """Those that are set in the vhost, and those set elsewhere with an address in one of that
    name. Addresses hold passwords: they are looked at here, and kept nowhere."""
    told = await management.get("parameters")
    # Of those in the broker's own configuration only the plugin for them tells, if it is there.
    static = [
        one
        for one in await management.get("shovels", missing_ok=True) or ()
        if one.get("type") == "static"
    ]
    return tuple(sorted({*_set(told, vhost), *_configured(static, vhost)}))


def _set(told: Iterable[Mapping[str, Any]], vhost: str) -> Iterator[Ref]:
    for one in told:
        component, name, home = one["component"], one["name"], one["vhost"]
        if component in _KNOWN_OTHERWISE:
            continue
        if home == vhost:
            yield Ref("parameter", (f"{component} {name}",))
        elif isinstance(one.get("value"), Mapping) and _leads_to(one["value"], vhost):
            yield Ref("parameter", (f"{component} {name}", f"vhost {home}"))


def _configured(shovels: Iterable[Mapping[str, Any]], vhost: str) -> Iterator[Ref]:
    for one in shovels:
        # One that is not connected tells no address: rather one too many is named.
        if _leads_to(one, vhost) or not _addresses(one):
            yield Ref("parameter", (f"shovel {one.get('name', '?')}", "the broker's configuration"))


def _leads_to(value: Mapping[str, Any], vhost: str) -> bool:
    return any(_vhost_of(address) == vhost for address in _addresses(value))


def _addresses(value: Mapping[str, Any]) -> list[str]:
    found: list[str] = []
    for key in _ADDRESSES:
        told = value.get(key) or ()
        found += [told] if isinstance(told, str) else map(str, told)
    return found


def _vhost_of(address: str) -> str | None:
    """None where the address is none."""
    try:
        path = urlsplit(address).path
    except ValueError:
        return None
    return unquote(path[1:]) if len(path) > 1 else _DEFAULT_VHOST
