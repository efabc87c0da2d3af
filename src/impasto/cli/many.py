"""The commands ``batch`` and ``sweep``."""

import itertools
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from impasto.cli import one
from impasto.cli.options import (
    Content,
    Contents,
    DryRun,
    Ending,
    Folder,
    FromResult,
    Keep,
    MeasureAgain,
    OptionalStyles,
    Overwrite,
    Preset,
    PresetsFile,
    Quiet,
    Recursive,
    Regions,
    Sheet,
    SkipDone,
    Styles,
    SweepReport,
    Varied,
    Verbose,
    WeightsFile,
    Workers,
    add_output_options,
    add_save_options,
    add_setting_options,
)
from impasto.errors import SettingError, pluralize
from impasto.jobs.specs import InputPaths, OutputOptions
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.images.formats.save_options import SaveOptions
    from impasto.jobs.batch import BatchItem, BatchSpec, ExistingFiles, ItemResult
    from impasto.jobs.runner import PreparedJob
    from impasto.jobs.sweep import SheetPanel, SweepPlan, Variant
    from impasto.pipeline.inputs import PreparedRun
    from impasto.pipeline.stylizer import Event, Stylizer


@add_setting_options
def sweep(
    content: Content,
    style: Styles = None,
    *,
    vary: Varied = None,
    region: Regions = None,
    keep: Keep = None,
    output: Sheet = None,
    report: SweepReport = None,
    preset: Preset = presets.DEFAULT,
    own_presets: PresetsFile = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    measure: MeasureAgain = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint small images with all combinations of some settings, and arrange them on one sheet.

    Print the command for each image.
    """
    from impasto import files
    from impasto.cli import console
    from impasto.images.formats import encode
    from impasto.jobs import outputs, runner
    from impasto.jobs import sweep as sweeps
    from impasto.pipeline.stylizer import Stylizer, parse_workers

    one.check_flags(quiet, verbose, dry_run, measure)
    hands = parse_workers(workers)
    known = presets.available_presets(own_presets)
    sources = InputPaths.parse(content, style, region, keep)
    given = {name: value for name, value in settings.items() if value is not None}
    common = {"size": str(sweeps.SIZE), **given}
    plan = sweeps.plan_sweep(
        vary or [], lambda **varied: presets.make_recipe(preset, known, **{**common, **varied})
    )
    # The name is reserved only if a file will be written.
    sheet = output or (Path("sheet.png") if dry_run else files.reserve_name(".", "sheet"))
    wanted = outputs.OutputPaths(sheet, report=report)
    starts = (each.recipe.init for each in plan.variants)
    outputs.check_outputs(wanted, (*sources.paths(), *starts))
    stylizer = Stylizer(weights_file=weights_file)
    if dry_run:
        return _print_sweep_forecast(plan, sources, stylizer, quiet, measure)
    for each in plan.variants:
        # Invalid inputs fail now; the result of the check is discarded.
        runner.prepare_run(sweeps.job_spec_of(each, sources), stylizer)
    if hands:
        painted = _run_on_workers(plan, sources, weights_file, hands, quiet)
    else:
        painted = _run_here(plan, sources, stylizer, quiet, verbose)
    shown = [(" ".join(plan.variants[number].options), painted[number].image) for number in painted]
    encode.write_image(sweeps.make_sheet(shown, plan.columns), sheet)
    words = ["impasto", "stylize", *sources.to_args(), "--preset", preset]
    words += ["--presets", str(own_presets)] if own_presets else []
    words += ["--weights", str(weights_file)] if weights_file else []
    words += recipes.to_options(common)
    commands = {number: plan.variants[number].command(words) for number in painted}
    if report is not None:
        reports = [{"command": commands[number], **painted[number].report} for number in painted]
        files.write_text(json.dumps({"pictures": reports}, indent=2) + "\n", report)
    if not quiet:
        print("\n".join(commands.values()))
        if report is not None:
            console.print_line(f"{report}")
    print(sheet)
    console.CONSOLE.file.flush()


def _print_sweep_forecast(
    plan: "SweepPlan", sources: InputPaths, stylizer: "Stylizer", quiet: bool, measure: bool
) -> None:
    """Print the forecast of each image of a sheet and of all together; write no file."""
    from impasto.cli import console
    from impasto.jobs import runner
    from impasto.jobs import sweep as sweeps
    from impasto.pipeline import forecast
    from impasto.pipeline.progress import format_duration

    made: dict[int, tuple[Recipe, forecast.Forecast]] = {}
    measured: set[object] = set()
    with console.logged_lines(quiet):
        for number in sweeps.group_by_network(plan.variants):
            variant = plan.variants[number]
            prepared = runner.prepare_run(sweeps.job_spec_of(variant, sources), stylizer)
            same = variant.recipe.compile_key, variant.recipe.optimizer
            again = measure and same not in measured
            measured.add(same)
            made[number] = variant.recipe, one.make_forecast(prepared, stylizer, quiet, again)
    for number, variant in enumerate(plan.variants):
        seconds = format_duration(made[number][1].levels_seconds)
        print(f"{' '.join(variant.options)}: about {seconds}")
    together = forecast.combine_forecasts(list(made.values()))
    seconds, start = (
        format_duration(together.start + together.levels_seconds),
        format_duration(together.start),
    )
    print(f"all {pluralize(len(made), 'image')}: about {seconds}, including {start} to start")
    print(together.memory_line())


def _run_here(
    plan: "SweepPlan", sources: InputPaths, stylizer: "Stylizer", quiet: bool, verbose: bool
) -> "dict[int, SheetPanel]":
    """Paint the variants until Ctrl-C; return at least one image, by number."""
    from impasto.cli import console
    from impasto.jobs import sweep as sweeps
    from impasto.pipeline import forecast

    with (
        console.logged_lines(quiet),
        console.terminal_bar(quiet, len(plan.variants), verbose) as bar,
        console.stop_on_interrupt(stylizer) as interrupts,
    ):

        def watch(
            variant: "Variant", prepared: "PreparedRun", events: "Iterator[Event]"
        ) -> "Iterator[Event]":
            if bar is not None:
                console.print_line(" ".join(variant.options))
                name = " ".join(variant.options)
                bar.begin(name, prepared.levels, forecast.expected_seconds(prepared))
            yield from console.show_events(
                interrupts.iterate(console.load_with_notice(events)), bar
            )
            if bar is not None:
                bar.end()

        painted = sweeps.run_sweep(plan.variants, sources, stylizer, watch)
    if not painted:
        raise KeyboardInterrupt
    return painted


def _run_on_workers(
    plan: "SweepPlan",
    sources: InputPaths,
    weights_file: Path | None,
    workers: int | str,
    quiet: bool,
) -> "dict[int, SheetPanel]":
    """Paint the variants on workers until Ctrl-C; return the images by number."""
    from impasto.cli import console
    from impasto.cluster.pool import connect
    from impasto.jobs import sweep as sweeps

    painted: dict[int, SheetPanel] = {}
    with (
        console.logged_lines(quiet),
        connect(workers) as pool,
        console.finish_on_interrupt() as interrupts,
    ):
        begun = itertools.takewhile(lambda _: not interrupts.stopped, plan.variants)
        found = sweeps.run_sweep_on_workers(begun, sources, weights_file, pool)
        for number, panel in enumerate(interrupts.iterate(found)):
            if not quiet:
                console.print_line(" ".join(plan.variants[number].options))
            painted[number] = panel
    if not painted:
        raise KeyboardInterrupt
    return painted


@add_setting_options
@add_output_options
@add_save_options
def batch(
    contents: Contents,
    *,
    style: OptionalStyles = None,
    region: Regions = None,
    keep: Keep = None,
    output: Folder = Path("painted"),
    ending: Ending = ".png",
    recursive: Recursive = False,
    skip_done: SkipDone = False,
    overwrite: Overwrite = False,
    preset: Preset = presets.DEFAULT,
    own_presets: PresetsFile = None,
    recipe: FromResult = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    measure: MeasureAgain = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    saving: "SaveOptions",
    extras: OutputOptions,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint many content images with the same settings.

    An image that fails does not stop the others; errors are listed at the end, with exit status 1.
    No file is overwritten without --overwrite or --skip-done. In paths of additional outputs,
    {name} stands for the name of each image. If the file of --resume exists, that image resumes
    from it; the others start from the beginning.
    """
    from impasto.cli import console
    from impasto.images.formats import decode
    from impasto.jobs import batch as batches
    from impasto.jobs.batch import ExistingFiles
    from impasto.pipeline import inputs
    from impasto.pipeline.stylizer import parse_workers

    one.check_flags(quiet, verbose, dry_run, measure)
    if skip_done and overwrite:
        raise SettingError(
            "--skip-done and --overwrite contradict each other: give only one of them"
        )
    hands = parse_workers(workers)
    stylizer, _ = one.make_stylizer(preset, own_presets, recipe, weights_file, settings)
    sources = InputPaths.parse("", style, region, keep)
    inputs.check_style_counts(stylizer.recipe, len(sources.styles), len(sources.regions))
    for path in sources.paths():
        decode.read_image(
            path, decode.ANY_SIZE
        )  # a style image or mask that cannot be used fails now
    job = batches.BatchSpec(stylizer.recipe, sources, extras, saving, weights_file)
    existing = (
        ExistingFiles.OVERWRITE
        if overwrite
        else ExistingFiles.SKIP_DONE
        if skip_done
        else ExistingFiles.KEEP
    )
    with console.logged_lines(quiet):
        tasks = batches.plan_batch(contents, output, ending, recursive)
    if dry_run:
        new = [order for order in map(job.job_spec, tasks) if batches.is_to_run(order, existing)]
        if not new:
            raise SettingError("nothing to do: all results exist")
        return one.print_forecast(new[0], stylizer, quiet, len(new), measure)
    with console.logged_lines(quiet):
        batches.prepare_folders(job, tasks)
        paintable, failures = _check_contents(job, tasks, stylizer.recipe, existing, quiet)
    if hands and paintable:
        failures += _run_batch_on_workers(job, paintable, hands, quiet, existing)
    elif paintable:
        failures += _run_batch_here(job, paintable, stylizer, quiet, verbose, existing)
    _exit_with_failures(failures, len(tasks))


def _check_contents(
    job: "BatchSpec",
    tasks: "Sequence[BatchItem]",
    recipe: Recipe,
    existing: "ExistingFiles",
    quiet: bool,
) -> "tuple[list[BatchItem], list[str]]":
    """Open the content images; return the valid tasks, and the errors of the others."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import inputs, memory

    if len(tasks) > 1 and not quiet:
        console.print_line(f"checking {len(tasks)} images")
    limits = inputs.content_limits(recipe, memory.memory_limit(job.output_options.memory))
    found = list(batches.check_items(job, tasks, limits, existing))
    fit = [task for task, ended in zip(tasks, found, strict=True) if ended is None]
    failures = [ended.failure for ended in found if ended is not None]
    if fit:  # otherwise they are listed once, at the end
        _print_failures(failures)
    return fit, failures


def _run_batch_here(
    job: "BatchSpec",
    tasks: "Sequence[BatchItem]",
    stylizer: "Stylizer",
    quiet: bool,
    verbose: bool,
    existing: "ExistingFiles",
) -> list[str]:
    """Run tasks until Ctrl-C, print the paths of the results, and return the errors."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import forecast

    failures: list[str] = []
    with (
        console.logged_lines(quiet),
        console.terminal_bar(quiet, len(tasks), verbose) as bar,
        console.stop_on_interrupt(stylizer) as interrupts,
    ):

        def watch(
            task: "BatchItem", ready: "PreparedJob", events: "Iterator[Event]"
        ) -> "Iterator[Event]":
            if bar is not None:
                prepared = ready.prepared
                bar.begin(task.content.name, prepared.levels, forecast.expected_seconds(prepared))
            return console.show_events(interrupts.iterate(console.load_with_notice(events)), bar)

        for ended in batches.run_batch(job, tasks, stylizer, watch, existing):
            if bar is not None:
                bar.end()
            _print_result(ended, quiet)
            failures += [ended.failure] if ended.failure else []
            if interrupts.stopped:
                _print_failures(failures)
                raise KeyboardInterrupt
    return failures


def _run_batch_on_workers(
    job: "BatchSpec",
    tasks: "Sequence[BatchItem]",
    workers: int | str,
    quiet: bool,
    existing: "ExistingFiles",
) -> list[str]:
    """Run tasks on workers until Ctrl-C, as :func:`_run_batch_here` does."""
    from impasto.cli import console
    from impasto.cluster.pool import connect
    from impasto.jobs import batch as batches

    failures: list[str] = []
    with (
        console.logged_lines(quiet),
        connect(workers) as pool,
        console.finish_on_interrupt() as interrupts,
    ):
        begun = itertools.takewhile(lambda _: not interrupts.stopped, tasks)
        for ended in interrupts.iterate(batches.run_batch_on_workers(job, begun, pool, existing)):
            _print_result(ended, quiet)
            failures += [ended.failure] if ended.failure else []
        if interrupts.stopped:
            _print_failures(failures)
            raise KeyboardInterrupt
    return failures


def _print_result(ended: "ItemResult", quiet: bool) -> None:
    """Print the path of a result, or that it was skipped."""
    from impasto.cli import console

    if ended.skipped and not quiet:
        console.print_line(f"skipped {ended.item.result}: it exists")
    elif not ended.skipped and not ended.failure:
        print(ended.item.result, flush=True)


def _print_failures(failures: Iterable[str]) -> None:
    from impasto.cli import console

    for failure in failures:
        console.print_line(failure)


def _exit_with_failures(failures: Sequence[str], tasks: int) -> None:
    """List the errors, and exit with status 1 if there are any."""
    from impasto.cli import console

    _print_failures(failures)
    if failures:
        console.print_line(f"{len(failures)} of {tasks} images not painted")
        sys.exit(1)
