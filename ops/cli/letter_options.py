"""The options that the commands of `warren dead-letters` have in common."""

from enum import StrEnum
from typing import Annotated

import typer

from contracts import addresses

LOOK_AT = 1000


class QueueChoice(StrEnum):
    """Which of the two queues of letters."""

    DEAD = "dead"
    UNCLAIMED = "unclaimed"

    @property
    def queue(self) -> str:
        """Its name at the broker."""
        return {"dead": addresses.DEAD_QUEUE, "unclaimed": addresses.UNCLAIMED}[self.value]


AmqpUrl = Annotated[
    str | None,
    typer.Option(
        "--amqp-url",
        envvar="WARREN_AMQP_URL",
        help="The broker and its vhost, with a user who may read these queues and, to replay, "
        "write to all exchanges. Put it into the environment: a command line can be read by every "
        "user of the machine. Unless given: that of the stack that `warren up` runs here.",
        show_default=False,
    ),
]
Which = Annotated[
    QueueChoice, typer.Option("--queue", help="warren.dead, or warren.unclaimed: results.")
]
LookAt = Annotated[
    int,
    typer.Option(
        "--look-at",
        min=1,
        metavar="N",
        help="Look at no more letters than so many, from the oldest on.",
    ),
]
From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="PATTERN",
        help="Only those that died in such a queue, e.g. 'warren.inbox.*'.",
        show_default=False,
    ),
]
Kind = Annotated[
    str | None,
    typer.Option(metavar="PATTERN", help="Only such, e.g. 'keygen/*'.", show_default=False),
]
ReasonContains = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Only those with this in the reason.", show_default=False),
]
Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID",
        help="From `warren dead-letters list`, or the beginning of one. Identical letters share "
        "an id.",
        show_default=False,
    ),
]
All = Annotated[
    bool, typer.Option("--all", help="Instead of ids: every letter that the filters leave.")
]
