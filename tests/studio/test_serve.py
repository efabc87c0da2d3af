"""Where the studio listens, the addresses it prints, and one studio for a folder."""

import errno
import importlib
import io
import json
import socket
import subprocess
import sys

import pytest

from impasto.errors import SettingError
from impasto.studio.auth import HEADERS, AuthMiddleware, Hosts, Secrets, parsed_name
from impasto.studio.server import serve

module = importlib.import_module("impasto.studio.server")  # the package has a function of this name


async def inside(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def served(monkeypatch, tmp_path, **options):
    """Return the middleware and the printed addresses of a studio that accepts no requests."""
    printed_lines = []
    return serve_nothing(
        monkeypatch, tmp_path, print_line=printed_lines.append, **options
    ), printed_lines


def serve_nothing(monkeypatch, tmp_path, **options):
    """Return the middleware of a studio that accepts no requests."""
    captured = []

    class Server:
        def __init__(self, config):
            captured.append(config.app)

        def run(self, sockets):
            captured.extend(sockets)

    monkeypatch.setattr(module.uvicorn, "Server", Server)
    serve(
        tmp_path / "studio",
        browser=False,
        **{"port": 0, **options},
    )
    middleware, listening = captured
    listening.close()
    return middleware


def test_an_address_reaches_a_pipe_at_once(monkeypatch, tmp_path):
    """As in a container without a terminal, whose server prints nothing else."""
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))
    serve_nothing(monkeypatch, tmp_path)
    assert b"/?token=" in pipe.getvalue()


def status(middleware, host, method="GET", origin=None, server="127.0.0.1", path="/api/state"):
    """Return the status of a request with a valid cookie."""
    from starlette.datastructures import Headers

    secrets = middleware.secrets
    headers = {"host": host, "cookie": f"{middleware.cookie}={secrets.cookie()}"}
    if origin is not None:
        headers["origin"] = origin
    port = middleware.hosts.port
    response = middleware.intercept(method, path, "", Headers(headers), (server, port))
    return 200 if response is None else response.status_code


def host_of(address):
    return address.partition("://")[2].partition("/")[0]


@pytest.mark.parametrize(
    ("host", "printed"),
    [
        ("127.0.0.1", "http://127.0.0.1:{port}/?token="),
        ("LOCALHOST", "http://127.0.0.1:{port}/?token="),
        ("0.0.0.0", "http://127.0.0.1:{port}/?token="),
        ("::1", "http://[::1]:{port}/?token="),
        ("[::1]", "http://[::1]:{port}/?token="),
        ("::", "http://[::1]:{port}/?token="),
    ],
)
def test_the_printed_address_is_accepted(monkeypatch, tmp_path, host, printed):
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    middleware, printed_lines = served(monkeypatch, tmp_path, host=host)
    port = middleware.hosts.port
    assert printed_lines[0].startswith(printed.format(port=port))
    for address in printed_lines:
        address = address.rpartition(" ")[2]
        own = host_of(address)
        server = own.rpartition(":")[0].strip("[]")
        assert status(middleware, own, server=server) == 200
        assert status(middleware, own, "POST", f"http://{own}", server=server) == 200
    evil = ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}")
    for wrong in (*evil, "", ":"):
        assert status(middleware, wrong) == 403
    assert status(middleware, f"127.0.0.1:{port}", "POST", f"http://evil.example:{port}") == 403
    assert status(middleware, f"127.0.0.1:{port}", "POST", f"https://127.0.0.1:{port}") == 403


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as made:
            made.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_accepts_the_names_and_addresses_of_this_machine(monkeypatch, tmp_path, host):
    if ":" in host and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    middleware, _ = served(monkeypatch, tmp_path, host=host)
    port = middleware.hosts.port
    for name in (socket.gethostname(), socket.gethostname().upper(), "localhost"):
        assert status(middleware, f"{name}:{port}") == 200
    assert status(middleware, f"192.0.2.7:{port}", server="::ffff:192.0.2.7") == 200
    assert status(middleware, f"192.0.2.7:{port}", server="192.0.2.8") == 403
    assert status(middleware, f"[2001:db8::7]:{port}", server="2001:db8:0::7") == 200


def test_browsers_omit_default_ports():
    hosts = Hosts(80, frozenset({"localhost"}))
    assert {"localhost", "localhost:80", "192.0.2.7", "192.0.2.7:80"} == hosts.allowed(
        ("192.0.2.7", 80)
    )
    assert "http://localhost" in hosts.origins()
    assert list(module._addresses("127.0.0.1", 80, [])) == ["http://127.0.0.1"]


def test_names_of_tunnels_containers_and_proxies(monkeypatch, tmp_path):
    names = ["Studio.example", "localhost:9000", "[2001:db8::7]:443"]
    middleware, printed_lines = served(monkeypatch, tmp_path, names=names)
    port = middleware.hosts.port
    assert [host_of(each) for each in printed_lines] == [
        *(f"127.0.0.1:{port}", "studio.example", "localhost:9000", "[2001:db8::7]"),
    ]
    assert len({each.partition("token=")[2] for each in printed_lines}) == 1
    for host in ("studio.example", f"studio.example:{port}", "localhost:9000", "[2001:db8::7]"):
        for scheme in ("http", "https"):
            assert status(middleware, host, "POST", f"{scheme}://{host}") == 200
        # A proxy may send the name of the server as Host, with its own Origin.
        assert status(middleware, f"127.0.0.1:{port}", "POST", f"https://{host}") == 200
    for host in ("studio.example:1", "localhost:9001", "localhost", "x.studio.example"):
        assert status(middleware, host) == 403


