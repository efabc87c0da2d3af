"""Many content images with one recipe: the network is loaded once, and errors do not stop it."""

import itertools
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from impasto import files
from impasto.errors import ImageError, ImpastoError, SettingError, counted
from impasto.images.formats import decode, detect
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.network.weights import NETWORKS
from impasto.painting import checkpoints
from impasto.painting.inputs import Inputs, read_provenance
from impasto.painting.stylizer import Event, Stylizer
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
    """A content image and its result."""

    photograph: Path
    picture: Path
    name: str
    """its name in paths of additional outputs, with its subfolder if subfolders are kept"""

    def absolute(self) -> "Task":
        """Return a copy with absolute paths, for a process in another folder."""
        return replace(self, photograph=self.photograph.absolute(), picture=self.picture.absolute())


@dataclass(frozen=True)
class Ended:
    """How a task ended: done, skipped because the result exists, or failed with a reason."""

    task: Task
    failure: str = ""
    skipped: bool = False


class ListedPhotograph(NamedTuple):
    """A content image, and the subfolder of its result."""

    path: Path
    below: Path = Path()


def plan(
    named: Iterable[files.AnyPath], folder: Path, ending: str, recursive: bool = False
) -> list[Task]:
    """Return a task for each given image, and for each image in the given folders.

    A result has the name of its content image. If another result has that name, ignoring case, the
    extension of the content image or a number is added. ``recursive`` includes subfolders, and
    keeps them. Raises ImageError for a folder without images.
    """
    photographs: dict[Path, Path] = {}
    for name in named:
        for found in _photographs(Path(name), folder, recursive):
            photographs.setdefault(found.path, found.below)
    taken: set[str] = set()
    tasks = []
    for path, below in photographs.items():
        stem = next(each for each in _stems(path) if _key(below / each) not in taken)
        taken.add(_key(below / stem))
        name = (below / stem).as_posix()
        tasks.append(Task(path, folder / below / f"{stem}{ending}", name))
    return tasks


def _stems(path: Path) -> Iterator[str]:
    """Yield possible names of a result, without extension."""
    yield from (path.stem, path.name)
    for number in itertools.count(2):
        yield f"{path.stem}-{number}"


def _key(path: Path) -> str:
    """Return a key that is equal for paths of one file on a case-insensitive file system."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


@dataclass(frozen=True)
class Job:
    """What all content images of a batch have in common."""

    recipe: Recipe
    sources: Sources
    """all inputs except the content image"""
    extras: Extras = field(default_factory=Extras)
    """paths contain :data:`impasto.workshop.orders.NAME` in place of the name of each image"""
    saving: SaveOptions = DEFAULT_SAVE_OPTIONS
    weights_file: Path | None = None

    def absolute(self) -> "Job":
        """Return a copy with absolute paths, for a process in another folder."""
        init = self.recipe.init
        recipe = self.recipe if init in STARTS else replace(self.recipe, init=os.path.abspath(init))
        file = None if self.weights_file is None else self.weights_file.absolute()
        sources, extras = self.sources.absolute(), self.extras.absolute()
        return replace(self, recipe=recipe, sources=sources, extras=extras, weights_file=file)

    def order(self, task: Task) -> Order:
        """Return the job of a task, which resumes from its checkpoint if there is one."""
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
    """Create the folders of all outputs, and check that they can be written.

    Raises SettingError if a file would overwrite an input or the file of another image, and the
    errors of :func:`impasto.workshop.outputs.check`.
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
    read = list(read)
    taken = {os.path.realpath(path) for path in read}
    same = {identity for path in read if (identity := _identity(path))}
    for path in written:
        if (place := os.path.realpath(path)) in taken or _identity(path) in same:
            raise SettingError(
                f"{path} would overwrite an input, or a file of another image: give another folder"
            )
        taken.add(place)


