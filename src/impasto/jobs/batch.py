"""Many content images with one recipe: the network is loaded once, and an error stops one image."""

import itertools
import logging
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from impasto import files
from impasto.errors import ImageError, ImpastoError, SettingError, pluralize
from impasto.images.formats import decode, detect
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.jobs import outputs, runner, sizes
from impasto.jobs.runner import PreparedJob
from impasto.jobs.specs import InputPaths, JobSpec, OutputOptions
from impasto.jobs.tables import TableRow
from impasto.network.weights import NETWORKS
from impasto.pipeline import checkpoints
from impasto.pipeline.inputs import Inputs
from impasto.pipeline.provenance import read_provenance
from impasto.pipeline.stylizer import Event, Stylizer
from impasto.recipe.settings import STARTS, Recipe, change_recipe, with_resolved_autos
from impasto.version import __version__

if TYPE_CHECKING:
    from impasto.cluster.pool import WorkerPool
    from impasto.cluster.worker_state import WorkerState

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchItem:
    """A content image of a batch, and the path of its result."""

    content: Path
    result: Path
    name: str
    """its name in paths of additional outputs, with its subfolder if subfolders are kept"""
    styles: tuple[str, ...] | None = None
    """its style images; None for those of the batch"""
    settings: tuple[tuple[str, str], ...] = ()
    """settings that differ from those of the batch, by name, as text"""

    def absolute(self) -> "BatchItem":
        """Return a copy with absolute paths, for a process in another folder."""
        styles = None if self.styles is None else tuple(map(os.path.abspath, self.styles))
        return replace(
            self, content=self.content.absolute(), result=self.result.absolute(), styles=styles
        )


@dataclass(frozen=True)
class ItemResult:
    """The outcome of an item: done, skipped because the result exists, or failed."""

    item: BatchItem
    failure: str = ""
    """reason of the failure; empty if there was none"""
    skipped: bool = False
    seconds: float = 0.0
    """seconds of the run; 0 if the item was skipped or failed"""
    evaluations: int = 0


class ListedContent(NamedTuple):
    """A content image, and the subfolder of its result."""

    path: Path
    below: Path = Path()


def plan_batch(
    named: Iterable[files.AnyPath],
    folder: Path,
    ending: str,
    recursive: bool = False,
    each_style: Sequence[str] = (),
) -> list[BatchItem]:
    """Return an item for each given image, and for each image in the given folders.

    A result has the name of its content image. If another result has that name, ignoring case, the
    extension of the content image or a number is added. ``recursive`` includes subfolders, and
    keeps them. With ``each_style``, there is an item for every content image with every one of
    these style images, named after both. Raises ImageError for a folder without images.
    """
    contents: dict[Path, Path] = {}
    for name in named:
        for listed in _iter_contents(Path(name), folder, recursive):
            contents.setdefault(listed.path, listed.below)
    names: list[ResultName]
    if not each_style:
        names = [(below, (path.stem, path.name)) for path, below in contents.items()]
        return _place_results([BatchItem(each, folder, "") for each in contents], names, ending)
    pairs = list(itertools.product(contents.items(), each_style))
    items = [BatchItem(path, folder, "", (style,)) for (path, _), style in pairs]
    stems = [f"{path.stem}-{Path(style).stem}" for (path, _), style in pairs]
    names = [(below, (stem,)) for ((_, below), _), stem in zip(pairs, stems, strict=True)]
    return _place_results(items, names, ending)


def plan_table(rows: Iterable[TableRow], folder: Path, ending: str) -> list[BatchItem]:
    """Return an item for each row of a table, named by its column or after its images.

    Raises SettingError for a name that is not inside ``folder``.
    """
    items: list[BatchItem] = []
    names: list[ResultName] = []
    for row in rows:
        stem = row.result or "-".join(Path(each).stem for each in (str(row.content), *row.styles))
        below = Path(stem)
        if below.is_absolute() or ".." in below.parts:
            raise SettingError(f"line {row.line}: the result {stem!r} is not inside the folder")
        items.append(BatchItem(row.content, folder, "", row.styles, row.settings))
        names.append((below.parent, (below.name,)))
    return _place_results(items, names, ending)


