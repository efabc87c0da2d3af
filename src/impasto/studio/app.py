"""The HTTP interface of the studio, by Starlette."""

import asyncio
import contextlib
import hashlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path

import anyio.to_thread
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from impasto.errors import ImageError, ImpastoError, OutputError, SettingError
from impasto.images import samples
from impasto.pipeline.events import STEERABLE
from impasto.recipe import presets
from impasto.recipe.settings import Recipe
from impasto.studio import (
    clips,
    collection,
    crops,
    exports,
    forecasts,
    schema,
    sessions,
    versions,
)
from impasto.studio.clip_routes import ClipRoutes
from impasto.studio.masks import select_similar
from impasto.studio.messages import (
    CollectionRequest,
    FinishRequest,
    JobInfo,
    PaintRequest,
    QueueRequest,
    SelectPartRequest,
    SelectRequest,
    SessionChanges,
    ShareInfo,
    SteerRequest,
    SweepRequest,
    VersionChanges,
)
from impasto.studio.queue import JobQueue
from impasto.studio.records import StoredJob, StoredSession
from impasto.studio.responses import (
    MAX_CLIP_BYTES,
    MAX_UPLOAD_BYTES,
    disk_error_response,
    error_response,
    fault_response,
    format_event,
    input_error_response,
    json_body,
    receive,
    respond,
)
from impasto.studio.schema import STATIC
from impasto.studio.selection import select_part
from impasto.studio.store import NotFound, Store
from impasto.studio.supervisor import Supervisor
from impasto.studio.uploads import Uploads

MAX_NAME = 80
"""Maximum length of the name of a version in characters."""

MAX_CELLS = 16
"""Maximum number of jobs of one sweep."""

SERVED_FILES = {
    "picture.png": "image/png",
    "picture.jpg": "image/jpeg",
    "picture.tif": "image/tiff",
    "preview.jpg": "image/jpeg",
}
"""Files of a job that the page can request."""