def _identity(path: files.AnyPath) -> tuple[int, int] | None:
    """Return a key that is equal for all names of one file; None if there is no file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _photographs(path: Path, output: Path, recursive: bool) -> Iterator[ListedPhotograph]:
    """Yield the image at a path, or those in a folder, except in the output folder."""
    if not os.path.isdir(path):
        yield ListedPhotograph(path)  # reading it says what is wrong with it
        return
    seen = {os.path.realpath(output), os.path.realpath(path)}
    found = list(_inside(path, path, seen, recursive))
    if not found:
        folders = not recursive and decode.list_folder(path).folders
        advice = ", only folders: use --recursive" if folders else ""
        raise ImageError(f"{files.shown(path)}: there are no images in this folder{advice}")
    yield from found


def _inside(folder: Path, top: Path, seen: set[str], recursive: bool) -> Iterator[ListedPhotograph]:
    """Yield the images in a folder below ``top``, and log skipped files.

    ``seen`` are folders that are not entered again, since links may form a cycle.
    """
    listing = decode.list_folder(folder)
    for line in listing.left_out:
        LOG.warning("%s: %s", files.shown(folder), line)
    yield from (ListedPhotograph(each, folder.relative_to(top)) for each in listing.pictures)
    folders = [each for each in listing.folders if os.path.realpath(each) not in seen]
    seen.update(map(os.path.realpath, folders))
    if folders and not recursive:
        LOG.warning(
            "%s: skipped %s, use --recursive to include: %s",
            *(files.shown(folder), counted(len(folders), "folder"), detect.format_names(folders)),
        )
    for each in folders if recursive else ():
        try:
            yield from _inside(each, top, seen, recursive)
        except ImageError as error:  # the other folders can be painted
            LOG.warning("%s", error)


class Existing(StrEnum):
    """What to do with existing files at the paths of outputs."""

    KEEP = "keep"
    SKIP_DONE = "skip done"
    OVERWRITE = "overwrite"


def kept(order: Order, existing: Existing) -> Path | None:
    """Return an existing file that a job must not replace; None if there is none.

    Results of the same checkpoint are replaced, and with ``SKIP_DONE`` all results of impasto.
    Other files are replaced only with ``OVERWRITE``.
    """
    if existing is Existing.OVERWRITE:
        return None
    outputs = order.outputs
    if existing is Existing.SKIP_DONE or order.resume is not None:
        picture = outputs.picture
        return picture if os.path.lexists(picture) and not _painted(picture) else None
    paths = [path for name, path in outputs.paths().items() if name != "checkpoint"]
    frames = outputs.frames
    if frames is not None and frames.is_dir() and any(frames.iterdir()):
        paths.append(frames)
    return next(filter(os.path.lexists, paths), None)


def is_new(order: Order, existing: Existing) -> bool:
    """Return whether a job will certainly run, and not be skipped or rejected."""
    if existing is Existing.SKIP_DONE and order.resume is None:
        return not os.path.lexists(order.outputs.picture)
    return kept(order, existing) is None


def checked(
    job: Job, tasks: Iterable[Task], limits: decode.SizeLimits, existing: Existing = Existing.KEEP
) -> Iterator[Ended | None]:
    """Read each new content image; yield the error of a task, or None if it is valid.

    A damaged file is thus found before the batch starts, and not hours later. Results that may be
    complete are left to :func:`paint_all`.
    """
    for task in tasks:
        order = job.order(task)
        try:
            if is_new(order, existing):
                decode.read_image(task.photograph, limits)
            elif existing is Existing.KEEP:
                raise ImageError(_exists(kept(order, existing) or task.picture))
        except (ImageError, MemoryError) as error:
            yield Ended(task, failure=_told(task, error))
        else:
            yield None


def _painted(picture: Path) -> bool:
    """Return whether a file contains a recipe of impasto."""
    try:
        read_provenance(picture)
    except ImpastoError:
        return False
    return True


def is_done(task: Task, recipe: Recipe, read: Inputs) -> bool:
    """Return whether the result exists, with the same inputs and recipe."""
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
"""(task, prepared job, events) -> the same events, which the caller observes"""


def paint_all(
    job: Job,
    tasks: Iterable[Task],
    stylizer: Stylizer,
    watch: Watch,
    existing: Existing = Existing.KEEP,
) -> Iterator[Ended]:
    """Run tasks one by one, and yield how each ended; a failure does not stop the others.

    If the batch is stopped, the current image is kept like that of a single run, see
    :func:`impasto.workshop.worker.finish`.
    """
    for task in tasks:
        try:
            order = job.order(task)
            if (there := kept(order, existing)) is not None:
                raise ImageError(_exists(there))
            ready = worker.prepare(order, stylizer)
            if existing is Existing.SKIP_DONE and is_done(
                task, ready.prepared.recipe, ready.prepared.inputs
            ):
                yield Ended(task, skipped=True)
                continue
            events = watch(task, ready, worker.paint(ready, stylizer))
            worker.finish(ready, worker.result_of(events))
        except (ImpastoError, OSError, MemoryError) as error:
            yield Ended(task, failure=_told(task, error))
        else:
            yield Ended(task)


def _exists(path: Path) -> str:
    return f"not painted: {files.shown(path)} exists: use --skip-done or --overwrite"


def share_out(
    job: Job, tasks: Iterable[Task], crew: "Crew", existing: Existing = Existing.KEEP
) -> Iterator[Ended]:
    """Run tasks on workers, one each at a time; yield how each ended, in order.

    Workers read and write the files, so they need access to the same folders.
    """
    begun: list[Task] = []

    def items() -> Iterator[tuple[Job, Task, Existing]]:
        for task in tasks:
            begun.append(task)
            yield job.absolute(), task.absolute(), existing

    for number, ended in enumerate(crew.each(_at_worker, items())):
        yield replace(ended, task=begun[number])


def _at_worker(bench: "Bench", item: tuple[Job, Task, Existing]) -> Ended:
    bench.compute_alike()
    job, task, existing = item
    stylizer = bench.lasting.setdefault("stylizer", Stylizer(weights_file=job.weights_file))
    (ended,) = paint_all(job, [task], stylizer, lambda task, ready, events: events, existing)
    return ended


def _told(task: Task, error: Exception) -> str:
    """Return why a task failed, in one line that begins with the content image."""
    name = str(task.photograph)
    if isinstance(error, MemoryError):
        return f"{name}: out of memory: choose a smaller size"
    said = " ".join(str(error).split())
    return said if said.startswith(name) else f"{name}: {said}"
