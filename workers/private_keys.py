"""Private identities, where configuration files and the environment have them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from contracts.errors import ContractError
from contracts.identity import Identity

VARIABLE = "WARREN_PRIVATE_KEY"


def find(
    path: Path, section: str, given: str | None, file: Path | None, environ: Mapping[str, str]
) -> Identity:
    """Of a process, from the first place that has it.

    Arguments:
        path, section: Of the configuration.
        given: What stands there itself. Secret.
        file: What it names, relative to itself.

    Raises ContractError, which says where it was looked for and never shows a key.
    """
    if given is not None:
        return _parsed(f"{path}: {section}.private_key", given)
    if file is not None:
        return read(path.parent / file, f"{path}: {section}.private_key_file")
    if VARIABLE in environ:
        return _parsed(VARIABLE, environ[VARIABLE].strip())
    raise ContractError(
        f"{path}: no private key: set private_key_file under [{section}], or {VARIABLE} in the "
        "environment (`warren identity new` makes one)"
    )


def read(path: Path, named: str) -> Identity:
    """From a file. Arguments: named: Where its name stands. Raises ContractError."""
    source = f"{named} {path}"
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ContractError(f"{source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ContractError(f"{source}: not base64 text") from None
    return _parsed(source, text)


def _parsed(source: str, text: str) -> Identity:
    try:
        return Identity.from_base64(text)
    except ContractError as error:
        raise ContractError(f"{source}: {error}") from None
