"""What no schema can say: fields that do not fit to each other or to what they speak of."""

from __future__ import annotations

from ..problems import Problem


def invalid(field: str, sentence: str) -> Problem:
    """In the form that a field has which does not fit its schema."""
    return Problem(
        "invalid_request",
        f"{field}: {sentence}",
        more={"errors": [{"field": f"body.{field}", "message": sentence}]},
    )
