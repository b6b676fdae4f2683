"""What the demo shows in the end, and while it runs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from contracts.primitives import Scheme
from contracts.results import Status
from contracts.verification import check_signature
from ops.showcase import renewal
from ops.showcase.deliveries import Delivered
from ops.showcase.narrator import Narrator
from ops.showcase.report import as_json, as_table
from ops.showcase.tour import ACTS
from tests.ops.showcase_samples import performance


def console() -> Console:
    return Console(file=io.StringIO(), width=80, highlight=False)


def written(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def test_every_address_stands_whole_on_a_line_of_80_columns() -> None:
    terminal, made = console(), performance()
    Narrator(terminal).show(as_table(made))
    lines = written(terminal).splitlines()
    assert max(map(len, lines)) <= 80
    for outcome in made.outcomes:
        assert any(outcome.unsigned.address in line for line in lines)
        assert outcome.signature.signature.hex()[:64] in written(terminal)


def test_the_json_report_has_everything_to_verify_the_signatures_again() -> None:
    narrator, made = Narrator(console()), performance()
    with narrator.step("something", "Something happens"):
        pass
    delivered = Delivered(
        queue="q",
        client_id=None,
        request_id="r",
        scheme=Scheme.ECDSA,
        status=Status.COMPLETED,
    )
    shown = json.loads(json.dumps(as_json(narrator, made, [delivered])))
    assert [step["name"] for step in shown["steps"]] == ["something"]
    assert shown["deliveries"] == [
        {
            "queue": "q",
            "client_id": None,
            "request_id": "r",
            "scheme": "ecdsa",
            "status": "completed",
        }
    ]
    assert [key["key_id"] for key in shown["keys"]] == [
        *(act.key_id for act in ACTS),
        renewal.ACT.key_id,
    ]
    public_keys = {key["key_id"]: bytes.fromhex(key["public_key"]) for key in shown["keys"]}
    for outcome, signature in zip(made.outcomes, shown["signatures"], strict=True):
        assert public_keys[signature["key_id"]] == outcome.key.facts.public_key
        assert signature["transaction"] == outcome.signed.raw.hex()
        assert signature["address"] == outcome.unsigned.address
        assert signature["derivation_path"] == outcome.payment.path
        check_signature(
            outcome.unsigned.scheme,
            *(bytes.fromhex(signature[name]) for name in ("public_key", "message", "signature")),
        )


def test_the_report_tells_in_which_scheme_and_where_below_its_key_each_payer_is() -> None:
    terminal = console()
    Narrator(terminal).show(as_table(performance()))
    lines = [" ".join(line.split()) for line in written(terminal).splitlines()]
    assert [line for line in lines if line.startswith("key ")] == [
        "key demo-solana, 2-of-3 on ed25519",
        "key demo-wallet, 2-of-3 on secp256k1",
        "key demo-wallet at m/84/0/0/0/0, 2-of-3 on secp256k1",
        "key demo-wallet at m/44/60/0/0/0, 2-of-3 on secp256k1",
        "key demo-legacy, 2-of-3 on ed25519",
        "key demo-renewed, 2-of-3 on ed25519",
    ]
    assert [line for line in lines if line.startswith("signed by ")] == [
        f"signed by p1 and p3 ({scheme})"
        for scheme in ("ed25519", "bip340", "ecdsa", "ecdsa", "ed25519", "ed25519")
    ]


def test_of_a_key_with_new_shares_the_report_tells_who_came_and_who_left() -> None:
    terminal, made = console(), performance()
    Narrator(terminal).show(as_table(made))
    lines = [" ".join(line.split()) for line in written(terminal).splitlines()]
    assert "shares of epoch 2: made anew twice, the public key is as before" in lines
    assert "held by p4, p2, p3" in lines
    assert "shown out p1, for p4" in lines
    assert "worthless p1's of epoch 0, p2's of epoch 1, together" in lines
    shown = as_json(Narrator(console()), made, [])["renewal"]
    assert [each["epoch"] for each in shown["epochs"]] == [0, 1, 2]
    assert (shown["left"], shown["came"]) == ("p1", "p4")


def test_a_step_that_fails_is_told_as_such_and_not_counted() -> None:
    terminal = console()
    narrator = Narrator(terminal)
    with narrator.step("first", "The first"):
        pass
    with pytest.raises(RuntimeError), narrator.step("second", "The second"):
        raise RuntimeError
    assert [step.name for step in narrator.steps] == ["first"]
    assert [line[:1] for line in written(terminal).splitlines()] == ["✓", "✗"]
