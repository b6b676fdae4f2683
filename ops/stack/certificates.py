"""A CA for tests, and what it signs. Never for production: its key lies beside its certificates, it
asks nobody, it revokes nothing, and everything of it ends after days.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ops.stack.errors import StackError

MOST_DAYS = 30
LONGEST_NAME = 64
"""Of what a certificate calls its owner, by X.509's own rule."""
_ORGANISATION = "Warren test CA, not for production"
_EARLIER = timedelta(minutes=5)
"""For clocks that are behind."""
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Pair:
    """The files of a certificate and of its key, which only their owner can read."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    Attributes:
        ca: Whom its owner believes.
        pair: What they show.
    """

    ca: Path
    pair: Pair

    @classmethod
    def issued(cls, ca: TestingCa, user: str) -> Credentials:
        """New ones for a user of the broker."""
        return cls(ca.certificate, ca.for_user(user))

    @property
    def amqp_query(self) -> str:
        """For an address of the broker, where they are the login."""
        return f"{self.ca_query}&{_query(self._files('certfile', 'keyfile'))}&auth=EXTERNAL"

    @property
    def ca_query(self) -> str:
        """For an address of whom one believes and shows nothing."""
        return _query({"cafile": self.ca})

    @property
    def postgres_query(self) -> str:
        """For an address of the database, beside a user and password."""
        files = {"sslrootcert": self.ca, **self._files("sslcert", "sslkey")}
        return f"sslmode=verify-full&{_query(files)}"

    def context(self) -> ssl.SSLContext:
        """Of a client."""
        made = ssl.create_default_context(cafile=self.ca)
        made.load_cert_chain(self.pair.certificate, self.pair.key)
        return made

    def _files(self, certificate: str, key: str) -> dict[str, Path]:
        return {certificate: self.pair.certificate, key: self.pair.key}


def _query(files: dict[str, Path]) -> str:
    return "&".join(f"{name}={quote(str(path), safe='/')}" for name, path in files.items())


class TestingCa:
    """
    Attributes:
        certificate: Its file, for those who are to believe what it signs.
    """

    __test__ = False

    def __init__(self, directory: Path) -> None:
        """Finds what `make` left in the directory. Raises StackError."""
        self._directory = directory
        self.certificate = directory / "ca.pem"
        try:
            self._own = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            key = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
        except OSError as error:
            raise StackError(f"{error.filename}: {error.strerror}") from None
        except (ValueError, TypeError):
            raise StackError(f"{directory} has no CA of ours: give a folder of its own") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    @classmethod
    def make(cls, directory: Path, *, days: float = 7) -> TestingCa:
        """A new one, in a folder that is made if it is not there."""
        until = _until(days)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, _ORGANISATION)])
        usage = _usage(signs_certificates=True)
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        certificate = (
            _begun(name, name, key.public_key(), until)
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        _write_pair(directory, "ca", certificate, key)
        return cls(directory)

    def for_server(self, name: str, hosts: Sequence[str], *, days: float = 7) -> Pair:
        """Arguments: name: Of the files. hosts: Names and addresses by which it is asked for."""
        return self._issue(name, None, ExtendedKeyUsageOID.SERVER_AUTH, hosts, _until(days))

    def for_user(self, user: str, *, name: str = "", days: float = 7) -> Pair:
        """Arguments: user: As the broker calls them. name: Of the files; the user's unless given.

        Raises StackError for a name that no certificate can have.
        """
        if not 0 < len(user) <= LONGEST_NAME:
            raise StackError(
                f"a certificate calls its owner by 1 to {LONGEST_NAME} characters, and user "
                f'"{user}" has {len(user)}: give that user a shorter name with `user:` in its role'
            )
        usage = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._issue(name or user, user, usage, (), _until(days))

    def _issue(
        self,
        name: str,
        user: str | None,
        usage: x509.ObjectIdentifier,
        hosts: Sequence[str],
        until: datetime,
    ) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        common = user or hosts[0]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
        own = self._own.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        builder = (
            _begun(subject, self._own.subject, key.public_key(), until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False
            )
        )
        if hosts:
            names = x509.SubjectAlternativeName([_host(each) for each in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return _write_pair(self._directory, name, certificate, key)


def _until(days: float) -> datetime:
    """Less than zero days make one that has expired, for tests of that."""
    if days > MOST_DAYS:
        raise StackError(f"what is for tests ends after {MOST_DAYS} days at most")
    return datetime.now(UTC) + timedelta(days=days)


def _begun(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
) -> x509.CertificateBuilder:
    begins = min(datetime.now(UTC), until) - _EARLIER
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(text: str) -> x509.GeneralName:
    with contextlib.suppress(ValueError):
        return x509.IPAddress(ipaddress.ip_address(text))
    if not _HOST_NAME.fullmatch(text):
        raise StackError(f'"{text}" is no name or address of a host')
    return x509.DNSName(text)


def _write_pair(
    directory: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Pair:
    if not _FILE_NAME.fullmatch(name):
        raise StackError(f'"{name}" is no name for a file: it has A-Z, a-z, 0-9, _, -, .')
    pair = Pair(directory / f"{name}.pem", directory / f"{name}.key")
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    _replace(pair.key, secret, 0o600)
    _replace(pair.certificate, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return pair


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Complete or not there: somebody may read it at any time."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
        file.write(content)
    fresh.replace(path)
