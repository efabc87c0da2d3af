"""Authentication: access for one browser, by an address that works once.

A page of another site can make a browser send requests to this server, and a domain that resolves
to this machine can make them appear local (DNS rebinding). Each request therefore needs an
accepted ``Host``, each change the exact ``Origin``, and all of them a cookie that other sites
cannot cause to be sent. The cookie is issued for a token in the address that the terminal prints.
"""

import base64
import hashlib
import hmac
import html
import ipaddress
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto import files
from impasto.errors import SettingError
from impasto.studio.messages import ErrorInfo

MUTATING_METHODS = {"POST", "PUT", "PATCH", "DELETE"}

DEFAULT_PORTS = (80, 443)
"""Default ports of http and https, which browsers omit."""

STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;"
    "margin:15vh auto;padding:0 1rem}code{font-size:1.05em}"
)
"""Style of the page that rejects a browser."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; style-src 'self' 'sha256-"
        + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        + "'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Headers of every response."""


@dataclass(frozen=True)
class Secrets:
    """The secrets of a studio, in its folder, so that cookies stay valid after a restart."""

    folder: Path

    @property
    def key(self) -> bytes:
        """Return the key for signing cookies; created on first use."""
        return self._secret("key")

    def _secret(self, name: str) -> bytes:
        path = self.folder / name
        if not path.exists() or path.stat().st_size < SECRET_BYTES:  # an empty key is not secure
            path.unlink(missing_ok=True)
            _write_private(path, secrets.token_hex(SECRET_BYTES // 2))
        return path.read_bytes()

    def token(self) -> str:
        """Create a token that works once. The folder contains only its hash."""
        token = secrets.token_urlsafe(24)
        path = self._place(token)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        _write_private(path, "")
        return token

    def use(self, token: str) -> bool:
        """Return whether a token is valid, and invalidate it."""
        try:
            self._place(token).unlink()
        except OSError:
            return False
        return True

    def forget_tokens(self) -> None:
        """Invalidate earlier tokens."""
        for path in (self.folder / "tokens").glob("*"):
            path.unlink(missing_ok=True)

    def _place(self, token: str) -> Path:
        return self.folder / "tokens" / hashlib.sha256(token.encode()).hexdigest()

    def cookie(self) -> str:
        """Return the value of a new cookie."""
        cookie_id = secrets.token_hex(16)
        return f"{cookie_id}.{self._sign(cookie_id)}"

    def is_cookie(self, value: str) -> bool:
        """Return whether a cookie value is valid."""
        cookie_id, _, signature = value.partition(".")
        return hmac.compare_digest(self._sign(cookie_id).encode(), signature.encode())

    def _sign(self, cookie_id: str) -> str:
        return hmac.new(self.key, cookie_id.encode(), "sha256").hexdigest()


SECRET_BYTES = 64
"""Length of a secret in characters."""


def _write_private(path: Path, text: str) -> None:
    with files.atomic_replace(path) as begun:
        begun.touch(mode=0o600)
        begun.chmod(0o600)
        begun.write_text(text)


@dataclass(frozen=True)
class Hosts:
    """The accepted `Host` headers.

    The address of each connection is also accepted: the browser connected to it, so it is not the
    name of another site.
    """

    port: int
    names: frozenset[str]
    """names of this machine in lower case, IPv6 in brackets"""
    public: frozenset[str] = frozenset()
    """public names with ports of tunnels and proxies, for http or https"""

    def allowed(self, server: tuple[str, int | None] | None = None) -> set[str]:
        """Return the `Host` headers that are accepted on a connection to ``server``."""
        names = {*self.names, _address_of(server[0])} if server else set(self.names)
        return {each for name in names for each in with_port(name, self.port)} | self.public

    def origins(self, server: tuple[str, int | None] | None = None) -> set[str]:
        """Return the `Origin` headers that are accepted for changes."""
        plain = {f"http://{host}" for host in self.allowed(server)}
        return plain | {f"https://{host}" for host in self.public}


def with_port(name: str, port: int) -> set[str]:
    """Return a host with its port, and without it if browsers omit it.

    >>> sorted(with_port("localhost", 80))
    ['localhost', 'localhost:80']
    """
    return {f"{name}:{port}", *([name] if port in DEFAULT_PORTS else [])}


def _address_of(host: str) -> str:
    """Return an address as in a `Host` header: IPv6 in brackets, IPv4 unchanged.

    >>> _address_of("::ffff:192.0.2.7"), _address_of("::1")
    ('192.0.2.7', '[::1]')
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or f"[{address.compressed}]")
    return str(address)


def parsed_name(text: str) -> tuple[str, int | None]:
    """Return the host and the port of HOST[:PORT]. Raises SettingError for anything else.

    >>> parsed_name("Studio.example:8080"), parsed_name("::1"), parsed_name("[::1]:80")
    (('studio.example', 8080), ('[::1]', None), ('[::1]', 80))
    """
    try:
        return _address_of(str(ipaddress.IPv6Address(text))), None
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    rest = text.lower().removeprefix(f"[{host}]").removeprefix(host)
    if not host or rest not in ("", f":{port}") or not host.isprintable() or " " in host:
        raise SettingError(f"the name {text!r} is not HOST or HOST:PORT, as in studio.example:8080")
    return _address_of(host), port


class AuthMiddleware:
    """ASGI middleware that accepts or rejects requests."""

    def __init__(self, app: ASGIApp, secrets: Secrets, hosts: Hosts, cookie: str) -> None:
        """Protect ``app``, which is served under ``hosts``."""
        self.app, self.secrets, self.hosts, self.cookie = app, secrets, hosts, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} here")
        response = self.intercept(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin1"),
            Headers(scope=scope),
            scope.get("server"),
        )
        await (response or self.app)(scope, receive, send_with_headers)

    def intercept(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        server: tuple[str, int | None] | None = None,
    ) -> Response | None:
        """Return the response that rejects a request or exchanges its token; None to accept it.

        ``server`` is the address and port that the browser connected to.
        """
        # Navigation gets an HTML page; scripts get JSON.
        refused = refusal_page if method == "GET" and path == "/" else refusal
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts.allowed(server):
            return refused(
                403, "this address is not accepted: open the one printed in the terminal"
            )
        if method in MUTATING_METHODS:
            origins = headers.getlist("origin")
            if len(origins) != 1 or origins[0].lower() not in self.hosts.origins(server):
                return refusal(403, "the request came from another site: nothing was changed")
        has_access = self._has_cookie(headers)
        if path == "/" and query.startswith("token="):
            if not self.secrets.use(query.removeprefix("token=")) and not has_access:
                return refused(
                    403, "this address was already used: run impasto studio again for a new one"
                )
            return self._exchange_token()
        if not has_access:
            return refused(
                403,
                "this browser has no access: run impasto studio again, and open "
                "the address that it prints",
            )
        return None

    def _exchange_token(self) -> Response:
        welcome = RedirectResponse("/", status_code=303)
        welcome.set_cookie(
            self.cookie,
            self.secrets.cookie(),
            max_age=30 * 86400,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return welcome

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and self.secrets.is_cookie(morsel.value)


def refusal(status: int, sentence: str) -> Response:
    """Return a JSON response with an error message."""
    response: ErrorInfo = {"error": sentence}
    return JSONResponse(response, status)


def refusal_page(status: int, sentence: str) -> Response:
    """Return a page that says why a browser is rejected, and what to do."""
    text = html.escape(f"{sentence[0].upper()}{sentence[1:]}.")
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width"><title>impasto studio</title><style>{STYLE}</style>'
        f"<main><h1>impasto</h1><p>{text}</p><p>Each address that the studio prints works for one "
        "browser, once. To get another, run this command in a terminal, with the same folder. The "
        "running studio continues:</p><p><code>impasto studio</code></p></main>",
        status,
    )
