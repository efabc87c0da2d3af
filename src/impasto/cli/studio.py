"""The command ``studio``."""

from pathlib import Path
from typing import Annotated

import typer

from impasto import extras
from impasto.errors import SettingError


def studio(
    folder: Annotated[Path, typer.Argument(help="Folder for all data; created if missing.")] = Path(
        "impasto-studio"
    ),
    port: Annotated[int, typer.Option(help="Port to listen on; 0 selects a free one.")] = 8470,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 or :: for all. Any other than 127.0.0.1 accepts "
            "connections from other machines."
        ),
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="Public name of the server behind a tunnel, container or proxy; repeatable.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Serve the web interface, and print its address, which works once."""
    if extras.missing_modules("studio"):
        raise SettingError(extras.missing_extra_message("studio"))
    from impasto.studio.server import serve

    serve(folder.expanduser(), port, host, browser, names=name or ())
