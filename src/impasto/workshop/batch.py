"""Many photographs with one recipe: the network is loaded once, and a failure stops nothing."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from impasto import files
from impasto.errors import ImpastoError, PictureError, SettingError
from impasto.network.weights import NETWORKS
from impasto.painting import checkpoints
from impasto.painting.inputs import Inputs, read_provenance
from impasto.painting.stylizer import Event, Stylizer
from impasto.pictures import decode
from impasto.pictures.saving import USUAL, Saving
from impasto.recipe.settings import STARTS, Recipe, as_chosen
from impasto.version import __version__
from impasto.workshop import outputs, worker
from impasto.workshop.orders import Extras, Order, Sources
from impasto.workshop.worker import Ready

if TYPE_CHECKING:
    from impasto.cluster.bench import Bench
    from impasto.cluster.crew import Crew

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """A photograph and the picture that is made of it."""

    photograph: Path
    picture: Path

    @property
    def name(self) -> str:
        """Return what stands for it in the names of files."""
        return self.picture.stem

    def absolute(self) -> "Task":
        """Return it for whoever is in another folder."""
        return Task(self.photograph.absolute(), self.picture.absolute())


@dataclass(frozen=True)
class Ended:
    """How a task ended: painted, skipped since it was there already, or why it failed."""

    task: Task
    failure: str = ""
    skipped: bool = False


def plan(named: Iterable[str], folder: Path, ending: str) -> list[Task]:
    """Return a task for every photograph that was named, and every picture in folders named.

    Pictures have the photographs' names in ``folder``; of two photographs with one name the
    second keeps its own ending in it. Raises PictureError for a folder without pictures.
    """
    photographs = list(dict.fromkeys(path for name in named for path in _photographs(Path(name))))
    tasks: dict[Path, Task] = {}
    for path in photographs:
        picture = folder / f"{path.stem}{ending}"
        if picture in tasks:
            picture = folder / f"{path.name}{ending}"
        if picture in tasks:
            raise PictureError(f"{path}: another photograph has its name: name one of them alone")
        tasks[picture] = Task(path, picture)
    return list(tasks.values())


@dataclass(frozen=True)
class Job:
    """What is wanted of every photograph alike."""

    recipe: Recipe
    sources: Sources
    """all pictures but the photograph"""
    extras: Extras = field(default_factory=Extras)
    """with :data:`impasto.workshop.orders.NAME` where the name of each picture is to stand"""
    saving: Saving = USUAL
    weights_file: Path | None = None

    def absolute(self) -> "Job":
        """Return it for whoever is in another folder."""
        init = self.recipe.init
        recipe = self.recipe if init in STARTS else replace(self.recipe, init=os.path.abspath(init))
        file = None if self.weights_file is None else self.weights_file.absolute()
        sources, extras = self.sources.absolute(), self.extras.absolute()
        return replace(self, recipe=recipe, sources=sources, extras=extras, weights_file=file)

    def order(self, task: Task) -> Order:
        """Return what is wanted of a task; it goes on from its checkpoint, where that is there."""
        extras = self.extras.called(task.name)
        order = extras.order(
            replace(self.sources, content=str(task.photograph)), task.picture, self.saving
        )
        there = extras.resume is not None and extras.resume.exists()
        return replace(
            order,
            recipe=self.recipe,
            weights_file=self.weights_file,
            checkpoint=extras.checkpoint or extras.resume,
            resume=extras.resume if there else None,
        )


def make_room(job: Job, tasks: Iterable[Task]) -> None:
    """Make the folders for all that will be written, and check that it can be.

    Raises SettingError if a file would overwrite one that is read, or that of another picture,
    and SettingError or OutputError as :func:`impasto.workshop.outputs.check` does.
    """
    wanted = {task: job.extras.called(task.name) for task in tasks}
    written = {task: each.outputs(task.picture, job.saving) for task, each in wanted.items()}
    _check_distinct(
        (*job.sources.paths(), job.recipe.init, *(str(task.photograph) for task in wanted)),
        [path for each in written.values() for path in each.paths().values()],
    )
    for task, extras in wanted.items():
        for path in filter(None, (written[task].frames, *written[task].paths().values())):
            path.parent.mkdir(parents=True, exist_ok=True)
        checkpoints.place(extras.checkpoint, extras.resume)
        outputs.check(written[task], extras.read())


def _check_distinct(read: Iterable[str], written: Iterable[Path]) -> None:
    taken = {os.path.realpath(path) for path in read}
    for path in written:
        if (place := os.path.realpath(path)) in taken:
            raise SettingError(
                f"{path} would overwrite a picture that is read, or a file of another picture: "
                "name another folder"
            )
        taken.add(place)


def _photographs(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]  # reading it says what is wrong with it
    found = decode.listing(path)
    for line in found.left_out:
        LOG.warning("%s: left out: %s", files.shown(path), line)
    if not found.pictures:
        raise PictureError(f"{files.shown(path)}: there are no pictures in this folder")
    return list(found.pictures)


def is_done(task: Task, recipe: Recipe, read: Inputs) -> bool:
    """Return whether the picture is there, painted from the same pictures with the same recipe."""
    try:
        before = read_provenance(task.picture)
    except ImpastoError:
        return False
    recipe = as_chosen(recipe, before.recipe)
    now = __version__, NETWORKS[recipe.network].sha256
    same = before.recipe == recipe and before.inputs == read.sources
    return (
        same
        and before.finished
        and not before.steered
        and (before.version, before.network.get("sha256")) == now
    )


Watch: TypeAlias = Callable[[Task, Ready, Iterator[Event]], Iterator[Event]]
"""(task, what was prepared of it, its events) -> the same events, which somebody looks at"""


def paint_all(
    job: Job, tasks: Iterable[Task], stylizer: Stylizer, watch: Watch, skip_done: bool = False
) -> Iterator[Ended]:
    """Paint tasks one by one, and yield how each ended; a failure stops nothing.

    Of the picture under way when it is stopped as much is kept as of a single one:
    :func:`impasto.workshop.worker.finish`.
    """
    for task in tasks:
        try:
            ready = worker.prepare(job.order(task), stylizer)
            if skip_done and is_done(task, ready.prepared.recipe, ready.prepared.inputs):
                yield Ended(task, skipped=True)
                continue
            events = watch(task, ready, worker.paint(ready, stylizer))
            worker.finish(ready, worker.result_of(events))
        except (ImpastoError, OSError, MemoryError) as error:
            yield Ended(task, failure=_told(task, error))
        else:
            yield Ended(task)


def share_out(
    job: Job, tasks: Iterable[Task], crew: "Crew", skip_done: bool = False
) -> Iterator[Ended]:
    """Have workers paint tasks, a picture each at a time; yield how each ended, in their order.

    They read and write the files themselves, so that they are to see the same folders.
    """
    begun: list[Task] = []

    def items() -> Iterator[tuple[Job, Task, bool]]:
        for task in tasks:
            begun.append(task)
            yield job.absolute(), task.absolute(), skip_done

    for number, ended in enumerate(crew.each(_at_worker, items())):
        yield replace(ended, task=begun[number])


def _at_worker(bench: "Bench", item: tuple[Job, Task, bool]) -> Ended:
    bench.compute_alike()
    job, task, skip_done = item
    stylizer = bench.lasting.setdefault("stylizer", Stylizer(weights_file=job.weights_file))
    (ended,) = paint_all(job, [task], stylizer, lambda task, ready, events: events, skip_done)
    return ended


def _told(task: Task, error: Exception) -> str:
    """Say why a task failed, in a line that begins with the photograph."""
    name = str(task.photograph)
    if isinstance(error, MemoryError):
        return f"{name}: memory ran out, choose a smaller size"
    said = " ".join(str(error).split())
    return said if said.startswith(name) else f"{name}: {said}"