@pytest.mark.parametrize(
    "name",
    ["", " ", "a b", "http://a", "a/b", "user@a", "a:99999", "a:x", "a:-1", "a:", "[::1", "::g"],
)
def test_an_invalid_name_is_rejected(name, one_line):
    with pytest.raises(SettingError) as caught:
        parsed_name(name)
    assert "HOST" in one_line(caught)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"port": 99999}, "0 to 65535"),
        ({"port": -1}, "0 to 65535"),
        ({"host": "no.such.name.invalid"}, "host is"),
        ({"host": "192.0.2.1"}, "not an address of this machine"),
        ({"host": ""}, "HOST"),
        ({"names": ["a b"]}, "HOST"),
    ],
)
def test_invalid_options_give_one_line(tmp_path, options, words, one_line):
    with pytest.raises(SettingError) as caught:
        serve(tmp_path / "studio", browser=False, **{"port": 0, **options})
    assert words in one_line(caught)


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "needs rights"), (errno.EADDRINUSE, "used by another")]
)
def test_an_unavailable_port_gives_the_reason(monkeypatch, tmp_path, number, words, one_line):
    class Refused(socket.socket):
        def bind(self, address):
            raise OSError(number, "refused")

    monkeypatch.setattr(module.socket, "socket", Refused)
    with pytest.raises(SettingError) as caught:
        serve(tmp_path / "studio", port=80, browser=False)
    assert words in one_line(caught)
    assert "--port" in str(caught.value)


def test_a_port_can_be_used_again_at_once():
    first = module._bind_socket("127.0.0.1", 0)
    port = first.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)) as browser:
        connection, _ = first.accept()
        connection.close()  # closed here first, so the port stays reserved for a while
        assert browser.recv(1) == b""
    first.close()
    module._bind_socket("127.0.0.1", port).close()


def test_a_folder_has_one_server(monkeypatch, tmp_path):
    folder = tmp_path / "studio"
    folder.mkdir()
    lock = module._lock_file(folder / "lock")
    assert lock
    assert module._lock_file(folder / "lock") is None
    (folder / "server.json").write_text(json.dumps({"addresses": ["http://127.0.0.1:8470"]}))
    printed_lines = []
    serve(folder, port=8471, browser=False, print_line=printed_lines.append)
    assert len(printed_lines) == 1
    address, _, token = printed_lines[0].partition("/?token=")
    assert address == "http://127.0.0.1:8470"
    assert Secrets(folder).use(token)
    (folder / "server.json").unlink()
    monkeypatch.setattr(module, "START_TIMEOUT", 0.2)
    with pytest.raises(SettingError, match="its address is unknown"):
        serve(folder, browser=False, print_line=printed_lines.append)
    lock.close()
    served(monkeypatch, tmp_path)  # the lock is released


def test_the_lock_ends_with_its_process(tmp_path):
    code = (
        "import pathlib, os, sys; from impasto.studio.server import _lock_file;"
        "lock = _lock_file(pathlib.Path(sys.argv[1])); print(bool(lock), flush=True); os._exit(9)"
    )
    path = tmp_path / "lock"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr
    lock = module._lock_file(path)
    assert lock
    lock.close()


def test_a_rejected_browser_gets_a_page_and_a_script_gets_json(tmp_path):
    from starlette.datastructures import Headers

    keys = Secrets(tmp_path)
    middleware = AuthMiddleware(inside, keys, Hosts(8470, frozenset({"localhost"})), "cookie")
    token = keys.token()
    headers = Headers({"host": "localhost:8470"})
    assert middleware.intercept("GET", "/", f"token={token}", headers).status_code == 303
    used = middleware.intercept("GET", "/", f"token={token}", headers)
    assert (used.status_code, used.media_type) == (403, "text/html")
    page = bytes(used.body).decode()
    assert "already used" in page
    assert "<code>impasto studio</code>" in page
    assert page.count("<style>") == 1
    assert "sha256-" in HEADERS["Content-Security-Policy"]
    stranger = middleware.intercept("GET", "/", "", headers)
    assert "browser has no access" in bytes(stranger.body).decode()
    assert middleware.intercept("GET", "/api/state", "", headers).media_type == "application/json"
    # A browser with a cookie is accepted at a used address.
    known = Headers({"host": "localhost:8470", "cookie": f"cookie={keys.cookie()}"})
    assert middleware.intercept("GET", "/", f"token={token}", known).status_code == 303


def test_an_empty_key_is_replaced(tmp_path):
    """An empty key would accept any cookie."""
    keys = Secrets(tmp_path)
    before = keys.key
    assert keys.key == before
    (tmp_path / "key").write_bytes(b"")
    assert len(keys.key) == 64
    assert keys.is_cookie(keys.cookie())
