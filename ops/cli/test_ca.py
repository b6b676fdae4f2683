"""`warren test-ca`: certificates for trying TLS, and for nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.exits import ExitCode, leave, print_json
from ops.stack.certificates import TestingCa
from ops.stack.errors import StackError

app = typer.Typer()


@app.command("test-ca")
def make_certificates(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A folder for all of it. A CA that is there signs again.", file_okay=False
        ),
    ],
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or address of the server; several if given several times."),
    ] = None,
    user: Annotated[
        list[str] | None,
        typer.Option(help="A user of the broker, such as warren.party.party-1; likewise."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=30, help="How long what is signed now is valid.")
    ] = 7,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object instead of text.")
    ] = False,
) -> None:
    """Make certificates to try TLS with. Never for production: the CA's key lies beside them.

    Makes a CA in the folder if there is none, a certificate `server` for the hosts, and one for
    each user, who comes by it where `password: none` stands in their role.

    \b
    Example:
      warren test-ca tls --host localhost --host 127.0.0.1 --user warren.coordinator
    """
    try:
        found = (directory / "ca.pem").exists()
        ca = TestingCa(directory) if found else TestingCa.make(directory, days=30)
        pairs = {"server": ca.for_server("server", host, days=days)} if host else {}
        pairs |= {each: ca.for_user(each, days=days) for each in user or ()}
    except StackError as error:
        leave(ExitCode.USAGE, "configuration", f"{error}.", as_json=as_json)
    except OSError as error:
        text = f"{error.filename}: {error.strerror}."
        leave(ExitCode.USAGE, "configuration", text, as_json=as_json)
    made = {
        name: {"certificate": str(pair.certificate), "key": str(pair.key)}
        for name, pair in pairs.items()
    }
    if as_json:
        print_json({"ca": str(ca.certificate), **made})
        return
    typer.echo(f"CA             {ca.certificate}")
    for name, pair in made.items():
        typer.echo(f"{name:<14} {pair['certificate']}, {pair['key']}")
    typer.echo("For tests only: whoever can read the folder can make more of them.", err=True)
