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
    worker_count = parse_workers(workers)
    known = presets.available_presets(own_presets)
    inputs = InputPaths.parse(content, style, region, keep)
    given = {name: value for name, value in settings.items() if value is not None}
    common = {"size": str(sweeps.SIZE), **given}
    plan = sweeps.plan_sweep(
        vary or [], lambda **varied: presets.make_recipe(preset, known, **{**common, **varied})
    )
    # The name is reserved only if a file will be written.
    sheet = output or (Path("sheet.png") if dry_run else files.reserve_name(".", "sheet"))
    output_paths = outputs.OutputPaths(sheet, report=report)
    starts = (each.recipe.init for each in plan.variants)
    outputs.check_outputs(output_paths, (*inputs.paths(), *starts))
    stylizer = Stylizer(weights_file=weights_file)
    if dry_run:
        return _print_sweep_forecast(plan, inputs, stylizer, quiet, measure)
    for each in plan.variants:
        # Invalid inputs fail now; the result of the check is discarded.
        runner.prepare_run(sweeps.job_spec_of(each, inputs), stylizer)
    if worker_count:
        panels = _run_on_workers(plan, inputs, weights_file, worker_count, quiet)
    else:
        panels = _run_here(plan, inputs, stylizer, quiet, verbose)
    labeled = [(" ".join(plan.variants[number].options), panels[number].image) for number in panels]
    encode.write_image(sweeps.make_sheet(labeled, plan.columns), sheet)
    args = ["impasto", "stylize", *inputs.to_args(), "--preset", preset]
    args += ["--presets", str(own_presets)] if own_presets else []
    args += ["--weights", str(weights_file)] if weights_file else []
    args += recipes.to_options(common)
    commands = {number: plan.variants[number].command(args) for number in panels}
    if report is not None:
        reports = [{"command": commands[number], **panels[number].report} for number in panels]
        files.write_text(json.dumps({"results": reports}, indent=2) + "\n", report)
    if not quiet:
        print("\n".join(commands.values()))
        if report is not None:
            console.print_line(f"{report}")
    print(sheet)
    console.CONSOLE.file.flush()


def _print_sweep_forecast(
    plan: "SweepPlan", inputs: InputPaths, stylizer: "Stylizer", quiet: bool, measure: bool
) -> None:
    """Print the forecast of each image of a sheet and of all together; write no file."""
    from impasto.cli import console
    from impasto.jobs import runner
    from impasto.jobs import sweep as sweeps
    from impasto.pipeline import forecast
    from impasto.pipeline.progress import format_duration

    forecasts: dict[int, tuple[Recipe, forecast.Forecast]] = {}
    measured: set[object] = set()
    with console.logged_lines(quiet):
        for number in sweeps.group_by_network(plan.variants):
            variant = plan.variants[number]
            prepared = runner.prepare_run(sweeps.job_spec_of(variant, inputs), stylizer)
            measured_key = variant.recipe.compile_key, variant.recipe.optimizer
            again = measure and measured_key not in measured
            measured.add(measured_key)
            forecasts[number] = variant.recipe, one.make_forecast(prepared, stylizer, quiet, again)
    for number, variant in enumerate(plan.variants):
        seconds = format_duration(forecasts[number][1].levels_seconds)
        print(f"{' '.join(variant.options)}: about {seconds}")
    total = forecast.combine_forecasts(list(forecasts.values()))
    seconds, start = (
        format_duration(total.start + total.levels_seconds),
        format_duration(total.start),
    )
    print(f"all {pluralize(len(forecasts), 'image')}: about {seconds}, including {start} to start")
    print(total.memory_line())


