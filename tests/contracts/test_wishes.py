"""What a client remembers of an id that two requests have had."""

from __future__ import annotations

from contracts.client.wishes import Wish
from contracts.requests import Request

from .samples import keygen_request, sign_request


def wish(request: Request) -> Wish:
    found = Wish.of(request)
    assert found is not None
    return found


def test_what_is_stated_must_hold_for_the_earlier_one_too() -> None:
    late = sign_request().issued_at
    early = late - 5
    one, other = wish(sign_request(issued_at=late)), wish(sign_request(issued_at=early))
    for both in (one.beside(other), other.beside(one)):
        assert (both.issued_at, both.key_id) == (early, "treasury")
    made = wish(keygen_request(issued_at=late)).beside(wish(keygen_request(issued_at=early)))
    assert (made.issued_at, made.made is not None) == (early, True)


def test_of_two_groups_of_parties_nothing_is_known() -> None:
    one = wish(sign_request())
    for other in (sign_request(key_id="another"), keygen_request()):
        assert one.beside(wish(other)) == wish(other).beside(one) == Wish()
    named = keygen_request(parties=["p1", "p2", "p3"])
    assert wish(keygen_request()).beside(wish(named)) == Wish()
    assert one.beside(Wish()) == Wish()
