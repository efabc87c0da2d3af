"""The HTTP interface of the studio, by Starlette."""

import asyncio
import contextlib
import functools
import hashlib
import json
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from impasto import files
from impasto.errors import ImageError, ImpastoError, OutputError, SettingError
from impasto.images import samples
from impasto.painting.events import STEERABLE
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import describe, works
from impasto.studio.foreman import Foreman
from impasto.studio.guard import refusal
from impasto.studio.masks import selected
from impasto.studio.store import Json, NotThere, Store
from impasto.studio.uploads import Uploads

STATIC = Path(__file__).parent / "static"

UPLOAD = 256 * 2**20
"""Maximum size of an uploaded image in bytes."""

BODY = 2**20
"""Maximum size of other request bodies in bytes."""

QUEUE, CELLS = 64, 16
"""Maximum number of queued jobs, and of jobs of one sweep."""

HANDED_OUT = {
    "picture.png": "image/png",
    "picture.jpg": "image/jpeg",
    "picture.tif": "image/tiff",
    "preview.jpg": "image/jpeg",
}
"""Files of a job that the page can request."""


class Studio:
    """The handlers of the HTTP routes."""

    def __init__(self, store: Store) -> None:
        """Serve a folder."""
        self.store = store
        self.foreman = Foreman(store, functools.partial(works.asked, store))
        self.uploads = Uploads(store)
        self.build = built()

    # Read ---------------------------------------------------------------------------------------

    async def about(self, request: Request) -> Response:
        """Return settings, presets and samples."""
        return JSONResponse({**describe.about(), "upload": UPLOAD})

    async def state(self, request: Request) -> Response:
        """Return all sessions, and the state of the worker process."""
        sessions = [
            {"id": each["id"], "name": each["name"], "thumb": works.thumb(self.store, each)}
            for each in self.store.sessions()
        ]
        return JSONResponse(
            {
                "worker": self.foreman.worker,
                "sessions": sessions,
                "queue": works.waiting(self.store, self.foreman),
                "skipped": sorted(self.store.skipped.items()),
            }
        )

    async def session(self, request: Request) -> Response:
        """Return a session with its jobs."""
        return self._session(request.path_params["session"])

    def _session(self, number: str) -> Response:
        return JSONResponse(works.session(self.store, self.foreman, number))

    async def work(self, request: Request) -> Response:
        """Return a job with the history of its losses."""
        number = request.path_params["work"]
        known = works.told(self.store, number, self.foreman)
        history = self.foreman.histories.get(number) or self.store.work(number)["history"]
        return JSONResponse({**known, "history": history})

    async def work_file(self, request: Request) -> Response:
        """Return an image of a job."""
        number, name = request.path_params["work"], request.path_params["file"]
        if name not in HANDED_OUT or not (path := self.store.work_folder(number) / name).is_file():
            raise NotThere("this image does not exist")
        if name == "preview.jpg":
            # The file may be replaced at any time; the body must match the stated length.
            return Response(
                path.read_bytes(), media_type="image/jpeg", headers={"Cache-Control": "no-store"}
            )
        shown = None if "download" not in request.query_params else f"impasto-{number}{path.suffix}"
        return FileResponse(
            path,
            media_type=HANDED_OUT[name],
            filename=shown,
            headers={"Cache-Control": "private, max-age=3600"},
        )

    async def picture_file(self, request: Request) -> Response:
        """Return an uploaded image, encoded again."""
        path = self.store.shown(request.path_params["picture"], request.path_params["file"])
        return FileResponse(path, headers={"Cache-Control": "private, max-age=31536000, immutable"})

    async def events(self, request: Request) -> Response:
        """Stream events to the page, as server-sent events."""
        stream = self.foreman.listen()

        async def lines() -> AsyncIterator[str]:
            try:
                yield _event(("hello", {"build": self.build}))
                async for each in self.foreman.heard(stream):
                    yield _event(each)
            finally:
                self.foreman.leave(stream)

        return StreamingResponse(
            lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    # Change ------------------------------------------------------------------------------------

    async def new_session(self, request: Request) -> Response:
        """Create a session."""
        recipe = asdict(recipes.make(recipes.DEFAULT))
        session = self.store.new_session(recipe)
        self.foreman.tell("state", {"session": session["id"]})
        return self._session(session["id"])

    async def change_session(self, request: Request) -> Response:
        """Change fields of a session."""
        number = request.path_params["session"]
        asked = await body(request)
        self.store.save_session(works.changed(self.store, self.store.session(number), asked))
        self.foreman.tell("state", {"session": number})
        return self._session(number)

    async def remove_session(self, request: Request) -> Response:
        """Remove a session and its jobs."""
        number = request.path_params["session"]
        if any(work["state"] == "painting" for work in self.store.works(number)):
            raise SettingError("a job of this session is running: stop it first")
        for work in self.store.works(number):
            self.foreman.remove(work["id"])
        self.store.remove_session(number)
        self.foreman.tell("state", {"session": None})
        return JSONResponse({})

    async def add_picture(self, request: Request) -> Response:
        """Add an image from a raw request body."""
        name = request.query_params.get("name", "picture")
        mask = request.query_params.get("role") == "mask"
        with tempfile.NamedTemporaryFile(dir=self.store.incoming, delete=False) as file:
            path = Path(file.name)
            try:
                await _receive(request, file)
                file.flush()
                added = await self.uploads.add(path, name, mask)
            finally:
                path.unlink(missing_ok=True)
        return JSONResponse(added)

    async def add_sample(self, request: Request) -> Response:
        """Add a sample."""
        name = request.path_params["name"]
        if name not in (*samples.CONTENTS, *samples.STYLES):
            raise NotThere("unknown sample")
        return JSONResponse(await anyio.to_thread.run_sync(works.sampled, self.store, name))

    async def add_result(self, request: Request) -> Response:
        """Add a result as an input image."""
        work = self.foreman.work(request.path_params["work"])
        result = works.result_path(self.store, work)
        path = self.store.incoming / f"{secrets.token_hex(8)}.png"
        try:
            await anyio.to_thread.run_sync(shutil.copyfile, result, path)
            added = await self.uploads.add(path, f"result {work['id']}.png")
        finally:
            path.unlink(missing_ok=True)
        return JSONResponse(added)

    async def select(self, request: Request) -> Response:
        """Return a mask of the connected pixels similar to a clicked one."""
        asked, session = await body(request), self.store.session(request.path_params["session"])
        if not session["photograph"]:
            raise SettingError("there is no content image yet")
        x, y, tolerance = (
            works.checked_number(asked.get(name), name, 0, 1) for name in ("x", "y", "tolerance")
        )
        url = self.store.picture(session["photograph"])["url"]
        path = self.store.shown(session["photograph"], url.rpartition("/")[2])
        mask = await anyio.to_thread.run_sync(selected, path, x, y, tolerance)
        return Response(mask, media_type="image/png")

    async def forecast(self, request: Request) -> Response:
        """Return the forecast for a session."""
        session = self.store.session(request.path_params["session"])
        return JSONResponse(await anyio.to_thread.run_sync(works.forecast, self.store, session))

    # Jobs ---------------------------------------------------------------------------------------

    async def paint(self, request: Request) -> Response:
        """Queue a job for a session."""
        asked, session = await body(request), self.store.session(request.path_params["session"])
        self._check_queue(1)
        work = works.begin(self.store, session, asked.get("from"), asked.get("changes", {}))
        return self._queued(work)

    async def finish(self, request: Request) -> Response:
        """Queue a job that enlarges a result."""
        asked, work = await body(request), self.foreman.work(request.path_params["work"])
        self._check_queue(1)
        return self._queued(works.larger(self.store, work, asked.get("size")))

    async def resume(self, request: Request) -> Response:
        """Resume a stopped job."""
        work = self.foreman.work(request.path_params["work"])
        if work["state"] not in ("stopped", "failed"):
            raise SettingError("only a stopped job can be resumed")
        self._check_queue(1)
        self.foreman.deaths.pop(work["id"], None)
        self.store.save_work({**work, "state": "queued", "error": None})
        return self._queued(work)

    async def sweep(self, request: Request) -> Response:
        """Queue the jobs of a sweep."""
        asked, session = await body(request), self.store.session(request.path_params["session"])
        cells = works.cells(asked.get("vary"), CELLS)
        self._check_queue(len(cells))
        sheet = secrets.token_hex(4)
        begun = [works.begin(self.store, session, None, cell, sheet=sheet) for cell in cells]
        for each in begun:
            self.foreman.enqueue(each["id"])
        self.foreman.tell("state", {"session": session["id"]})
        return JSONResponse({"sheet": sheet, "works": [each["id"] for each in begun]})

    def _check_queue(self, more: int) -> None:
        if len(self.store.queue()) + more > QUEUE:
            raise SettingError(f"{QUEUE} jobs are already in the queue: wait until some are done")

    def _queued(self, work: Json) -> Response:
        self.foreman.enqueue(work["id"])
        self.foreman.tell("state", {"session": work["session"]})
        return JSONResponse(works.told(self.store, work["id"], self.foreman))

    async def steer(self, request: Request) -> Response:
        """Change settings of the running job."""
        asked = await body(request)
        work = self._painting(request.path_params["work"])
        settings = {name: asked[name] for name in asked if name in STEERABLE}
        changed = describe.changed(Recipe.from_dict(work["recipe"]), settings)
        self.foreman.steer({name: getattr(changed, name) for name in settings})
        return JSONResponse({})

    async def stop(self, request: Request) -> Response:
        """Stop the running job, and keep the best image so far."""
        self._painting(request.path_params["work"])
        self.foreman.stop()
        return JSONResponse({})

    def _painting(self, number: str) -> Json:
        if self.foreman.under_way != number:
            raise SettingError("this job is not running")
        return self.store.work(number)

    async def remove_work(self, request: Request) -> Response:
        """Remove a job that is not running, and its images."""
        number = request.path_params["work"]
        if self.foreman.under_way == number:
            raise SettingError("this job is running: stop it first")
        session = self.store.work(number)["session"]
        self.foreman.remove(number)
        self.store.remove_work(number)
        self.foreman.tell("state", {"session": session})
        return JSONResponse({})

    async def order(self, request: Request) -> Response:
        """Reorder the queue."""
        wanted = (await body(request)).get("order")
        queue = self.store.queue()
        first = [each for each in queue if each == self.foreman.under_way]
        asked = [each for each in wanted if each in queue] if isinstance(wanted, list) else []
        self.store.save_queue(dict.fromkeys([*first, *asked, *queue]))
        self.foreman.tell("state", {})
        return JSONResponse({})

    # --------------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        """Return the ASGI app, which keeps a worker process while it runs."""

        @contextlib.asynccontextmanager
        async def running(_: Starlette) -> AsyncIterator[None]:
            task = asyncio.create_task(self.foreman.run())
            yield
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return Starlette(
            routes=routes(self),
            lifespan=running,
            exception_handlers={
                NotThere: _told(404),
                ImageError: _told(415),
                OutputError: _told(507),
                ImpastoError: _told(400),
                HTTPException: _told_plainly,
                OSError: _told_of_disk,
                ClientDisconnect: _told(400),
                Exception: _told_of_fault,
            },
        )


def routes(studio: Studio) -> list[Route | Mount]:
    """Return the routes."""
    table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
        ("GET", "/api/about", studio.about),
        ("GET", "/api/state", studio.state),
        ("GET", "/api/events", studio.events),
        ("POST", "/api/sessions", studio.new_session),
        ("GET", "/api/sessions/{session}", studio.session),
        ("PATCH", "/api/sessions/{session}", studio.change_session),
        ("DELETE", "/api/sessions/{session}", studio.remove_session),
        ("POST", "/api/sessions/{session}/select", studio.select),
        ("POST", "/api/sessions/{session}/forecast", studio.forecast),
        ("POST", "/api/sessions/{session}/paint", studio.paint),
        ("POST", "/api/sessions/{session}/sweep", studio.sweep),
        ("POST", "/api/pictures", studio.add_picture),
        ("POST", "/api/samples/{name}", studio.add_sample),
        ("GET", "/api/pictures/{picture}/{file}", studio.picture_file),
        ("GET", "/api/works/{work}", studio.work),
        ("DELETE", "/api/works/{work}", studio.remove_work),
        ("GET", "/api/works/{work}/{file}", studio.work_file),
        ("POST", "/api/works/{work}/picture", studio.add_result),
        ("POST", "/api/works/{work}/steer", studio.steer),
        ("POST", "/api/works/{work}/stop", studio.stop),
        ("POST", "/api/works/{work}/resume", studio.resume),
        ("POST", "/api/works/{work}/finish", studio.finish),
        ("POST", "/api/queue", studio.order),
    ]
    return [
        *(Route(path, asked, methods=[method]) for method, path, asked in table),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]


