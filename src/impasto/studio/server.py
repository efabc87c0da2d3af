"""The studio's server: its addresses, and access to it. By Uvicorn."""

import contextlib
import errno
import functools
import io
import itertools
import json
import os
import socket
import sys
import time
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import psutil
import uvicorn

from impasto import files
from impasto.errors import SettingError
from impasto.studio.app import Studio
from impasto.studio.auth import AuthMiddleware, Hosts, Secrets, parsed_name, with_port
from impasto.studio.messages import ShareInfo
from impasto.studio.store import Store

PORT = 8470
"""Default port."""

LOCAL = ("127.0.0.1", "localhost", "[::1]")
"""Names of the loopback interface."""

WILDCARDS = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""Wildcard addresses, each with an address that a browser can open."""

START_TIMEOUT = 5.0
"""Timeout in seconds for reading the address of the server that has locked a folder."""


def _print_at_once(line: str) -> None:
    """Print a line, also where standard output is a pipe, such as that of a container."""
    print(line, flush=True)


def serve(
    folder: Path,
    port: int = PORT,
    host: str = "127.0.0.1",
    browser: bool = True,
    print_line: Callable[[str], None] = _print_at_once,
    names: Sequence[str] = (),
) -> None:
    """Serve the studio of a folder until it is interrupted.

    If another server uses the folder, print a new address of that server and return.

    Args:
        folder: folder for all data
        port: port to listen on; 0 selects a free one
        host: address or name of this machine to listen on
        browser: whether to open the page in the browser
        print_line: called with each address
        names: public names of a tunnel, container or proxy, each HOST or HOST:PORT

    Raises:
        SettingError: if the folder, the port, the host or a name cannot be used
    """
    if not 0 <= port <= 65535:
        raise SettingError(f"port is {port}: expected 0 to 65535; 0 selects a free port")
    own, _ = parsed_name(host)
    public = [parsed_name(each) for each in names]
    store, secrets = Store(folder), Secrets(folder)
    try:
        store.prepare()
        lock = _lock_file(folder / "lock")
    except OSError as error:
        raise SettingError(
            f"{files.display_path(folder)} cannot be used: {files.error_reason(error)}"
        ) from None
    if lock is None:
        _print_addresses(_running_server(folder), secrets, browser, print_line)
        return
    with lock:
        running = folder / "server.json"
        running.unlink(missing_ok=True)
        store.remove_leftovers()
        listening = _bind_socket(host.strip("[]"), port)
        port = listening.getsockname()[1]
        secrets.forget_tokens()
        addresses = list(_addresses(own, port, public))
        files.write_text(json.dumps({"addresses": addresses, "pid": os.getpid()}), running)
        hosts = Hosts(port, frozenset(_machine_names(own)), _public_hosts(public, port))
        outward = [each for each in addresses if not _is_local(each)]
        share = functools.partial(_share, outward[0], secrets) if outward else None
        app = AuthMiddleware(Studio(store, share).app(), secrets, hosts, f"impasto-{port}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            server_header=False,
            date_header=False,
            access_log=False,
            timeout_graceful_shutdown=2,
            limit_concurrency=64,
        )
        _print_addresses(addresses, secrets, browser, print_line)
        try:
            with contextlib.suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listening])
        finally:
            running.unlink(missing_ok=True)


def _lock_file(path: Path) -> IO[bytes] | None:
    """Return a file that is locked until it is closed; None if another process has the lock.

    On a file system without locks, the file is open but not locked.
    """
    file = path.open("ab")
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            file.close()
            return None
    return file


def _running_server(folder: Path) -> list[str]:
    """Return the addresses of the server that has locked a folder. Raises SettingError."""
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            addresses = json.loads((folder / "server.json").read_text())["addresses"]
            if addresses and all(isinstance(each, str) for each in addresses):
                return list(addresses)
        time.sleep(0.1)
    raise SettingError(
        f"another impasto studio uses {files.display_path(folder)} but its address is unknown: "
        "stop it, or give another folder"
    )


def _bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket. Raises SettingError."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError):
        raise SettingError(
            f"host is {host!r}: expected a name or an address of this machine"
        ) from None
    listener = socket.socket(family, kind)
    if os.name != "nt":  # on Windows, two programs could then listen on one port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address[0] == "::":
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    try:
        listener.bind(address)
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise SettingError(_why_not(host, port, error)) from None
    return listener


def _why_not(host: str, port: int, error: OSError) -> str:
    """Return why a port cannot be used, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is used by another program: choose another with --port"
    if error.errno == errno.EACCES:
        return (
            f"port {port} needs rights that this user does not have: use one from 1024 on with "
            f"--port, such as {PORT}"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host is {host!r}, which is not an address of this machine"
    return f"{host}, port {port}: {files.error_reason(error)}"


def _machine_names(own: str) -> Iterator[str]:
    """Yield the accepted names of this machine; addresses follow from connections."""
    yield from LOCAL
    if own not in WILDCARDS:
        yield own
        return
    name = socket.gethostname().lower()
    yield from {name, f"{name.partition('.')[0]}.local", socket.getfqdn().lower()}


def _public_hosts(names: Sequence[tuple[str, int | None]], own: int) -> frozenset[str]:
    """Return the `Host` headers of names; without a port, the default ports or the server's."""
    return frozenset(
        host
        for name, port in names
        for host in (with_port(name, port) if port else {name, f"{name}:{own}"})
    )


def _addresses(own: str, port: int, public: Sequence[tuple[str, int | None]]) -> Iterator[str]:
    """Yield addresses of the page: one for this machine, then those for others."""
    hosts = ["127.0.0.1" if own == "localhost" else WILDCARDS.get(own, own)]
    hosts += list(_outward_addresses()) if own in WILDCARDS else []
    for host in hosts:
        yield f"http://{host}" if port == 80 else f"http://{host}:{port}"
    for name, other in public:
        scheme = "https" if other == 443 else "http"
        yield f"{scheme}://{name}" if other in (None, 80, 443) else f"{scheme}://{name}:{other}"


def _is_local(address: str) -> bool:
    """Return whether an address works on this machine only.

    >>> _is_local("http://127.0.0.1:8470"), _is_local("http://192.0.2.7:8470")
    (True, False)
    """
    return any(address.startswith(f"http://{name}") for name in LOCAL)


def _share(address: str, secrets: Secrets) -> ShareInfo:
    """Return an address with a new token, and its QR code."""
    import segno

    url = f"{address}/?token={secrets.token()}"
    code = segno.make(url, error="m").svg_inline(scale=6, border=3, light="#fff")
    return {
        "address": url,
        "code": code.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1),
    }


def _outward_addresses() -> Iterator[str]:
    """Yield the IPv4 addresses of this machine for other machines."""
    for each in itertools.chain(*psutil.net_if_addrs().values()):
        inward = each.address.startswith(("127.", "169.254."))
        if each.family == socket.AF_INET and not inward:
            yield each.address


def _print_addresses(
    addresses: Sequence[str], secrets: Secrets, browser: bool, print_line: Callable[[str], None]
) -> None:
    """Print the addresses, with one token that gives access to one browser."""
    token = secrets.token()
    for number, address in enumerate(addresses):
        print_line(f"{'or, from another machine, ' if number else ''}{address}/?token={token}")
    _print_code(addresses, token, print_line)
    if browser:
        webbrowser.open(f"{addresses[0]}/?token={token}")


def _print_code(addresses: Sequence[str], token: str, print_line: Callable[[str], None]) -> None:
    """Print a QR code of the first address for other devices, in a terminal."""
    import segno

    outward = next((each for each in addresses if not _is_local(each)), None)
    if outward is None or not sys.stdout.isatty():
        return
    out = io.StringIO()
    segno.make(f"{outward}/?token={token}", error="l").terminal(out, compact=True)
    print_line(out.getvalue())
