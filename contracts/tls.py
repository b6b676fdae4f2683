"""TLS: whom we believe, what we show of ourselves, and why a connection did not come to be.

The files are read for each connection, so a certificate that was renewed on disk serves the next
one. Whoever asks for TLS gets a connection that is encrypted and verified, or none.
"""

from __future__ import annotations

import os
import ssl
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.x509.oid import NameOID

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class TlsFileError(ValueError):
    """A file for TLS is of no use. The text says which and why, and nothing of what is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """PEM files, on this side of a connection.

    Attributes:
        ca: Of those who may have signed the other side's certificate; None: whoever this system
            trusts.
        certificate: What we show, with its chain.
        key: The private key to it, without a passphrase.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __bool__(self) -> bool:
        return any((self.ca, self.certificate, self.key))

    @classmethod
    def named(
        cls,
        folder: Path,
        prefix: str,
        environ: Mapping[str, str] = os.environ,
        **own: Path | None,
    ) -> Self:
        """
        Arguments:
            own: As a configuration file names them, relative to its folder.
            prefix: Others stand in ``<prefix>_CA_FILE``, ``<prefix>_CERTIFICATE_FILE`` and
                ``<prefix>_KEY_FILE``.
        """

        def path(name: str) -> Path | None:
            if (given := own.get(name)) is not None:
                return folder / given
            text = environ.get(f"{prefix}_{name.upper()}_FILE")
            return Path(text) if text else None

        return cls(ca=path("ca"), certificate=path("certificate"), key=path("key"))

    def context(self) -> ssl.SSLContext:
        """From the files as they are now. It verifies the other side, and that it is called as we
        call it.

        Raises TlsFileError.
        """
        context = _believing(self.ca)
        if self.certificate is not None and self.key is not None:
            _show(context, self.certificate, self.key)
        elif self.certificate is not None or self.key is not None:
            raise TlsFileError(
                f"{self.certificate or self.key}: a certificate is of no use without its key, nor "
                "a key without its certificate: name both files"
            )
        return context


def _believing(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except ssl.SSLError:
        raise TlsFileError(f"{ca}: has no certificate in PEM") from None
    except OSError as error:
        raise TlsFileError(f"{ca}: {error.strerror}") from None


def _show(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    own = read_certificate(certificate)
    until = own.not_valid_after_utc
    if until.timestamp() < time.time():
        raise TlsFileError(f"{certificate}: has expired on {until:%Y-%m-%d %H:%M} UTC: renew it")
    require_private(key)
    _read(key)  # says if it cannot be read; OpenSSL would not say which of the two
    try:
        # With a passphrase to ask for, OpenSSL would wait at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise TlsFileError(f"{key}: is not the key to {certificate}") from None
        raise TlsFileError(f"{key}: has no private key, or one under a passphrase") from None
    except OSError as error:
        raise TlsFileError(f"{certificate}: {error.strerror}") from None


def require_private(key: Path) -> None:
    """Raises TlsFileError if others than its owner can read it. As with PostgreSQL's own clients, a
    key of root's may be read by a group."""
    try:
        found = key.stat()
    except OSError as error:
        raise TlsFileError(f"{key}: {error.strerror}") from None
    allowed = stat.S_IRGRP if found.st_uid == 0 else 0
    if found.st_mode & _OTHERS & ~allowed:
        raise TlsFileError(
            f"{key}: is a private key that others have access to: chmod 600 it, and replace it if "
            "somebody may have read it"
        )


def read_certificate(path: Path) -> x509.Certificate:
    """The first of a file. Raises TlsFileError."""
    try:
        return x509.load_pem_x509_certificate(_read(path))
    except TlsFileError:
        raise
    except ValueError:
        raise TlsFileError(f"{path}: has no certificate in PEM") from None


def expires_at(path: Path) -> float:
    """Of a certificate, in seconds since 1970. Raises TlsFileError."""
    return read_certificate(path).not_valid_after_utc.timestamp()


def common_name(path: Path) -> str | None:
    """Whom a certificate is for, which is how brokers call its owner. Raises TlsFileError."""
    names = read_certificate(path).subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsFileError(f"{path}: {error.strerror}") from None


###
### Refusals
###

# X509_V_ERR_...: what is wrong with the other side's certificate.
_OF_THEIRS = {
    9: "is not valid yet: look at the clocks",
    10: "has expired: it has to be renewed there",
    18: "is signed by nobody but itself, and not the one that we were told to believe",
    19: "is signed by a CA that we were not told to believe: is the CA's file the right one?",
    20: "is signed by a CA that we were not told to believe: is the CA's file the right one?",
    21: "is signed by a CA that we were not told to believe: is the CA's file the right one?",
    23: "is revoked",
    62: "is for another name than the one in our address",
    64: "is for another address than the one in ours",
}

# What the other side says of us, by OpenSSL's name for it.
_OF_OURS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a certificate of us, and we have shown none",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "it found nothing in common with us, or wants a certificate "
    "of us",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not believe the CA of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "our certificate has expired, by its clock: renew it",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "our certificate is revoked",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it finds our certificate bad; its log says why",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept our certificate; its log says why",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "our certificate is none for a client",
    "TLSV1_ALERT_DECRYPT_ERROR": "it does not accept our certificate; its log says why",
    "TLSV1_ALERT_ACCESS_DENIED": "it does not accept our certificate; its log says why",
    "TLSV1_ALERT_PROTOCOL_VERSION": "it speaks no version of TLS that we do",
}
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNKNOWN_PROTOCOL")


def refusal(error: ssl.SSLError) -> str:
    """Why there is no connection, as the end of a sentence that begins with whom it was to."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = _OF_THEIRS.get(error.verify_code, f"is not believed: {error.verify_message}")
        return f"its certificate {said}"
    reason = error.reason or ""
    if reason in _NO_TLS:
        return "it does not speak TLS there: is this its port without TLS?"
    if reason in _OF_OURS:
        return _OF_OURS[reason]
    return f"TLS failed ({reason.lower().replace('_', ' ') or type(error).__name__})"


def unsaid_refusal(files: TlsFiles) -> str:
    """The same, where all that came was the end of the connection, right after TLS."""
    if files.certificate is None:
        return f"{_OF_OURS['TLSV13_ALERT_CERTIFICATE_REQUIRED']}; or it is just being stopped"
    return (
        "it ended the connection before a word, so it does not accept our certificate, or is just "
        "being stopped; its log says which"
    )
