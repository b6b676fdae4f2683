"""`warren sign`."""

import binascii
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from contracts.primitives import Scheme
from ops.cli.asking import AsJson, Config, RequestId, Timeout, ask
from ops.cli.exits import IN_WORDS, print_json
from ops.cli.text import print_fields

app = typer.Typer()


@app.command(epilog=IN_WORDS)
def sign(
    context: typer.Context,
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="Whose signature.")],
    scheme: Annotated[
        Scheme,
        typer.Option(
            help="ed25519: RFC 8032, any message. bip340: a digest of 32 bytes. "
            "secp256k1: RFC 9591's FROST(secp256k1, SHA-256), any message."
        ),
    ],
    message: Annotated[
        str | None, typer.Option(metavar="TEXT", help="A text, as UTF-8.", show_default=False)
    ] = None,
    message_hex: Annotated[
        str | None,
        typer.Option(metavar="HEX", help="Bytes, as hex digits.", show_default=False),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="All bytes of a file; - for standard input.",
            show_default=False,
        ),
    ] = None,
    taproot: Annotated[
        bool,
        typer.Option(
            "--taproot",
            help="bip340 only: sign for the BIP-341 output key of an output without scripts.",
        ),
    ] = False,
    signer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ID",
            help="Who shall sign; once for each of them. Else the coordinator chooses.",
            show_default=False,
        ),
    ] = None,
    timeout: Timeout = None,
    request_id: RequestId = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Have a message signed by as many parties as the key's threshold says.

    The signature is verified under the key, whose certificates are, before it is shown.

    \b
    Examples:
      warren sign treasury --scheme ed25519 --message 'hello'
      warren sign coins --scheme bip340 --taproot --message-hex "$SIGHASH"
    """
    to_sign = _message(message, message_hex, file)
    request_id = request_id or secrets.token_hex(16)
    result = ask(
        context,
        lambda client: client.sign(
            key_id,
            message=to_sign,
            scheme=scheme,
            taproot_merkle_root=b"" if taproot else None,
            signers=signer,
            timeout_s=timeout,
            request_id=request_id,
        ),
        config=config,
        as_json=as_json,
        waiting=f"Signing with key {key_id} ...",
        request_id=request_id,
    )
    if as_json:
        print_json(result.model_dump(mode="json"))
        return
    assert result.signature is not None
    assert result.public_key is not None
    fields = {
        "signature": result.signature.hex(),
        "public key": result.public_key.hex(),
        "scheme": f"{scheme}, verified",
        "signers": ", ".join(result.signers),
        "request": request_id,
    }
    print_fields(fields)


def _message(text: str | None, digits: str | None, file: Path | None) -> bytes:
    if sum(given is not None for given in (text, digits, file)) != 1:
        raise typer.BadParameter("give one of --message, --message-hex and --file")
    if text is not None:
        return text.encode()
    if digits is not None:
        try:
            return binascii.unhexlify(digits)
        except ValueError:
            raise typer.BadParameter("--message-hex is not an even number of hex digits") from None
    assert file is not None
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"--file {file}: {error.strerror}") from None
