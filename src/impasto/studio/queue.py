"""The queue of the studio: the order of its jobs, which one is next, and its description.

The queue has the ids of the running job and of the jobs that wait, in the order in which they run.
It is stored in ``FOLDER/queue.json``, so a restarted server continues it. The page adds, removes
and reorders jobs (`studio.app`); the supervisor takes the next one (`studio.supervisor`).
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from impasto import files
from impasto.errors import ImpastoError, SettingError
from impasto.studio.messages import JobInfo
from impasto.studio.store import NotFound, Store, is_id

MAX_JOBS = 64
"""Maximum number of jobs in the queue."""


@dataclass(frozen=True)
class JobQueue:
    """The queue in the folder of a studio."""

    store: Store
    job_added: asyncio.Event = field(default_factory=asyncio.Event)
    """set when a job is added; the supervisor clears it"""

    def job_ids(self) -> list[str]:
        """Return the ids of the running job and of queued jobs, in order."""
        path = self.store.folder / "queue.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(stored, list):
                raise ValueError("it is not a list")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            self.store.note_skipped(path, error)
            return []
        return [each for each in stored if is_id(each)]

    def _save(self, job_ids: Iterable[str]) -> None:
        files.write_text(json.dumps(list(job_ids)), self.store.folder / "queue.json")

    def check_capacity(self, count: int) -> None:
        """Raise SettingError if ``count`` more jobs exceed MAX_JOBS."""
        if len(self.job_ids()) + count > MAX_JOBS:
            raise SettingError(
                f"{MAX_JOBS} jobs are already in the queue: wait until some are done"
            )

    def add(self, job_id: str) -> None:
        """Add a job at the end."""
        self._save([*self.job_ids(), job_id])
        self.job_added.set()

    def remove(self, job_id: str) -> None:
        """Remove a job, if it is in the queue."""
        self._save(each for each in self.job_ids() if each != job_id)

    def reorder(self, order: Sequence[str], running: str | None) -> None:
        """Change the order: the running job, the jobs of ``order``, then all others."""
        job_ids = self.job_ids()
        first = [each for each in job_ids if each == running]
        known = [each for each in order if each in job_ids]
        self._save(dict.fromkeys([*first, *known, *job_ids]))

    def next_job(self, excluded: Collection[str]) -> str | None:
        """Return the first job that is not excluded; None if there is none."""
        return next((each for each in self.job_ids() if each not in excluded), None)

    def requeue_interrupted(self) -> None:
        """Put the jobs that an earlier server did not finish at the front."""
        job_ids = self.job_ids()
        for job in self.store.jobs():
            missing = job["state"] == "queued" and job["id"] not in job_ids
            if job["state"] == "painting" or missing:
                with contextlib.suppress(ImpastoError):  # the queue has it as well
                    self.store.save_job({**job, "state": "queued"})
                job_ids = [job["id"], *(each for each in job_ids if each != job["id"])]
        self._save(job_ids)

    def serialize(self, serialize_job: Callable[[str], JobInfo]) -> list[JobInfo]:
        """Return the descriptions of the jobs for the page; missing jobs are skipped.

        ``serialize_job`` returns the description of one job, or raises NotFound.
        """
        described = []
        for job_id in self.job_ids():
            with contextlib.suppress(NotFound):
                described.append(serialize_job(job_id))
        return described
