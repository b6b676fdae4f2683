"""Where broker and database are, and what TLS needs to get there: from a configuration file or the
environment.

An address comes out with its files for TLS in it, so whoever is given one needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, SecretStr

from contracts import hosts
from contracts.hosts import AddressError, Hosts
from contracts.tls import TlsFiles

from .store import opening


class PlacesSection(BaseModel):
    """What a section of a file says of them. Each may stand in the environment as well:
    ``WARREN_AMQP_URL`` and so on. Files are relative to the file that names them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    amqp_url: SecretStr | None = None
    amqp_ca_file: Path | None = None
    """PEM, of those who may have signed the broker's certificate; else whom the system trusts."""
    amqp_certificate_file: Path | None = None
    """PEM, shown to the broker. Without a user and password in `amqp_url` it is the login."""
    amqp_key_file: Path | None = None
    """PEM, without a passphrase; nobody else may read it."""
    database_url: SecretStr | None = None
    database_ca_file: Path | None = None
    """The same for the database: with it, `database_url` means ``sslmode=verify-full`` unless it
    says ``verify-ca``."""
    database_certificate_file: Path | None = None
    database_key_file: Path | None = None

    def broker(self, path: Path, environ: Mapping[str, str]) -> str:
        """Its address. Raises AddressError, which says where it stands."""
        source, url = _given(path, "amqp_url", self.amqp_url, environ)
        files = TlsFiles.named(
            path.parent,
            "WARREN_AMQP",
            environ,
            ca=self.amqp_ca_file,
            certificate=self.amqp_certificate_file,
            key=self.amqp_key_file,
        )
        try:
            return hosts.check(hosts.with_files(url, files))
        except AddressError as error:
            raise AddressError(f"{source}: {error}") from None

    def database(self, path: Path, environ: Mapping[str, str]) -> str:
        """The same."""
        source, url = _given(path, "database_url", self.database_url, environ)
        files = TlsFiles.named(
            path.parent,
            "WARREN_DATABASE",
            environ,
            ca=self.database_ca_file,
            certificate=self.database_certificate_file,
            key=self.database_key_file,
        )
        try:
            return opening.check(opening.with_files(url, files))
        except AddressError as error:
            raise AddressError(f"{source}: {error}") from None


def _given(
    path: Path, name: str, own: SecretStr | None, environ: Mapping[str, str]
) -> tuple[str, str]:
    """Where it stands, and what."""
    variable = f"WARREN_{name.upper()}"
    if own is not None:
        return f"{path}: {name}", own.get_secret_value()
    if variable in environ:
        return variable, environ[variable]
    raise AddressError(f"{path}: no {name}: set it there, or {variable} in the environment")


def certificates(amqp_url: str, database_url: str) -> dict[str, Path]:
    """The files of those that we show, by whom they are shown to."""
    files = {
        "broker": hosts.files_of(Hosts(amqp_url, first=0).current),
        "database": opening.files_of(database_url),
    }
    return {name: each.certificate for name, each in files.items() if each.certificate is not None}
