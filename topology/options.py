"""What the commands are told on their command lines."""

from pathlib import Path
from typing import Annotated, Final

import typer

Directory = Annotated[
    Path | None,
    typer.Option(
        help="Where the *.yaml files are; those that come with Warren unless given.",
        exists=True,
        file_okay=False,
    ),
]
MembersFile = Annotated[
    Path | None,
    typer.Option(
        "--members",
        help="The parties and clients that get queues; the directory's members.yaml unless given.",
        exists=True,
        dir_okay=False,
    ),
]
Overlays = Annotated[
    list[Path] | None,
    typer.Option(
        "--overlay",
        help="A file of the same form whose values stand instead of the others', such as that of "
        "an environment. Of several, the last one's.",
        exists=True,
        dir_okay=False,
    ),
]
ManagementUrl = Annotated[
    str,
    typer.Option(
        envvar="WARREN_MANAGEMENT_URL",
        help="RabbitMQ's management API; http://127.0.0.1:15672 unless given. Put credentials into "
        "the environment, here or as WARREN_MANAGEMENT_PASSWORD: a command line can be read by "
        "every user of the machine. For https, WARREN_MANAGEMENT_CA_FILE names its CA, and "
        "WARREN_MANAGEMENT_CERTIFICATE_FILE and _KEY_FILE what to show where that is asked for.",
        show_default=False,
    ),
]
User = Annotated[
    str | None, typer.Option(envvar="WARREN_MANAGEMENT_USER", help="Instead of the URL's.")
]
VhostName = Annotated[str, typer.Option("--vhost", envvar="WARREN_VHOST")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object instead of text.")]
Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Also delete queues and exchanges that an earlier apply made and that are no longer "
        "declared. A queue that holds messages is kept; making sure of it takes some seconds.",
    ),
]
Lose = Annotated[
    list[str] | None,
    typer.Option(
        "--lose",
        metavar="QUEUE",
        help="A queue whose messages may go: it is pruned although it holds some, or gets a limit "
        "that drops some. Once for each.",
    ),
]
DEFAULT_URL: Final = "http://127.0.0.1:15672"
Secrets = Annotated[
    Path,
    typer.Option(
        "--secrets",
        envvar="WARREN_BROKER_SECRETS",
        help="Where the passwords of new users go: a file for each, which only you can read. Give "
        "each to its owner and remove it; the broker keeps hashes only.",
        file_okay=False,
    ),
]
PrintSecrets = Annotated[
    bool,
    typer.Option("--print-secrets", help="Print the passwords of new users, once, instead."),
]
DEFAULT_SECRETS: Final = Path("broker-secrets")