def _run_here(
    plan: "SweepPlan", inputs: InputPaths, stylizer: "Stylizer", quiet: bool, verbose: bool
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

        panels = sweeps.run_sweep(plan.variants, inputs, stylizer, watch)
    if not panels:
        raise KeyboardInterrupt
    return panels


def _run_on_workers(
    plan: "SweepPlan",
    inputs: InputPaths,
    weights_file: Path | None,
    workers: int | str,
    quiet: bool,
) -> "dict[int, SheetPanel]":
    """Paint the variants on workers until Ctrl-C; return the images by number."""
    from impasto.cli import console
    from impasto.cluster.pool import connect
    from impasto.jobs import sweep as sweeps

    panels: dict[int, SheetPanel] = {}
    with (
        console.logged_lines(quiet),
        connect(workers) as pool,
        console.finish_on_interrupt() as interrupts,
    ):
        variants = itertools.takewhile(lambda _: not interrupts.stopped, plan.variants)
        results = sweeps.run_sweep_on_workers(variants, inputs, weights_file, pool)
        for number, panel in enumerate(interrupts.iterate(results)):
            if not quiet:
                console.print_line(" ".join(plan.variants[number].options))
            panels[number] = panel
    if not panels:
        raise KeyboardInterrupt
    return panels


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
    worker_count = parse_workers(workers)
    stylizer, _ = one.make_stylizer(preset, own_presets, recipe, weights_file, settings)
    input_paths = InputPaths.parse("", style, region, keep)
    inputs.check_style_counts(stylizer.recipe, len(input_paths.styles), len(input_paths.regions))
    for path in input_paths.paths():
        decode.read_image(
            path, decode.ANY_SIZE
        )  # a style image or mask that cannot be used fails now
    spec = batches.BatchSpec(stylizer.recipe, input_paths, extras, saving, weights_file)
    existing = (
        ExistingFiles.OVERWRITE
        if overwrite
        else ExistingFiles.SKIP_DONE
        if skip_done
        else ExistingFiles.KEEP
    )
    with console.logged_lines(quiet):
        items = batches.plan_batch(contents, output, ending, recursive)
    if dry_run:
        new = [job for job in map(spec.job_spec, items) if batches.is_to_run(job, existing)]
        if not new:
            raise SettingError("nothing to do: all results exist")
        return one.print_forecast(new[0], stylizer, quiet, len(new), measure)
    with console.logged_lines(quiet):
        batches.prepare_folders(spec, items)
        paintable, failures = _check_contents(spec, items, stylizer.recipe, existing, quiet)
    if worker_count and paintable:
        failures += _run_batch_on_workers(spec, paintable, worker_count, quiet, existing)
    elif paintable:
        failures += _run_batch_here(spec, paintable, stylizer, quiet, verbose, existing)
    _exit_with_failures(failures, len(items))


def _check_contents(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    recipe: Recipe,
    existing: "ExistingFiles",
    quiet: bool,
) -> "tuple[list[BatchItem], list[str]]":
    """Open the content images; return the valid items, and the errors of the others."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import inputs, memory

    if len(items) > 1 and not quiet:
        console.print_line(f"checking {len(items)} images")
    limits = inputs.content_limits(recipe, memory.memory_limit(spec.output_options.memory))
    results = list(batches.check_items(spec, items, limits, existing))
    valid = [item for item, result in zip(items, results, strict=True) if result is None]
    failures = [result.failure for result in results if result is not None]
    if valid:  # otherwise they are listed once, at the end
        _print_failures(failures)
    return valid, failures


def _run_batch_here(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    stylizer: "Stylizer",
    quiet: bool,
    verbose: bool,
    existing: "ExistingFiles",
) -> list[str]:
    """Run the items until Ctrl-C, print the paths of the results, and return the errors."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import forecast

    failures: list[str] = []
    with (
        console.logged_lines(quiet),
        console.terminal_bar(quiet, len(items), verbose) as bar,
        console.stop_on_interrupt(stylizer) as interrupts,
    ):

        def watch(
            item: "BatchItem", job: "PreparedJob", events: "Iterator[Event]"
        ) -> "Iterator[Event]":
            if bar is not None:
                prepared = job.prepared
                bar.begin(item.content.name, prepared.levels, forecast.expected_seconds(prepared))
            return console.show_events(interrupts.iterate(console.load_with_notice(events)), bar)

        for result in batches.run_batch(spec, items, stylizer, watch, existing):
            if bar is not None:
                bar.end()
            _print_result(result, quiet)
            failures += [result.failure] if result.failure else []
            if interrupts.stopped:
                _print_failures(failures)
                raise KeyboardInterrupt
    return failures


def _run_batch_on_workers(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    workers: int | str,
    quiet: bool,
    existing: "ExistingFiles",
) -> list[str]:
    """Run the items on workers until Ctrl-C, as :func:`_run_batch_here` does."""
    from impasto.cli import console
    from impasto.cluster.pool import connect
    from impasto.jobs import batch as batches

    failures: list[str] = []
    with (
        console.logged_lines(quiet),
        connect(workers) as pool,
        console.finish_on_interrupt() as interrupts,
    ):
        started = itertools.takewhile(lambda _: not interrupts.stopped, items)
        results = batches.run_batch_on_workers(spec, started, pool, existing)
        for result in interrupts.iterate(results):
            _print_result(result, quiet)
            failures += [result.failure] if result.failure else []
        if interrupts.stopped:
            _print_failures(failures)
            raise KeyboardInterrupt
    return failures


def _print_result(result: "ItemResult", quiet: bool) -> None:
    """Print the path of a result, or that it was skipped."""
    from impasto.cli import console

    if result.skipped and not quiet:
        console.print_line(f"skipped {result.item.result}: it exists")
    elif not result.skipped and not result.failure:
        print(result.item.result, flush=True)


def _print_failures(failures: Iterable[str]) -> None:
    from impasto.cli import console

    for failure in failures:
        console.print_line(failure)


def _exit_with_failures(failures: Sequence[str], count: int) -> None:
    """List the errors, and exit with status 1 if there are any."""
    from impasto.cli import console

    _print_failures(failures)
    if failures:
        console.print_line(f"{len(failures)} of {count} images not painted")
        sys.exit(1)
