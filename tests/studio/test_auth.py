"""Only the opened browser has access: tests of each attack."""

import socket
import stat
from pathlib import Path

import pytest

from impasto.studio.auth import Secrets
from tests.studio.client import Client, Server


def test_a_token_works_once_and_the_cookie_is_protected(server, client):
    again = Client(server.address)
    status, _, answer = again.log_in()
    assert status == 403
    assert b"already used" in answer
    fresh = Secrets(folder_of(server)).token()
    status, headers, _ = again.log_in(fresh)
    assert status == 303
    assert headers["location"] == "/"
    for word in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert word in headers["set-cookie"]


def folder_of(server):
    return Path(server.process.args[4])


@pytest.mark.parametrize(
    "cookie",
    ["", "impasto=1", "impasto-{port}=a.b", "impasto-{port}=", 'x="', "impasto-{port}=\xe4.\xe4"],
)
def test_requests_without_a_valid_cookie_are_rejected(server, client, cookie):
    for path in ("/", "/api/state", "/app.js", "/api/events"):
        cookies = cookie.format(port=server.port)
        status, _, answer = client.request("GET", path, Cookie=cookies or None)
        assert status == 403, path
        assert b"browser has no access" in answer


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost",
        "127.0.0.1:{port}.evil.example",
        "",
        None,
    ],
)
def test_another_host_is_rejected(server, client, host):
    """A foreign name that resolves to this machine."""
    wrong = host if host is None else host.format(port=server.port)
    status, _, _ = client.request("GET", "/api/state", Host=wrong)
    assert status in (400, 403)
    status, _, _ = client.request("GET", "/api/state", Host=f"localhost:{server.port}")
    assert status == 200


def test_two_hosts_are_rejected(server, client):
    own = f"127.0.0.1:{server.port}"
    status, _, _ = client.request("GET", "/api/state", Host=[own, "evil.example"])
    assert status in (400, 403)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "http://evil.example",
        "https://127.0.0.1:{port}",
        "http://127.0.0.1",
        None,
        ["http://127.0.0.1:{port}", "null"],
    ],
)
def test_a_change_needs_the_exact_origin(server, client, origin):
    def put(text):
        return text.format(port=server.port)

    wrong = [put(each) for each in origin] if isinstance(origin, list) else origin and put(origin)
    before = client.json("GET", "/api/state")
    for method, path in (("POST", "/api/sessions"), ("DELETE", "/api/works/00000000")):
        status, _, answer = client.request(method, path, {}, Origin=wrong)
        assert status == 403
        assert b"another site" in answer
    assert client.json("GET", "/api/state") == before


def test_each_response_has_the_security_headers(client):
    for path in ("/", "/api/state", "/nothing", "/api/works/00000000"):
        _, headers, _ = client.request("GET", path)
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_other_files_of_the_folder_and_the_disk_are_not_served(client, server):
    for path in (
        "/../key",
        "/..%2fkey",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/api/works/../../key",
        "/api/pictures/..%2f..%2fkey/shown.jpg",
        "/api/works/00000000/..%2fwork.json",
        "/api/pictures/0000000000000000/picture.json",
    ):
        status, _, answer = client.request("GET", path)
        assert status in (400, 403, 404, 405), path
        assert b"root:" not in answer


def test_only_the_user_can_read_the_secrets(server, client):
    keys = Secrets(folder_of(server))
    assert stat.S_IMODE((keys.folder / "key").stat().st_mode) == 0o600
    token = keys.token()
    assert all(token not in path.name for path in keys.folder.rglob("*"))


def test_the_server_listens_only_on_the_loopback_interface(server, client):
    """The server does not listen on other addresses of this machine."""
    for address in {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None)}:
        if address.startswith("127.") or ":" in address:
            continue
        with socket.socket() as made:
            made.settimeout(2)
            assert made.connect_ex((address, server.port)) != 0


@pytest.mark.slow
def test_a_second_command_gives_a_new_address_and_another_program_keeps_its_port(
    server, client, folder, tmp_path
):
    second = Server(folder, "--port", str(server.port))
    assert second.process.wait(30) == 0
    assert second.address != server.address
    other = Client(second.address)
    assert other.log_in()[0] == 303
    assert (
        other.json("GET", "/api/state")["sessions"] == client.json("GET", "/api/state")["sessions"]
    )
    with pytest.raises(AssertionError):  # the port is taken, by a studio of another folder
        Server(tmp_path, "--port", str(server.port))