class Studio:
    """The handlers of the HTTP routes."""

    def __init__(self, store: Store, share: Callable[[], ShareInfo] | None = None) -> None:
        """Serve a folder; ``share`` makes an address for another device, None if there is none."""
        self.store, self.share_address = store, share
        self.queue = JobQueue(store)
        self.supervisor = Supervisor(self.queue, versions.paint_command)
        self.uploads = Uploads(store)
        self.clips = ClipRoutes(store, self.supervisor)
        self.build = build_id()

    # Read ---------------------------------------------------------------------------------------

    async def about(self, request: Request) -> Response:
        """Return settings, presets and samples."""
        return respond(schema.static_info(self.share_address is not None))

    async def state(self, request: Request) -> Response:
        """Return all sessions, and the state of the worker process."""
        return respond(
            {
                "worker": self.supervisor.worker_status,
                "sessions": [
                    {"id": each["id"], "name": sessions.session_name(self.store, each)}
                    for each in self.store.sessions()
                ],
                "queue": self.queue.serialize(self._serialize_job),
                "collection": collection.images(self.store),
                "skipped": sorted(self.store.skipped.items()),
            }
        )

    async def session(self, request: Request) -> Response:
        """Return a session with its jobs."""
        return self._session(request.path_params["session"])

    def _session(self, session_id: str) -> Response:
        return respond(sessions.serialize_session(self.store, self.supervisor, session_id))

    async def job(self, request: Request) -> Response:
        """Return a job with the history of its losses."""
        job_id = request.path_params["work"]
        known = self._serialize_job(job_id)
        history = self.supervisor.histories.get(job_id) or self.store.job(job_id)["history"]
        return respond({**known, "history": history})

    async def job_file(self, request: Request) -> Response:
        """Return an image of a job."""
        job_id, name = request.path_params["work"], request.path_params["file"]
        if name not in SERVED_FILES or not (path := self.store.job_folder(job_id) / name).is_file():
            raise NotFound("this image does not exist")
        if name == "preview.jpg":
            # The file may be replaced at any time; the body must match the stated length.
            return Response(
                path.read_bytes(), media_type="image/jpeg", headers={"Cache-Control": "no-store"}
            )
        name = None
        if "download" in request.query_params:
            name = exports.download_name(self.store, self.store.job(job_id), path.suffix)
        return FileResponse(
            path,
            media_type=SERVED_FILES[path.name],
            filename=name,
            headers={"Cache-Control": "private, max-age=3600"},
        )

    async def film(self, request: Request) -> Response:
        """Return the film of a job, which is made on the first request."""
        job = self.store.job(request.path_params["work"])
        folder = self.store.job_folder(job["id"])
        path = await anyio.to_thread.run_sync(exports.write_film, folder)
        name = exports.download_name(self.store, job, ".mp4")
        return FileResponse(path, media_type="video/mp4", filename=name)

    async def archive(self, request: Request) -> Response:
        """Return a ZIP archive of results."""
        job_ids = request.query_params.get("works", "").split(",")
        jobs = [self.supervisor.job(each) for each in dict.fromkeys(job_ids) if each]
        path = await anyio.to_thread.run_sync(exports.write_zip, self.store, jobs)
        return FileResponse(
            path,
            media_type="application/zip",
            filename="impasto.zip",
            background=BackgroundTask(path.unlink, missing_ok=True),
        )

    async def sample_thumbnail(self, request: Request) -> Response:
        """Return the thumbnail of a sample."""
        image = await anyio.to_thread.run_sync(
            sessions.sample_thumbnail, _known_sample(request.path_params["name"])
        )
        return Response(
            image, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"}
        )

    async def image_file(self, request: Request) -> Response:
        """Return an uploaded image, encoded again."""
        path = self.store.derived_image_path(
            request.path_params["picture"], request.path_params["file"]
        )
        return FileResponse(path, headers={"Cache-Control": "private, max-age=31536000, immutable"})

    async def events(self, request: Request) -> Response:
        """Stream events to the page, as server-sent events."""
        stream = self.supervisor.open_stream()

        async def lines() -> AsyncIterator[str]:
            try:
                yield format_event({"event": "hello", "build": self.build})
                async for each in self.supervisor.subscribe(stream):
                    yield format_event(each)
            finally:
                self.supervisor.close_stream(stream)

        return StreamingResponse(
            lines(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
        )

    # Change ------------------------------------------------------------------------------------

    async def new_session(self, request: Request) -> Response:
        """Create a session."""
        recipe = asdict(presets.make_recipe(presets.DEFAULT))
        session = self.store.new_session(recipe)
        self.supervisor.publish_state()
        return self._session(session["id"])

    async def change_session(self, request: Request) -> Response:
        """Change fields of a session."""
        session_id = request.path_params["session"]
        session = self.store.session(session_id)
        changes = await json_body(request, SessionChanges)
        self.store.save_session(sessions.update_session(self.store, session, changes))
        self.supervisor.publish_state()
        return self._session(session_id)

    async def remove_session(self, request: Request) -> Response:
        """Remove a session and its jobs."""
        session_id = request.path_params["session"]
        if any(job["state"] == "painting" for job in self.store.jobs(session_id)):
            raise SettingError("a job of this session is running: stop it first")
        for job in self.store.jobs(session_id):
            self.queue.remove(job["id"])
        self.store.remove_session(session_id)
        self.supervisor.publish_state()
        return respond({})

    async def add_image(self, request: Request) -> Response:
        """Add an image from a raw request body; a content may also be a clip."""
        name, role = request.query_params.get("name", "picture"), request.query_params.get("role")
        mask, content = role == "mask", role == "content"
        is_clip = content and Path(name).suffix.lower() in clips.CLIP_ENDINGS
        limit = MAX_CLIP_BYTES if is_clip else MAX_UPLOAD_BYTES
        with tempfile.NamedTemporaryFile(dir=self.store.incoming, delete=False) as file:
            path = Path(file.name)
            try:
                await receive(request, file, limit)
                file.flush()
                added = await self.uploads.add(path, name, mask, content)
            finally:
                path.unlink(missing_ok=True)
        if added["clip"] is not None:
            self.clips.reading.ensure(added["id"])
        return respond(added)

    async def add_sample(self, request: Request) -> Response:
        """Add a sample."""
        name = _known_sample(request.path_params["name"])
        return respond(await anyio.to_thread.run_sync(sessions.add_sample, self.store, name))

    async def add_result(self, request: Request) -> Response:
        """Add a result as an input image."""
        job = self.supervisor.job(request.path_params["work"])
        result = versions.result_path(self.store, job)
        path = self.store.incoming / f"{secrets.token_hex(8)}.png"
        try:
            await anyio.to_thread.run_sync(shutil.copyfile, result, path)
            added = await self.uploads.add(path, f"result {job['id']}.png")
        finally:
            path.unlink(missing_ok=True)
        return respond(added)

    async def select(self, request: Request) -> Response:
        """Return a mask of the connected pixels similar to a clicked one."""
        point = await json_body(request, SelectRequest)
        path = self._content_path(request, point.get("frame", 0))
        mask = await anyio.to_thread.run_sync(
            select_similar, path, point["x"], point["y"], point["tolerance"]
        )
        return Response(mask, media_type="image/png")

    async def select_part(self, request: Request) -> Response:
        """Return a mask of the subject, the faces, the background or the sky."""
        body = await json_body(request, SelectPartRequest)
        path = self._content_path(request, body.get("frame", 0))
        mask = await anyio.to_thread.run_sync(select_part, path, body["part"])
        return Response(mask, media_type="image/png")

    def _content_path(self, request: Request, frame: int) -> Path:
        """Return the path of the displayed content image of a session, or of a frame of a clip."""
        session = self.store.session(request.path_params["session"])
        if not session["photograph"]:
            raise SettingError("there is no content image yet")
        content = self.store.image(session["photograph"])
        if content["clip"] is not None and frame:
            return clips.nearest_frame(self.store.image_folder(content["id"]) / clips.FRAMES, frame)
        url = content["url"]
        return self.store.derived_image_path(session["photograph"], url.rpartition("/")[2])

    async def collect(self, request: Request) -> Response:
        """Add an image to the collection of styles."""
        collection.add(self.store, (await json_body(request, CollectionRequest))["picture"])
        self.supervisor.publish_state()
        return respond({})

    async def remove_collected(self, request: Request) -> Response:
        """Remove an image from the collection of styles."""
        collection.remove(self.store, request.path_params["picture"])
        self.supervisor.publish_state()
        return respond({})

    async def share(self, request: Request) -> Response:
        """Return an address that gives access to one more device."""
        if self.share_address is None:
            raise SettingError("other devices have access only with impasto studio --host 0.0.0.0")
        return respond(self.share_address())

    async def forecast(self, request: Request) -> Response:
        """Return the forecast for a session."""
        session = self.store.session(request.path_params["session"])
        return respond(await anyio.to_thread.run_sync(forecasts.forecast, self.store, session))

    # Jobs ---------------------------------------------------------------------------------------

    async def start(self, request: Request) -> Response:
        """Queue a job for a session."""
        session = self.store.session(request.path_params["session"])
        body = await json_body(request, PaintRequest)
        self.queue.check_capacity(1)
        job = versions.create_job(self.store, session, body.get("before"), frame=body.get("frame"))
        return self._enqueue(job)

    async def finish(self, request: Request) -> Response:
        """Queue a job that enlarges a result."""
        job = self.supervisor.job(request.path_params["work"])
        body = await json_body(request, FinishRequest)
        self.queue.check_capacity(1)
        return self._enqueue(versions.create_finish_job(self.store, job, body["size"]))

    async def resume(self, request: Request) -> Response:
        """Resume a stopped job."""
        job = self.supervisor.job(request.path_params["work"])
        if job["state"] not in ("stopped", "failed"):
            raise SettingError("only a stopped job can be resumed")
        self.queue.check_capacity(1)
        self.supervisor.clear_failures(job["id"])
        self.store.save_job({**job, "state": "queued", "error": None})
        return self._enqueue(job)

    async def sweep(self, request: Request) -> Response:
        """Queue the jobs of a sweep."""
        session = self.store.session(request.path_params["session"])
        body = await json_body(request, SweepRequest)
        cells = versions.sweep_cells(body["vary"], MAX_CELLS)
        self.queue.check_capacity(len(cells))
        created = await anyio.to_thread.run_sync(self._create_sheet, session, body, cells)
        sheet = created[0]["sheet"]
        for each in created:
            self.queue.add(each["id"])
        self.supervisor.publish_state()
        return respond({"sheet": str(sheet), "works": [each["id"] for each in created]})

    def _create_sheet(
        self, session: StoredSession, body: SweepRequest, cells: list[dict[str, str]]
    ) -> list[StoredJob]:
        """Create the jobs of a sheet, of the whole image or of a crop."""
        crop, sheet = body.get("crop"), secrets.token_hex(4)
        if crop is not None:
            session = crops.crop_session(self.store, session, crop)
        small, frame = crop is None, body.get("frame")
        return [
            versions.create_job(self.store, session, None, cell, sheet, small, frame)
            for cell in cells
        ]

    def _enqueue(self, job: StoredJob) -> Response:
        self.queue.add(job["id"])
        self.supervisor.publish_state()
        return respond(self._serialize_job(job["id"]))

    def _serialize_job(self, job_id: str) -> JobInfo:
        return versions.serialize_job(self.store, job_id, self.supervisor)

    async def change_version(self, request: Request) -> Response:
        """Change the name of a version, or whether it has a star."""
        job = self.store.job(request.path_params["work"])
        changes = await json_body(request, VersionChanges)
        if len(changes.get("name", "")) > MAX_NAME:
            raise SettingError(f"the name is longer than {MAX_NAME} characters")
        self.store.save_job({**job, **changes})
        self.supervisor.publish_state()
        return respond(self._serialize_job(job["id"]))

    async def steer(self, request: Request) -> Response:
        """Change settings of the running job."""
        job = self._running_job(request.path_params["work"])
        if job["kind"] == "clip":
            raise SettingError("the settings of a clip stay the same: stop it, and paint it again")
        requested = (await json_body(request, SteerRequest))["settings"]
        settings = {name: value for name, value in requested.items() if name in STEERABLE}
        changed = schema.change_recipe(Recipe.from_dict(job["recipe"]), settings)
        self.supervisor.steer(job["id"], {name: getattr(changed, name) for name in settings})
        return respond({})

    async def stop(self, request: Request) -> Response:
        """Stop the running job, and keep the best image so far."""
        job = self._running_job(request.path_params["work"])
        self.supervisor.stop(job["id"])
        return respond({})

    def _running_job(self, job_id: str) -> StoredJob:
        if self.supervisor.current_job != job_id:
            raise SettingError("this job is not running")
        return self.store.job(job_id)

    async def remove_job(self, request: Request) -> Response:
        """Remove a job that is not running, and its images."""
        job_id = request.path_params["work"]
        if self.supervisor.current_job == job_id:
            raise SettingError("this job is running: stop it first")
        self.store.job(job_id)  # raises NotFound
        self.queue.remove(job_id)
        self.store.remove_job(job_id)
        self.supervisor.publish_state()
        return respond({})

    async def reorder(self, request: Request) -> Response:
        """Reorder the queue."""
        order = (await json_body(request, QueueRequest))["order"]
        self.queue.reorder(order, self.supervisor.current_job)
        self.supervisor.publish_state()
        return respond({})

    # --------------------------------------------------------------------------------------------

    def app(self) -> Starlette:
        """Return the ASGI app, which keeps a worker process while it runs."""

        @contextlib.asynccontextmanager
        async def running(_: Starlette) -> AsyncIterator[None]:
            task = asyncio.create_task(self.supervisor.run())
            yield
            await self.clips.reading.close()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        return Starlette(
            routes=routes(self),
            lifespan=running,
            exception_handlers={
                NotFound: error_response(404),
                ImageError: error_response(415),
                OutputError: error_response(507),
                ImpastoError: error_response(400),
                HTTPException: input_error_response,
                OSError: disk_error_response,
                ClientDisconnect: error_response(400),
                Exception: fault_response,
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
        ("POST", "/api/sessions/{session}/part", studio.select_part),
        ("GET", "/api/sessions/{session}/areas", studio.clips.areas),
        ("POST", "/api/sessions/{session}/forecast", studio.forecast),
        ("POST", "/api/sessions/{session}/paint", studio.start),
        ("POST", "/api/sessions/{session}/sweep", studio.sweep),
        ("POST", "/api/pictures", studio.add_image),
        ("POST", "/api/samples/{name}", studio.add_sample),
        ("GET", "/api/samples/{name}/thumb.jpg", studio.sample_thumbnail),
        ("POST", "/api/collection", studio.collect),
        ("DELETE", "/api/collection/{picture}", studio.remove_collected),
        ("POST", "/api/share", studio.share),
        ("GET", "/api/results.zip", studio.archive),
        ("GET", "/api/pictures/{picture}/clip", studio.clips.clip),
        ("GET", "/api/pictures/{picture}/frames/{number:int}.jpg", studio.clips.frame),
        (
            "GET",
            "/api/pictures/{picture}/areas/{mask}/{frame:int}/{number:int}.png",
            studio.clips.area,
        ),
        ("GET", "/api/pictures/{picture}/{file}", studio.image_file),
        ("GET", "/api/works/{work}/painted/{number:int}.jpg", studio.clips.painted),
        ("GET", "/api/works/{work}/clip/{file}", studio.clips.video),
        ("GET", "/api/works/{work}", studio.job),
        ("DELETE", "/api/works/{work}", studio.remove_job),
        ("PATCH", "/api/works/{work}", studio.change_version),
        ("GET", "/api/works/{work}/film.mp4", studio.film),
        ("GET", "/api/works/{work}/{file}", studio.job_file),
        ("POST", "/api/works/{work}/picture", studio.add_result),
        ("POST", "/api/works/{work}/steer", studio.steer),
        ("POST", "/api/works/{work}/stop", studio.stop),
        ("POST", "/api/works/{work}/resume", studio.resume),
        ("POST", "/api/works/{work}/finish", studio.finish),
        ("POST", "/api/queue", studio.reorder),
    ]
    return [
        *(Route(path, request, methods=[method]) for method, path, request in table),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]


def _known_sample(name: str) -> str:
    """Return the name of a sample. Raises NotFound."""
    if name not in (*samples.CONTENTS, *samples.STYLES):
        raise NotFound("unknown sample")
    return name


def build_id() -> str:
    """Return a hash of the page's files."""
    parts = [path.read_bytes() for path in sorted(STATIC.iterdir()) if path.is_file()]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