ResultName: TypeAlias = tuple[Path, tuple[str, ...]]
"""The subfolder of a result, and its possible names without extension."""


def _place_results(
    items: Iterable[BatchItem], names: Iterable[ResultName], ending: str
) -> list[BatchItem]:
    """Return items with different results: each has a subfolder and possible names."""
    taken: set[str] = set()
    placed = []
    for item, (below, stems) in zip(items, names, strict=True):
        possible = itertools.chain(stems, (f"{stems[0]}-{number}" for number in itertools.count(2)))
        stem = next(each for each in possible if _casefolded(below / each) not in taken)
        taken.add(_casefolded(below / stem))
        result = item.result / below / f"{stem}{ending}"
        placed.append(replace(item, result=result, name=(below / stem).as_posix()))
    return placed


def _casefolded(path: Path) -> str:
    """Return a key that is equal for paths of one file on a case-insensitive file system."""
    return unicodedata.normalize("NFC", path.as_posix()).casefold()


@dataclass(frozen=True)
class BatchSpec:
    """What all content images of a batch have in common."""

    recipe: Recipe
    inputs: InputPaths
    """all inputs except the content image"""
    output_options: OutputOptions = field(default_factory=OutputOptions)
    """paths contain :data:`impasto.jobs.specs.NAME_FIELD` in place of the name of each image"""
    saving: SaveOptions = DEFAULT_SAVE_OPTIONS
    weights_file: Path | None = None
    size: str | None = None
    """size that depends on the content image, such as 50%; None for that of the recipe"""

    def absolute(self) -> "BatchSpec":
        """Return a copy with absolute paths, for a process in another folder."""
        init = self.recipe.init
        recipe = self.recipe if init in STARTS else replace(self.recipe, init=os.path.abspath(init))
        file = None if self.weights_file is None else self.weights_file.absolute()
        inputs, options = self.inputs.absolute(), self.output_options.absolute()
        return replace(
            self, recipe=recipe, inputs=inputs, output_options=options, weights_file=file
        )

    def job_spec(self, item: BatchItem) -> JobSpec:
        """Return the job of an item, which resumes from its checkpoint if there is one."""
        options = self.output_options.with_name(item.name)
        styles = self.inputs.styles if item.styles is None else item.styles
        inputs = replace(self.inputs, content=str(item.content), styles=styles)
        recipe, dpi = self._item_recipe(item)
        saving = replace(self.saving, dpi=self.saving.dpi or dpi)
        spec = options.job_spec(inputs, item.result, saving)
        resumes = options.resume is not None and options.resume.exists()
        return replace(
            spec,
            recipe=recipe,
            weights_file=self.weights_file,
            checkpoint=options.checkpoint or options.resume,
            resume=options.resume if resumes else None,
        )

    def _item_recipe(self, item: BatchItem) -> tuple[Recipe, float | None]:
        """Return the recipe of an item, and the print resolution that its size was given with."""
        settings: dict[str, str] = dict(item.settings)
        text = settings.pop("size", self.size)
        if text is None:
            return change_recipe(self.recipe, **settings), None
        size = sizes.resolve_size(text, lambda: sizes.size_of_file(str(item.content)))
        return change_recipe(self.recipe, size=size.size, **settings), size.dpi


def prepare_folders(batch: BatchSpec, items: Iterable[BatchItem]) -> None:
    """Create the folders of all outputs, and check that they can be written.

    Raises SettingError if a file would overwrite an input or the file of another image, and the
    errors of :func:`impasto.jobs.outputs.check_outputs`.
    """
    options = {item: batch.output_options.with_name(item.name) for item in items}
    written = {item: each.outputs(item.result, batch.saving) for item, each in options.items()}
    read = (path for item in options for path in (str(item.content), *(item.styles or ())))
    _check_distinct(
        (*batch.inputs.paths(), batch.recipe.init, *read),
        [path for each in written.values() for path in each.paths().values()],
    )
    for item, own in options.items():
        for path in filter(None, (written[item].frames, *written[item].paths().values())):
            path.parent.mkdir(parents=True, exist_ok=True)
        checkpoints.checkpoint_path(own.checkpoint, own.resume)
        outputs.check_outputs(written[item], own.read_paths())


