"""The commands that paint many pictures."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import one
from impasto.cli.options import (
    Content,
    DryRun,
    Ending,
    Folder,
    FromPicture,
    Keep,
    OptionalStyles,
    Photographs,
    Preset,
    Presets,
    Quiet,
    Regions,
    Sheet,
    SkipDone,
    Styles,
    Varied,
    WeightsFile,
    Workers,
    with_extras,
    with_saving,
    with_settings,
)
from impasto.recipe import settings as recipes
from impasto.workshop.orders import Extras, Order, Sources

if TYPE_CHECKING:
    from impasto.painting.stylizer import Event, Stylizer
    from impasto.pictures.raster import Picture
    from impasto.pictures.saving import Saving
    from impasto.workshop.batch import Ended, Job, Task
    from impasto.workshop.sweep import Plan, Variant
    from impasto.workshop.worker import Ready


@with_settings
def sweep(
    content: Content,
    style: Styles = None,
    *,
    vary: Varied = None,
    region: Regions = None,
    keep: Keep = None,
    output: Sheet = Path("sheet.png"),
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint all combinations of some settings, small, and lay them out on one sheet.

    Prints the command for each.
    """
    from impasto.cli import console
    from impasto.painting.stylizer import Stylizer, as_workers
    from impasto.pictures import encode
    from impasto.recipe import presets
    from impasto.workshop import outputs, worker
    from impasto.workshop import sweep as sweeps

    known = presets.available(own_presets)
    sources = Sources.parse(content, style, region, keep)
    given = {name: value for name, value in settings.items() if value is not None}
    common = {"size": str(sweeps.SIZE), **given}
    plan = sweeps.plan(
        vary or [], lambda **varied: recipes.make(preset, known, **{**common, **varied})
    )
    wanted = outputs.Outputs(output)
    starts = (each.recipe.init for each in plan.variants)
    outputs.check(wanted, (*sources.paths(), *starts))
    stylizer = Stylizer(weights_file=weights_file)
    for each in plan.variants:
        # Refuses now what cannot be painted, and keeps nothing.
        worker.read(Order(sources, wanted, recipe=each.recipe), stylizer)
    if hands := as_workers(workers):
        painted = _shared_out(plan, sources, weights_file, hands)
    else:
        painted = _painted(plan, sources, stylizer)
    shown = [(" ".join(plan.variants[number].options), painted[number]) for number in painted]
    encode.write(sweeps.sheet(shown, plan.columns), output)
    words = ["impasto", "stylize", *sources.words(), "--preset", preset]
    words += ["--presets", str(own_presets)] if own_presets else []
    words += ["--weights", str(weights_file)] if weights_file else []
    for number in painted:
        print(plan.variants[number].command([*words, *recipes.as_options(common)]))
    print(output)
    console.CONSOLE.file.flush()


def _painted(plan: "Plan", sources: Sources, stylizer: "Stylizer") -> "dict[int, Picture]":
    """Paint the variants until Ctrl-C; return the pictures by number, one at least."""
    from impasto.cli import console
    from impasto.workshop import sweep as sweeps

    with console.listening(), console.stopping(stylizer) as interrupts:

        def watch(variant: "Variant", events: "Iterator[Event]") -> "Iterator[Event]":
            console.say(" ".join(variant.options))
            return interrupts.pulled(console.loaded(events))

        painted = sweeps.paint_all(plan.variants, sources, stylizer, watch)
    if not painted:
        raise KeyboardInterrupt
    return painted


def _shared_out(
    plan: "Plan", sources: Sources, weights_file: Path | None, workers: int | str
) -> "dict[int, Picture]":
    """Have workers paint the variants until Ctrl-C; return the pictures by number."""
    from impasto.cli import console
    from impasto.cluster.crew import hire
    from impasto.workshop import sweep as sweeps

    painted: dict[int, Picture] = {}
    with (
        console.listening(),
        hire(workers) as crew,
        console.finishing() as interrupts,
    ):
        begun = itertools.takewhile(lambda _: not interrupts.stopped, plan.variants)
        found = sweeps.share_out(begun, sources, weights_file, crew)
        for number, picture in enumerate(interrupts.pulled(found)):
            console.say(" ".join(plan.variants[number].options))
            painted[number] = picture
    if not painted:
        raise KeyboardInterrupt
    return painted