def built() -> str:
    """Return a hash of the page's files."""
    parts = [path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


async def body(request: Request) -> Json:
    """Return the JSON object of a request. Raises SettingError for anything else."""
    gathered = bytearray()
    async for part in request.stream():
        gathered += part
        if len(gathered) > BODY:
            raise SettingError("the request is too large")
    try:
        found = json.loads(gathered or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise SettingError("expected a JSON object")
    return found


async def _receive(request: Request, file: Any) -> None:
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > UPLOAD:
            raise HTTPException(413, f"the image is larger than {UPLOAD // 2**20} MB")
        file.write(part)


def _event(each: tuple[str, Json] | None) -> str:
    return (
        ": still here\n\n" if each is None else f"event: {each[0]}\ndata: {json.dumps(each[1])}\n\n"
    )


Handler = Callable[[Request, Exception], Response]


def _told(status: int) -> Handler:
    return lambda _, error: refusal(status, " ".join(str(error).split()) or "the page was closed")


def _told_plainly(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail)


def _told_of_fault(_: Request, error: Exception) -> Response:
    # Starlette raises the error again, so the server logs it.
    sentence = f"the studio failed ({type(error).__name__}: {files.reason(error)})"
    return refusal(500, f"{sentence}; nothing was changed; see the terminal for details")


def _told_of_disk(_: Request, error: Exception) -> Response:
    assert isinstance(error, OSError)
    return refusal(507, f"the studio's folder cannot be written: {error.strerror or error}")