def _check_distinct(read: Iterable[str], written: Iterable[Path]) -> None:
    read = list(read)
    taken = {os.path.realpath(path) for path in read}
    same = {identity for path in read if (identity := _file_identity(path))}
    for path in written:
        if (real := os.path.realpath(path)) in taken or _file_identity(path) in same:
            raise SettingError(
                f"{path} would overwrite an input, or a file of another image: give another folder"
            )
        taken.add(real)


def _file_identity(path: files.AnyPath) -> tuple[int, int] | None:
    """Return a key that is equal for all names of one file; None if there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _iter_contents(path: Path, output: Path, recursive: bool) -> Iterator[ListedContent]:
    """Yield the image at a path, or those in a folder, except in the output folder."""
    if not os.path.isdir(path):
        yield ListedContent(path)  # if it is invalid, the error comes when it is read
        return
    entered = {os.path.realpath(output), os.path.realpath(path)}
    images = list(_iter_folder(path, path, entered, recursive))
    if not images:
        folders = not recursive and decode.list_folder(path).folders
        advice = ", only folders: use --recursive" if folders else ""
        raise ImageError(f"{files.display_path(path)}: there are no images in this folder{advice}")
    yield from images


def _iter_folder(
    folder: Path, top: Path, entered: set[str], recursive: bool
) -> Iterator[ListedContent]:
    """Yield the images in a folder below ``top``, and log skipped files.

    ``entered`` are folders that are skipped, since links may form a cycle.
    """
    listing = decode.list_folder(folder)
    for line in listing.left_out:
        LOG.warning("%s: %s", files.display_path(folder), line)
    yield from (ListedContent(each, folder.relative_to(top)) for each in listing.images)
    folders = [each for each in listing.folders if os.path.realpath(each) not in entered]
    entered.update(map(os.path.realpath, folders))
    if folders and not recursive:
        LOG.warning(
            "%s: skipped %s, use --recursive to include: %s",
            *(
                files.display_path(folder),
                pluralize(len(folders), "folder"),
                detect.format_names(folders),
            ),
        )
    for each in folders if recursive else ():
        try:
            yield from _iter_folder(each, top, entered, recursive)
        except ImageError as error:  # continue with the other folders
            LOG.warning("%s", error)


class ExistingFiles(StrEnum):
    """What to do with existing files at the paths of outputs."""

    KEEP = "keep"
    SKIP_DONE = "skip done"
    OVERWRITE = "overwrite"


def existing_file(spec: JobSpec, existing: ExistingFiles) -> Path | None:
    """Return an existing file that a job must not replace; None if there is none.

    Results of the same checkpoint are replaced, and with ``SKIP_DONE`` all results of impasto.
    Other files are replaced only with ``OVERWRITE``.
    """
    if existing is ExistingFiles.OVERWRITE:
        return None
    outputs = spec.outputs
    if existing is ExistingFiles.SKIP_DONE or spec.resume is not None:
        image = outputs.result
        return image if os.path.lexists(image) and not _has_recipe(image) else None
    paths = [path for name, path in outputs.paths().items() if name != "checkpoint"]
    frames = outputs.frames
    if frames is not None and frames.is_dir() and any(frames.iterdir()):
        paths.append(frames)
    return next(filter(os.path.lexists, paths), None)


def is_to_run(spec: JobSpec, existing: ExistingFiles) -> bool:
    """Return whether a job will certainly run, and not be skipped or rejected."""
    if existing is ExistingFiles.SKIP_DONE and spec.resume is None:
        return not os.path.lexists(spec.outputs.result)
    return existing_file(spec, existing) is None


def check_items(
    batch: BatchSpec,
    items: Iterable[BatchItem],
    limits: decode.SizeLimits,
    existing: ExistingFiles = ExistingFiles.KEEP,
) -> Iterator[ItemResult | None]:
    """Read each new content image; yield its result if it is invalid, else None.

    A damaged file is thus found before the batch starts, and not hours later. Results that may be
    complete are left to :func:`run_batch`.
    """
    for item in items:
        try:
            spec = batch.job_spec(item)
            if is_to_run(spec, existing):
                decode.read_image(item.content, limits)
            elif existing is ExistingFiles.KEEP:
                raise ImageError(_exists(existing_file(spec, existing) or item.result))
        except (ImpastoError, MemoryError) as error:
            yield ItemResult(item, failure=_failure_reason(item, error))
        else:
            yield None


def _has_recipe(image: Path) -> bool:
    """Return whether a file contains a recipe of impasto."""
    try:
        read_provenance(image)
    except ImpastoError:
        return False
    return True


def is_done(item: BatchItem, recipe: Recipe, read: Inputs) -> bool:
    """Return whether the result exists, with the same inputs and recipe."""
    try:
        before = read_provenance(item.result)
    except ImpastoError:
        return False
    recipe = with_resolved_autos(recipe, before.recipe)
    now = __version__, NETWORKS[recipe.network].sha256
    same = before.recipe == recipe and before.inputs == read.sources
    return (
        same
        and before.finished
        and not before.steered
        and (before.version, before.network.get("sha256")) == now
    )


Watcher: TypeAlias = Callable[[BatchItem, PreparedJob, Iterator[Event]], Iterator[Event]]
"""(item, prepared job, events) -> the same events, which the caller observes"""


def run_batch(
    batch: BatchSpec,
    items: Iterable[BatchItem],
    stylizer: Stylizer,
    watch: Watcher,
    existing: ExistingFiles = ExistingFiles.KEEP,
) -> Iterator[ItemResult]:
    """Run the items one by one, and yield their results; a failure does not stop the others.

    If the batch is stopped, the current image is kept like that of a single run, see
    :func:`impasto.jobs.runner.write_results`.
    """
    for item in items:
        try:
            spec = batch.job_spec(item)
            if (existing_path := existing_file(spec, existing)) is not None:
                raise ImageError(_exists(existing_path))
            job = runner.prepare_job(spec, stylizer)
            if existing is ExistingFiles.SKIP_DONE and is_done(
                item, job.prepared.recipe, job.prepared.inputs
            ):
                yield ItemResult(item, skipped=True)
                continue
            events = watch(item, job, runner.run_job(job, stylizer))
            result = runner.last_result(events)
            runner.write_results(job, result)
        except (ImpastoError, OSError, MemoryError) as error:
            yield ItemResult(item, failure=_failure_reason(item, error))
        else:
            yield ItemResult(item, seconds=result.seconds["total"], evaluations=len(result.history))


def _exists(path: Path) -> str:
    return f"not painted: {files.display_path(path)} exists: use --skip-done or --overwrite"


def run_batch_on_workers(
    batch: BatchSpec,
    items: Iterable[BatchItem],
    pool: "WorkerPool",
    existing: ExistingFiles = ExistingFiles.KEEP,
) -> Iterator[ItemResult]:
    """Run the items on workers, each of which runs one at a time; yield their results in order.

    Workers read and write the files, so they need access to the same folders.
    """
    started: list[BatchItem] = []

    def arguments() -> Iterator[tuple[BatchSpec, BatchItem, ExistingFiles]]:
        for item in items:
            started.append(item)
            yield batch.absolute(), item.absolute(), existing

    for index, result in enumerate(pool.map(_run_item_on_worker, arguments())):
        yield replace(result, item=started[index])


def _run_item_on_worker(
    state: "WorkerState", arguments: tuple[BatchSpec, BatchItem, ExistingFiles]
) -> ItemResult:
    state.match_parent_backend()
    spec, item, existing = arguments
    stylizer = state.worker_cache.setdefault("stylizer", Stylizer(weights_file=spec.weights_file))
    (result,) = run_batch(spec, [item], stylizer, lambda item, job, events: events, existing)
    return result


def _failure_reason(item: BatchItem, error: Exception) -> str:
    """Return why an item failed, in one line that begins with the content image."""
    name = str(item.content)
    if isinstance(error, MemoryError):
        return f"{name}: out of memory: choose a smaller size"
    message = " ".join(str(error).split())
    return message if message.startswith(name) else f"{name}: {message}"
