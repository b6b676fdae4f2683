"""Where clients are let in: what `warren client` needs of a deployment, but for the broker's
administrator, whose password stands in no file of a stack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from contracts.identity import Identity, PublicIdentity
from ops.stack.files import write, write_secret
from topology.model import GROUPS, Members

OPERATOR_KEY = "operator.key"
LIST = "clients.list"
MEMBERS = "members.yaml"


def operator_of(path: Path) -> str:
    """The public key of whoever signs, of a desk that was written."""
    text = path.with_name(OPERATOR_KEY).read_text()
    return Identity.from_base64(text.strip()).public.to_base64()


def write_desk(
    path: Path,
    *,
    members: Members,
    vhost: str,
    amqp_url: str,
    tables: Mapping[str, list[dict[str, Any]]],
    topology: Path | None = None,
) -> PublicIdentity:
    """The registrar's file with what lies beside it. Returns whom followers are to pin.

    Arguments:
        amqp_url: With the registrar's login.
        tables: Whom new clients believe, and the clients of the followers' files.
        topology: Its files, where they are not those that come with Warren.
    """
    directory = path.parent
    directory.mkdir(mode=0o700)
    operator = Identity.generate()
    write_secret(directory / OPERATOR_KEY, operator.to_base64())
    groups = [f"{group}: {json.dumps(members.of(group))}" for group in GROUPS]
    (directory / MEMBERS).write_text("\n".join(groups) + "\n")
    own = {
        "operator_key_file": OPERATOR_KEY,
        "list_file": LIST,
        "members_file": MEMBERS,
        "amqp_url": amqp_url,
        "vhost": vhost,
    }
    own |= {} if topology is None else {"topology": str(topology)}
    write(path, {"registrar": own, **tables})
    return operator.public
