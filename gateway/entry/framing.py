"""Where a request ends, and whom it is for (RFC 9112): what two readers could understand
differently is refused, since one of them may be a proxy."""

from __future__ import annotations

from collections.abc import Sequence

from ..problems import Problem

CHUNKED = "chunked"


def framing_problem(version: str, headers: Sequence[tuple[bytes, bytes]]) -> Problem | None:
    """What is wrong with a request's framing, if anything is.

    Arguments:
        version: Of HTTP, such as ``1.1``.
        headers: By their names in lower case.
    """
    hosts = sum(name == b"host" for name, _ in headers)
    if hosts > 1 or (hosts == 0 and version == "1.1"):
        return Problem("not_http", f"A request has one header Host, and this one {hosts}.")
    lines = [value for name, value in headers if name == b"transfer-encoding"]
    if not lines:
        return None
    if version == "1.0":
        return Problem("not_http", "Transfer-Encoding came with HTTP/1.0, which has none.")
    if any(name == b"content-length" for name, _ in headers):
        return Problem("not_http", "Transfer-Encoding came together with Content-Length.")
    codings = [each.strip().lower() for each in b",".join(lines).decode("latin-1").split(",")]
    if codings == [CHUNKED]:
        return None
    if set(codings) <= {CHUNKED, ""}:
        return Problem("not_http", "Transfer-Encoding must name chunked once.")
    return Problem("transfer_coding", "Transfer-Encoding names another coding than chunked.")
