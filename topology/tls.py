"""TLS to the management API: whom we believe, and what we show.

An address says it like those of the broker: ``https://host?cafile=..&certfile=..&keyfile=..``. What
migrates a queue reaches the broker itself by ``amqps://``, and the same files.
"""

from __future__ import annotations

import os
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from topology.problems import TopologyError

_FILES: Final = ("cafile", "certfile", "keyfile")
_VARIABLES: Final = {
    "cafile": "WARREN_MANAGEMENT_CA_FILE",
    "certfile": "WARREN_MANAGEMENT_CERTIFICATE_FILE",
    "keyfile": "WARREN_MANAGEMENT_KEY_FILE",
}
_SEPARATE: Final = stat.S_IRWXG | stat.S_IRWXO


class TlsError(TopologyError):
    """The management API is not to be believed, or does not believe us, or a file is of no use."""


def with_files(url: str, environ: Mapping[str, str] = os.environ) -> str:
    """The address, with the files that the environment names and it does not."""
    there = files_of(url)
    named = {
        name: environ[variable]
        for name, variable in _VARIABLES.items()
        if environ.get(variable) and name not in there
    }
    if not named:
        return url
    added = "&".join(f"{name}={quote(path, safe='/')}" for name, path in named.items())
    return f"{url}{'&' if '?' in url else '?'}{added}"


def files_of(url: str) -> dict[str, Path]:
    """By parameter."""
    given = parse_qs(url.partition("?")[2])
    return {name: Path(given[name][-1]) for name in _FILES if name in given}


def context(url: str) -> ssl.SSLContext | None:
    """As the files are now; None for an address without TLS.

    Raises TlsError.
    """
    files = files_of(url)
    scheme = urlsplit(url).scheme
    if scheme not in ("https", "amqps"):
        if files:
            raise TlsError(
                "files for TLS at the broker need amqps:// before its host"
                if scheme == "amqp"
                else "files for TLS at the management API need https:// before its host"
            )
        return None
    made = _believing(files.get("cafile"))
    if "certfile" in files and "keyfile" in files:
        _show(made, files["certfile"], files["keyfile"])
    elif "certfile" in files or "keyfile" in files:
        raise TlsError("for the management API, a certificate and its key belong together")
    return made


def _believing(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise TlsError(f"{ca}: has no certificate in PEM") from None
    except OSError as error:
        raise TlsError(f"{ca}: {error.strerror}") from None


def _show(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        found = key.stat()
        allowed = stat.S_IRGRP if found.st_uid == 0 else 0
        if found.st_mode & _SEPARATE & ~allowed:
            raise TlsError(f"{key}: is a private key that others have access to: chmod 600 it")
        made.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError:
        raise TlsError(f"{certificate} and {key}: are no certificate and the key to it") from None
    except OSError as error:
        raise TlsError(f"{error.filename or certificate}: {error.strerror}") from None


def cause(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS said, somewhere below an error of httpx."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        error = error.__cause__ or error.__context__
    return None


def refused(url: str, error: ssl.SSLError) -> TlsError:
    """The sentence about it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return TlsError(
            f"the certificate of RabbitMQ's management API at {url} is not believed "
            f"({error.verify_message}). Is {_VARIABLES['cafile']} the file of its CA?"
        )
    return TlsError(
        f"no TLS with RabbitMQ's management API at {url} ({error.reason or error}). "
        "Is this its port for https?"
    )
