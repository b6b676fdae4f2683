"""What the coordinator tells of a key's epochs. Words of former holders that are not theirs are no
reason to refuse it: they do not count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ... import results as models
from ...views import EpochView
from .. import spoken
from ..hands import ED25519, SECP256K1, STRANGER, certified
from ..histories import chain, said, views
from .deliveries import ANOTHERS, DISBELIEVED, Changes, Delivery, base, changed


def histories() -> Sequence[Delivery]:
    return [*_whole(), *_pages(), *_anybodys()]


def _whole() -> Sequence[Delivery]:
    asked = spoken.signed("query_key_history", key_id="ed25519")
    third, second, _ = chain()
    told = views([said("p1", 4)], [said("p2", 1, by=STRANGER)])
    good = models.QueryKeyHistoryResult(
        **base(asked, session_id=None), key=certified(third), epochs=told
    )

    def of(**facts: Any) -> tuple[dict[str, Any], str]:
        """Of other facts, which all have certified."""
        newest, *rest = chain(**facts)
        epochs = [EpochView(facts=each) for each in (newest, *rest)]
        return {"key": certified(newest), "epochs": epochs}, DISBELIEVED

    bare = certified(third).model_copy(update={"certificates": {}})
    other = ED25519.child(bytes(31) + b"\1").public_key
    first_shares = [EpochView(facts=ED25519.facts())]
    changes: Changes = {
        **ANOTHERS,
        "of the first shares": ({"key": ED25519.certified(), "epochs": first_shares}, None),
        "without the key": ({"key": None}, DISBELIEVED),
        "without certificates": ({"key": bare}, DISBELIEVED),
        "without the newest epoch": ({"epochs": told[1:]}, DISBELIEVED),
        "without one between": ({"epochs": [told[0], told[2]]}, DISBELIEVED),
        "without the first epoch": ({"epochs": told[:2]}, DISBELIEVED),
        "and more than all": ({"more": True}, DISBELIEVED),
        "an empty page, and more": ({"epochs": [], "more": True}, DISBELIEVED),
        "of no epoch": ({"epochs": []}, DISBELIEVED),
        "in another order": ({"epochs": told[::-1]}, DISBELIEVED),
        "of another newest epoch": ({"key": certified(second)}, DISBELIEVED),
        "of another key": (
            {"key": SECP256K1.certified(), "epochs": [EpochView(facts=SECP256K1.facts())]},
            DISBELIEVED,
        ),
        "that had another public key before": of(public_key=other),
        "a tenant's": of(tenant="alice"),
        "another client's key": of(client_id="svcB"),
    }
    return changed("a key's history", asked, good, changes)


def _pages() -> Sequence[Delivery]:
    """Pages behind the first, whose beginning whoever joins them has to compare."""
    asked = spoken.signed("query_key_history", key_id="ed25519", before=4)
    told = views()
    good = models.QueryKeyHistoryResult(
        **base(asked, session_id=None), key=certified(chain()[0]), epochs=told[1:]
    )
    changes: Changes = {
        "in two pages": ({"epochs": told[1:2], "more": True}, None),
        "from an epoch that was told before": ({"epochs": told}, DISBELIEVED),
        "without the first epoch": ({"epochs": told[1:2]}, DISBELIEVED),
        "without the key": ({"key": None}, DISBELIEVED),
    }
    return changed("a later page of a key's history", asked, good, changes)


def _anybodys() -> Sequence[Delivery]:
    """By the session that made the key: whosever it is, its parties have certified it for them."""
    asked = spoken.signed("query_key_history", key_session=ED25519.facts().session_id)

    def of(**facts: Any) -> dict[str, Any]:
        newest, *rest = chain(**facts)
        epochs = [EpochView(facts=each) for each in (newest, *rest)]
        return {"key": certified(newest), "epochs": epochs}

    theirs = of(client_id="svcB", tenant="bob", key_id="theirs")
    good = models.QueryKeyHistoryResult(**base(asked, session_id=None), **theirs)
    bare = theirs["key"].model_copy(update={"certificates": {}})
    other = ED25519.child(bytes(31) + b"\1").public_key
    changes: Changes = {
        "our own": (of(), None),
        "our own, that had another public key before": (of(public_key=other), DISBELIEVED),
        "of another session": (of(session_id=bytes(32)), DISBELIEVED),
        "without certificates": ({"key": bare}, DISBELIEVED),
    }
    return changed("the history of anybody's key", asked, good, changes)