@with_settings
@with_extras
@with_saving
def batch(
    photographs: Photographs,
    *,
    style: OptionalStyles = None,
    region: Regions = None,
    keep: Keep = None,
    output: Folder = Path("painted"),
    ending: Ending = ".png",
    skip_done: SkipDone = False,
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    recipe: FromPicture = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    saving: "Saving",
    extras: Extras,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint many photographs alike; those that fail are listed at the end, with exit status 1.

    In options that name a file beside the picture {name} stands for the name of each picture.
    Where the file of --resume is there, that picture goes on from it; the others begin anew.
    """
    from impasto.cli import console
    from impasto.painting import inputs
    from impasto.painting.stylizer import as_workers
    from impasto.pictures import decode
    from impasto.workshop import batch as batches
    from impasto.workshop import worker

    hands = as_workers(workers)
    stylizer, _ = one.stylizer_of(preset, own_presets, recipe, weights_file, settings)
    sources = Sources.parse("", style, region, keep)
    inputs.check_numbers(stylizer.recipe, len(sources.styles), len(sources.regions))
    for path in sources.paths():
        decode.read(path, decode.ANY)  # what no photograph could be painted with is refused now
    job = batches.Job(stylizer.recipe, sources, extras, saving, weights_file)
    with console.listening(quiet):
        tasks = batches.plan(photographs, output, ending)
    if dry_run:
        with console.listening(quiet):
            ready = worker.prepare(job.order(tasks[0]), stylizer)
            return one.tell(ready, stylizer, quiet, len(tasks))
    batches.make_room(job, tasks)
    if hands:
        failures = _paint_shared(job, tasks, hands, quiet, skip_done)
    else:
        failures = _paint_all(job, tasks, stylizer, quiet, skip_done)
    _finish(failures, len(tasks))


def _paint_all(
    job: "Job", tasks: "Sequence[Task]", stylizer: "Stylizer", quiet: bool, skip_done: bool
) -> list[str]:
    """Paint tasks until Ctrl-C, print the paths of the pictures, and return why others failed."""
    from impasto.cli import console
    from impasto.workshop import batch as batches

    failures: list[str] = []
    with (
        console.listening(quiet),
        console.bar(quiet, len(tasks)) as bar,
        console.stopping(stylizer) as interrupts,
    ):

        def watch(task: "Task", ready: "Ready", events: "Iterator[Event]") -> "Iterator[Event]":
            if bar is not None:
                bar.begin(task.photograph.name, ready.prepared.levels)
            return console.followed(interrupts.pulled(console.loaded(events)), bar)

        for ended in batches.paint_all(job, tasks, stylizer, watch, skip_done):
            _tell(ended, quiet)
            failures += [ended.failure] if ended.failure else []
            if interrupts.stopped:
                _list(failures)
                raise KeyboardInterrupt
    return failures


def _paint_shared(
    job: "Job", tasks: "Sequence[Task]", workers: int | str, quiet: bool, skip_done: bool
) -> list[str]:
    """Have workers paint tasks until Ctrl-C, as :func:`_paint_all` does."""
    from impasto.cli import console
    from impasto.cluster.crew import hire
    from impasto.workshop import batch as batches

    failures: list[str] = []
    with console.listening(quiet), hire(workers) as crew, console.finishing() as interrupts:
        begun = itertools.takewhile(lambda _: not interrupts.stopped, tasks)
        for ended in interrupts.pulled(batches.share_out(job, begun, crew, skip_done)):
            _tell(ended, quiet)
            failures += [ended.failure] if ended.failure else []
        if interrupts.stopped:
            _list(failures)
            raise KeyboardInterrupt
    return failures


def _tell(ended: "Ended", quiet: bool) -> None:
    """Print the path of a picture that was painted; of one that was skipped say so."""
    from impasto.cli import console

    if ended.skipped and not quiet:
        console.say(f"{ended.task.picture} is there already")
    elif not ended.skipped and not ended.failure:
        print(ended.task.picture, flush=True)


def _list(failures: Iterable[str]) -> None:
    from impasto.cli import console

    for failure in failures:
        console.say(failure)


def _finish(failures: Sequence[str], tasks: int) -> None:
    """List what failed, and leave with exit status 1 if anything did."""
    from impasto.cli import console

    _list(failures)
    if failures:
        console.say(f"{len(failures)} of {tasks} failed")
        sys.exit(1)
