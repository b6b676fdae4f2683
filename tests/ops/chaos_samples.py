"""A run in which nothing went wrong, for tests to spoil."""

from __future__ import annotations

from contracts.answers import failed_result
from contracts.failures import Failure, FailureCode
from contracts.primitives import Curve, Scheme
from contracts.requests import Request, SignItem
from contracts.results import Result, Status
from ops.chaos.facts import Answer, Asked, Facts, Struck, Violation
from ops.chaos.faults import Kind
from ops.chaos.invariants import violations
from ops.chaos.verifying import Verifier
from tests.contracts import samples

ED25519 = samples.SingleKey(Curve.ED25519)
SECP256K1 = samples.SingleKey(Curve.SECP256K1)
OF = {Curve.ED25519: ED25519, Curve.SECP256K1: SECP256K1}


def ask(facts: Facts, request: Request, *, at_s: float = 10.0) -> None:
    facts.asked[request.request_id] = Asked(
        client="svcA",
        request=request,
        asked_s=at_s,
        given_up_s=at_s + 35,
        due_s=at_s + 50,
        published=1,
    )


def answer(facts: Facts, result: Result, *, at_s: float = 11.0, client: str = "svcA") -> None:
    body = result.model_dump_json().encode()
    facts.answers[result.request_id].append(Answer(at_s=at_s, client=client, body=body))


def good_facts() -> Facts:
    """Two keys, and a signature of each scheme."""
    facts = Facts()
    for curve in Curve:
        request = samples.keygen_request(request_id=f"k-{curve}", key_id=f"{curve}", curve=curve)
        ask(facts, request, at_s=1.0)
        answer(
            facts, samples.keygen_result(request, OF[curve].certified(key_id=f"{curve}")), at_s=2.0
        )
    for scheme in (Scheme.ED25519, Scheme.BIP340, Scheme.ECDSA):
        path = None if scheme is Scheme.ED25519 else "m/3/7"
        signing = samples.sign_request(
            request_id=f"s-{scheme}",
            key_id=f"{scheme.curve}",
            scheme=scheme,
            message=bytes(range(32)),
            derivation_path=path,
        )
        ask(facts, signing)
        answer(facts, samples.sign_result(signing, OF[scheme.curve]))
    items = [SignItem(message=bytes([i]) * 32, derivation_path=f"m/{i}") for i in range(3)]
    many = samples.sign_request(
        request_id="s-list", key_id="secp256k1", scheme=Scheme.ECDSA, message=None, items=items
    )
    ask(facts, many)
    answer(facts, samples.sign_result(many, SECP256K1))
    return facts


def fail(
    facts: Facts,
    request_id: str,
    code: FailureCode,
    *,
    at_s: float = 11.0,
    culprits: list[str] | None = None,
) -> None:
    """In place of the answer there is."""
    facts.answers[request_id] = []
    operation = facts.asked[request_id].request.operation
    failed = failed_result(
        operation,
        Failure.of(code, "why", culprits=culprits),
        request_id=request_id,
        client_id="svcA",
        request_digest=bytes(32),
        finished_at=1,
        status=Status.FAILED,
    )
    answer(facts, failed, at_s=at_s)


def struck(kind: Kind, *, target: str = "", began_s: float, ended_s: float) -> Struck:
    return Struck(kind=kind, target=target, began_s=began_s, ended_s=ended_s)


def judged(facts: Facts) -> list[Violation]:
    return violations(facts, Verifier(samples.PINNED))


def broken(facts: Facts) -> set[str]:
    """The rules of which there are violations."""
    return {violation.rule for violation in judged(facts)}
