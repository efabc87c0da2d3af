"""Requests and responses of the studio: JSON, uploads, events, errors."""

import json
from collections.abc import Callable
from typing import IO, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from impasto import files
from impasto.errors import SettingError
from impasto.studio.auth import refusal
from impasto.studio.event_messages import PageMessage
from impasto.studio.messages import PageResponse
from impasto.studio.validation import parse

T = TypeVar("T")

MAX_UPLOAD_BYTES = 256 * 2**20
"""Maximum size of an uploaded image in bytes."""

MAX_BODY_BYTES = 2**20
"""Maximum size of other request bodies in bytes."""


async def json_body(request: Request, kind: type[T]) -> T:
    """Return the JSON of a request. Raises SettingError if it is not of this kind."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise SettingError("the request is too large")
    try:
        parsed = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise SettingError("expected a JSON object") from None
    return parse(parsed, kind)


def respond(response: PageResponse) -> Response:
    """Return a response as JSON."""
    return JSONResponse(response)


async def receive(request: Request, file: IO[bytes]) -> None:
    """Write the body of a request to a file. Raises HTTPException beyond MAX_UPLOAD_BYTES."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_UPLOAD_BYTES:
            raise HTTPException(413, f"the image is larger than {MAX_UPLOAD_BYTES // 2**20} MB")
        file.write(part)


def format_event(message: PageMessage | None) -> str:
    """Return a server-sent event; None is a comment that keeps the connection alive."""
    if message is None:
        return ": keep-alive\n\n"
    return f"event: {message['event']}\ndata: {json.dumps(message)}\n\n"


Handler = Callable[[Request, Exception], Response]


def error_response(status: int) -> Handler:
    """Return a handler of exceptions that sends their message."""
    return lambda _, error: refusal(status, " ".join(str(error).split()) or "the page was closed")


def input_error_response(_: Request, error: Exception) -> Response:
    """Return the response to an HTTPException."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail)


def fault_response(_: Request, error: Exception) -> Response:
    """Return the response to an unexpected error."""
    # Starlette raises the error again, so the server logs it.
    sentence = f"the studio failed ({type(error).__name__}: {files.error_reason(error)})"
    return refusal(500, f"{sentence}; nothing was changed; see the terminal for details")


def disk_error_response(_: Request, error: Exception) -> Response:
    """Return the response to an error of the disk."""
    assert isinstance(error, OSError)
    return refusal(507, f"the studio's folder cannot be written: {error.strerror or error}")
