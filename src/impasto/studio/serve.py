"""The studio's server: where it listens, and how one gets in. Uvicorn."""

import contextlib
import json
import os
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path

import uvicorn

from impasto import files
from impasto.errors import SettingError
from impasto.studio.app import Studio
from impasto.studio.guard import Guard, Keys
from impasto.studio.store import Store

PORT = 8470
"""Where it listens unless told otherwise."""

LOCAL = ("127.0.0.1", "localhost")
"""Names under which this machine alone gets here."""


def serve(
    folder: Path,
    port: int = PORT,
    host: str = "127.0.0.1",
    browser: bool = True,
    say: Callable[[str], None] = print,
) -> None:
    """Serve the studio of a folder until it is interrupted.

    Where it is served already, another address is made for it, and nothing else. Raises
    SettingError if the folder cannot be used, or the port is another program's.
    """
    store, keys = Store(folder), Keys(folder)
    try:
        store.prepare()
    except OSError as error:
        raise SettingError(f"{files.shown(folder)} cannot be used: {files.reason(error)}") from None
    running = folder / "server.json"
    listening = _listening(host, port)
    if listening is None:
        if not _is_ours(running, port):
            raise SettingError(
                f"port {port} is taken by another program: choose another with --port"
            )
        _welcome(_address(host, port, keys), browser, say)
        return
    port = listening.getsockname()[1]
    keys.forget_tokens()
    files.write_text(json.dumps({"port": port, "pid": os.getpid()}), running)
    names = frozenset(f"{name}:{port}" for name in {*LOCAL, host})
    app = Guard(Studio(store).app(), keys, names, f"impasto-{port}")
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        date_header=False,
        access_log=False,
        timeout_graceful_shutdown=2,
        limit_concurrency=64,
    )
    _welcome(_address(host, port, keys), browser, say)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])
    finally:
        running.unlink(missing_ok=True)


def _listening(host: str, port: int) -> socket.socket | None:
    """Return a socket that listens there; None if the port is taken. Raises SettingError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(64)
    except OSError as error:
        made.close()
        if error.errno in (98, 48, 10048, 13, 10013) and port:
            return None
        raise SettingError(f"{host}, port {port}: {files.reason(error)}") from None
    return made


def _is_ours(running: Path, port: int) -> bool:
    """Return whether it is the server of this folder that listens on a port."""
    try:
        found = json.loads(running.read_text())
        os.kill(found["pid"], 0)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(found["port"] == port)


def _address(host: str, port: int, keys: Keys) -> str:
    name = "127.0.0.1" if host in LOCAL else host
    return f"http://{name}:{port}/?token={keys.token()}"


def _welcome(address: str, browser: bool, say: Callable[[str], None]) -> None:
    say(address)
    if browser:
        webbrowser.open(address)
