"""Adds an uploaded file to the studio's folder, decoded in a child process.

Decoding a large image needs gigabytes, which are freed when the process ends. A decoder that
crashes or runs out of memory does not affect the server.
"""

import asyncio
import contextlib
import json
import logging
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

from impasto import files
from impasto.errors import ImageError, ImpastoError
from impasto.studio import sessions
from impasto.studio.messages import ErrorInfo, UploadInfo
from impasto.studio.store import Store

LOG = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "impasto.studio.uploads")
"""-P: no module is imported from the current folder."""


class Uploads:
    """Adds uploads one at a time, so that only one image is decoded at a time."""

    def __init__(self, store: Store) -> None:
        """Add uploads to ``store``."""
        self.store = store
        self._turn = asyncio.Lock()

    async def add(
        self, path: Path, name: str, mask: bool = False, clip: bool = False
    ) -> UploadInfo:
        """Move the file at ``path`` into the folder, and return its description for the page.

        With ``clip``, it may be a clip. Raises ImageError, which calls the file ``name``, for an
        invalid file.
        """
        request = [str(self.store.folder.resolve()), str(path.resolve()), name, mask, clip]
        async with self._turn:
            # A separate session, so that only the server receives Ctrl-C of the terminal.
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
            try:
                message, log = await process.communicate(json.dumps(request).encode())
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if process.returncode != 0:
            LOG.error("%s could not be decoded: %s", name, log.decode(errors="replace"))
            raise ImageError(
                f"{files.display_path(name)}: the decoder process ended ({process.returncode}), "
                "perhaps because memory ran out: reduce the image, or save it in another format"
            )
        response: UploadInfo | ErrorInfo = json.loads(message)
        if "error" in response:
            raise ImageError(response["error"])
        return response


def main() -> None:
    """Add the file of the request on standard input; write the response to standard output."""
    folder, path, name, mask, clip = json.load(sys.stdin)
    response: UploadInfo | ErrorInfo
    try:
        response = sessions.add_image(Store(Path(folder)), Path(path), name, mask, clip)
    except ImpastoError as error:
        response = {"error": " ".join(str(error).split())}
    except MemoryError:
        response = {"error": f"{files.display_path(name)}: out of memory: reduce the image"}
    except OSError as error:
        response = {
            "error": f"{files.display_path(name)} cannot be stored: {files.error_reason(error)}"
        }
    sys.stdout.write(json.dumps(response))


if __name__ == "__main__":
    main()
