"""What a new client is given: a file with its login at the broker and whom to believe, and a
private key, unless it made one itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from contracts.errors import ContractError
from contracts.identity import Identity
from topology import TopologyError
from topology.passwords import write_secret

_OF_A_LOGIN: Final = ("certfile", "keyfile", "auth")
"""Of an address, what is somebody's own."""


class HandoverError(Exception):
    """What is to be given away is not there, or cannot be written; says what to do."""


def own_identity(path: Path) -> Identity:
    """The one in the file, which is made if it is not there: in a file that nobody else can read.

    Raises HandoverError.
    """
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_secret(path, Identity.generate().to_base64())
        return Identity.from_base64(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise HandoverError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, ContractError):
        raise HandoverError(f"{path}: not a base64 private key") from None
    except TopologyError as error:
        raise HandoverError(str(error)) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a client gets into the broker.

    Attributes:
        user: The broker's name for it.
        password: Where a new one is, which is gone from there when it is handed over.
        kept: One that is kept elsewhere. Without either, a certificate in the user's name is it.
    """

    user: str
    password: Path | None = None
    kept: str | None = field(default=None, repr=False)


def write_file(
    path: Path,
    *,
    client_id: str,
    amqp_url: str,
    login: Login,
    key: Path | None,
    trusted: Mapping[str, list[dict[str, Any]]],
) -> None:
    """The client's configuration; its password's own file is gone afterwards. Does nothing if both
    was done before.

    Arguments:
        amqp_url: Without a login.
        key: Of its private key; None if it has it itself.

    Raises HandoverError.
    """
    if login.password is None or not login.password.exists():
        if path.exists():
            return
        if login.password is not None:
            raise HandoverError(
                f"the password of user {login.user} was handed over before ({login.password} is "
                f"gone) and {path} is not there: give the client another login with `warren client "
                "rotate`"
            )
    own: dict[str, Any] = {"client_id": client_id, **at_the_broker(amqp_url, login)}
    if key is not None:
        own["private_key_file"] = os.path.relpath(key, path.parent)
    lines = ["[client]", *_lines(own), ""]
    for name, tables in trusted.items():
        for table in tables:
            lines += [f"[[{name}]]", *_lines(table), ""]
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, "\n".join(lines))
        if login.password is not None:
            login.password.unlink()
    except OSError as error:
        raise HandoverError(f"{path}: {error.strerror}") from None
    except TopologyError as error:
        raise HandoverError(str(error)) from None


def at_the_broker(amqp_url: str, login: Login) -> dict[str, str]:
    """What of a configuration file says where the broker is and who comes."""
    if login.password is not None:
        secret = login.password.read_text(encoding="utf-8").rstrip("\r\n")
        return {"amqp_url": _with_login(amqp_url, login.user, secret)}
    if login.kept is not None:
        return {"amqp_url": _with_login(amqp_url, login.user, login.kept)}
    return {
        "amqp_url": _with_login(amqp_url, "", ""),
        "amqp_certificate_file": f"{login.user}.pem",
        "amqp_key_file": f"{login.user}.key",
    }


def _with_login(url: str, user: str, password: str) -> str:
    """Instead of the one that stands there, if one does: a certificate is one, too."""
    scheme, _, rest = url.partition("://")
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    hosts = authority.rpartition("@")[2]
    own = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user else ""
    kept = [each for each in query.split("&") if each.partition("=")[0] not in _OF_A_LOGIN]
    told = "&".join(each for each in kept if each)
    return f"{scheme}://{own}{hosts}{slash}{path}{'?' if told else ''}{told}"


def _lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {_value(value)}" for key, value in table.items()]


def _value(value: Any) -> str:
    """A text, a number or a moment, as TOML has it."""
    return value.isoformat() if hasattr(value, "isoformat") else json.dumps(value)
