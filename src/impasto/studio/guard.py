"""Who may come in: one person's browser, by an address that is good once.

A page of another site can make a browser send requests here, and a name that its owner points to
this machine can make them look as if they came from here. So every request needs the exact host it
is served under, every change the exact origin, and everything a cookie that no other site's page
can have sent along. The cookie is got from a token in the address that the terminal prints.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from impasto import files

CHANGES = {"POST", "PUT", "PATCH", "DELETE"}

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
"""Of every answer."""


@dataclass(frozen=True)
class Keys:
    """The secrets of a studio, in its folder: cookies outlive the server that gave them."""

    folder: Path

    @property
    def key(self) -> bytes:
        """Return what cookies are signed with; made when it is asked for first."""
        return self._secret("key")

    def _secret(self, name: str) -> bytes:
        path = self.folder / name
        if not path.exists():
            _write_secretly(path, secrets.token_hex(32))
        return path.read_bytes()

    def token(self) -> str:
        """Make a token that is good once. Its hash lies in the folder, and not the token."""
        token = secrets.token_urlsafe(24)
        place = self._place(token)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        _write_secretly(place, "")
        return token

    def use(self, token: str) -> bool:
        """Return whether a token is good, which it is no more from now on."""
        try:
            self._place(token).unlink()
        except OSError:
            return False
        return True

    def forget_tokens(self) -> None:
        """Make no token good that was given out before."""
        for path in (self.folder / "tokens").glob("*"):
            path.unlink(missing_ok=True)

    def _place(self, token: str) -> Path:
        return self.folder / "tokens" / hashlib.sha256(token.encode()).hexdigest()

    def cookie(self) -> str:
        """Return the value of a new cookie."""
        number = secrets.token_hex(16)
        return f"{number}.{self._sign(number)}"

    def is_cookie(self, value: str) -> bool:
        """Return whether it is the value of a cookie that was given out."""
        number, _, signature = value.partition(".")
        return hmac.compare_digest(self._sign(number).encode(), signature.encode())

    def _sign(self, number: str) -> str:
        return hmac.new(self.key, number.encode(), "sha256").hexdigest()


def _write_secretly(path: Path, text: str) -> None:
    with files.replacing(path) as begun:
        begun.touch(mode=0o600)
        begun.chmod(0o600)
        begun.write_text(text)


class Guard:
    """Lets requests through to an app (ASGI), or answers why it does not."""

    def __init__(self, app: ASGIApp, keys: Keys, hosts: frozenset[str], cookie: str) -> None:
        """Guard ``app``, which is served under ``hosts``, each a name and a port."""
        self.app, self.keys, self.hosts, self.cookie = app, keys, hosts, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
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
        answer = self.answer(
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin1"),
            Headers(scope=scope),
        )
        await (answer or self.app)(scope, receive, send_with_headers)

    def answer(self, method: str, path: str, query: str, headers: Headers) -> Response | None:
        """Return the answer to a request that is not let through; None if it is."""
        if headers.getlist("host") not in ([host] for host in self.hosts):
            return refusal(
                403, "this address is not the studio's: open the one that the terminal prints"
            )
        if method in CHANGES and headers.getlist("origin") not in (
            [f"http://{host}"] for host in self.hosts
        ):
            return refusal(403, "another page asked for this: nothing was changed")
        if path == "/" and query.startswith("token="):
            return self._welcomed(query.removeprefix("token="))
        if not self._is_known(headers):
            return refusal(
                403,
                "the studio does not know this browser: run impasto studio again, and open "
                "the address that it prints",
            )
        return None

    def _welcomed(self, token: str) -> Response:
        if not self.keys.use(token):
            return refusal(
                403, "this address was used already: run impasto studio again for a new one"
            )
        welcome = RedirectResponse("/", status_code=303)
        welcome.set_cookie(
            self.cookie,
            self.keys.cookie(),
            max_age=30 * 86400,
            path="/",
            httponly=True,
            samesite="strict",
        )
        return welcome

    def _is_known(self, headers: Headers) -> bool:
        try:
            morsel = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return morsel is not None and self.keys.is_cookie(morsel.value)


def refusal(status: int, sentence: str) -> Response:
    """Return an answer that says in a sentence why something is not done."""
    return JSONResponse({"error": sentence}, status)
