"""The command that serves the page where one paints."""

from pathlib import Path
from typing import Annotated

import typer

from impasto.errors import SettingError


def studio(
    folder: Annotated[
        Path, typer.Argument(help="Where everything is kept; made where there is none.")
    ] = Path("impasto-studio"),
    port: Annotated[int, typer.Option(help="Where it listens; 0 takes any that is free.")] = 8470,
    host: Annotated[
        str,
        typer.Option(
            help="Where it listens: an address or name of this machine; 0.0.0.0 or :: stand for "
            "all. Another than 127.0.0.1 lets other machines ask, too."
        ),
    ] = "127.0.0.1",
    name: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST[:PORT]",
            help="A name under which a tunnel, a container or a proxy reaches it; repeatable.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Serve a page in the browser where one paints; prints its address, which is good once."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError:
        raise SettingError(
            "the studio needs two more packages: pip install 'impasto[studio]'"
        ) from None
    from impasto.studio.serve import serve

    serve(folder.expanduser(), port, host, browser, names=name or ())
