"""The HTTP routes of clips: frames, areas, painted frames, and the painted clip."""

from pathlib import Path

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from impasto.studio import clip_areas, clips, exports, versions
from impasto.studio.clip_jobs import PAINTED
from impasto.studio.clip_reading import ClipReading
from impasto.studio.responses import respond
from impasto.studio.store import NotFound, Store
from impasto.studio.supervisor import Supervisor

LONG, SHORT = "private, max-age=31536000, immutable", "private, max-age=3600"
"""Values of Cache-Control for frames of a clip, and for painted frames."""


class ClipRoutes:
    """The handlers of the routes of clips."""

    def __init__(self, store: Store, supervisor: Supervisor) -> None:
        """Serve the clips of ``store``; ``supervisor`` sends the progress of reading to pages."""
        self.store, self.supervisor = store, supervisor
        self.reading = ClipReading(store, supervisor.publish)

    async def clip(self, request: Request) -> Response:
        """Return the description of a clip, which is read if that is not done yet."""
        image_id = request.path_params["picture"]
        described = await anyio.to_thread.run_sync(clips.clip_info, self.store, image_id)
        self.reading.ensure(image_id)
        return respond(described)

    async def frame(self, request: Request) -> Response:
        """Return a frame of a clip."""
        image_id, number = request.path_params["picture"], request.path_params["number"]
        folder = self.store.image_folder(image_id) / clips.FRAMES
        path = clips.frame_path(folder, number)
        if not path.is_file():
            if not clips.is_complete(self.store, image_id):
                raise NotFound("this frame was not read yet")
            path = clips.nearest_frame(folder, number)
        return await _send_frame(request, path, LONG)

    async def areas(self, request: Request) -> Response:
        """Return the masks of a session that move, which are moved if that is not done yet."""
        session = self.store.session(request.path_params["session"])
        found = await anyio.to_thread.run_sync(clip_areas.describe, self.store, session)
        if found:
            self.reading.ensure_areas(session["id"], str(session["photograph"]), found)
        return respond({"areas": found})

    async def area(self, request: Request) -> Response:
        """Return the mask of an area at a frame."""
        parts = request.path_params
        self.store.image(parts["mask"])  # raises NotFound
        folder = clip_areas.area_folder(self.store, parts["picture"], parts["mask"], parts["frame"])
        path = clip_areas.area_path(folder, parts["number"])
        if not path.is_file():
            raise NotFound("the area is not known for this frame yet")
        return FileResponse(path, media_type="image/png", headers={"Cache-Control": LONG})

    async def painted(self, request: Request) -> Response:
        """Return a painted frame of a job."""
        folder = self.store.job_folder(request.path_params["work"]) / PAINTED
        path = clips.nearest_frame(folder, request.path_params["number"])
        return await _send_frame(request, path, SHORT)

    async def video(self, request: Request) -> Response:
        """Return the painted clip of a job, or the part that a stopped job has painted."""
        job = self.supervisor.job(request.path_params["work"])
        path = versions.clip_path(self.store, job)
        if path is None or path.name != request.path_params["file"]:
            raise NotFound("this clip does not exist")
        name = None
        if "download" in request.query_params:
            name = exports.download_name(self.store, job, path.suffix)
        return FileResponse(path, media_type=versions.CLIP_TYPES[path.suffix], filename=name)


async def _send_frame(request: Request, path: Path, cache: str) -> Response:
    """Return a frame, with ``small`` in the query reduced for the timeline."""
    headers = {"Cache-Control": cache}
    if "small" not in request.query_params:
        return FileResponse(path, media_type="image/jpeg", headers=headers)
    small = await anyio.to_thread.run_sync(clips.small_frame, path)
    return Response(small, media_type="image/jpeg", headers=headers)
