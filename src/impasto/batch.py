"""Many photographs with one recipe: the network is loaded once, and a failure stops nothing."""

import importlib.metadata
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from impasto import decode, files
from impasto.errors import ImpastoError, PictureError, SettingError
from impasto.events import Listener
from impasto.inputs import Inputs, read_provenance
from impasto.recipe import Recipe
from impasto.saving import USUAL, Saving
from impasto.weights import NETWORKS


@dataclass(frozen=True)
class Task:
    """A photograph and the picture that is made of it."""

    photograph: Path
    picture: Path


@dataclass(frozen=True)
class Ended:
    """How a task ended: painted, skipped since it was there already, or why it failed."""

    task: Task
    failure: str = ""
    skipped: bool = False


def plan(named: Iterable[str], folder: Path, ending: str, others: Iterable[str] = ()) -> list[Task]:
    """Return a task for every photograph that was named, and every picture in folders named.

    Pictures have the photographs' names in ``folder``; of two photographs with one name the
    second keeps its own ending in it. Raises PictureError for a folder without pictures, and
    SettingError for a picture that would overwrite a photograph, or one of the ``others`` that
    are read.
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
    taken = {os.path.realpath(path) for path in (*map(str, photographs), *others)}
    for picture in tasks:
        if os.path.realpath(picture) in taken:
            raise SettingError(
                f"{picture} would overwrite a picture that is read: name another folder"
            )
    return list(tasks.values())


def _photographs(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]  # reading it says what is wrong with it
    found = sorted(each for each in path.iterdir() if each.suffix.lower() in decode.ENDINGS)
    if not found:
        raise PictureError(f"{files.shown(path)}: there are no pictures in this folder")
    return found


def is_done(task: Task, recipe: Recipe, read: Inputs) -> bool:
    """Return whether the picture is there, painted from the same pictures with the same recipe."""
    try:
        before = read_provenance(task.picture)
    except ImpastoError:
        return False
    if recipe.precision == "auto":
        recipe = replace(recipe, precision=before.recipe.precision)
    now = importlib.metadata.version("impasto"), NETWORKS[recipe.network].sha256
    same = before.recipe == recipe and before.inputs == read.sources
    return same and before.finished and (before.version, before.network.get("sha256")) == now


def paint_all(
    tasks: Sequence[Task],
    recipe: Recipe,
    prepare: Callable[[Path], Inputs],
    listener: Callable[[int, Inputs], Listener],
    skip_done: bool = False,
    weights_file: str | os.PathLike[str] | None = None,
    saving: Saving = USUAL,
) -> Iterator[Ended]:
    """Paint tasks one by one, and yield how each ended.

    ``prepare`` reads the pictures for a photograph; ``listener`` makes the listener for the
    picture of a number. Once a listener stops the work, its picture is not written, and it ends.
    """
    from impasto.painting import Engines, paint  # loads the tensor library

    engines = Engines(weights_file)
    for number, task in enumerate(tasks):
        try:
            read = prepare(task.photograph)
            if skip_done and is_done(task, recipe, read):
                yield Ended(task, skipped=True)
                continue
            result = paint(read, recipe, listener(number, read), engines)
            if result.stopped:
                return
            result.save(task.picture, saving)
        except (ImpastoError, OSError) as error:
            said, name = " ".join(str(error).split()), str(task.photograph)
            yield Ended(task, failure=said if said.startswith(name) else f"{name}: {said}")
        except MemoryError:
            yield Ended(task, failure=f"{task.photograph}: memory ran out, choose a smaller size")
        else:
            yield Ended(task)
