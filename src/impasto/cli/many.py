"""The commands ``batch`` and ``sweep``."""

import functools
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
    EachStyle,
    Ending,
    Folder,
    FromResult,
    Judged,
    Keep,
    MeasureAgain,
    NoSheet,
    OptionalStyles,
    Overwrite,
    Pairs,
    Preset,
    PresetsFile,
    Quiet,
    Recursive,
    Regions,
    Sheet,
    SheetFile,
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
from impasto.images.formats.save_options import SaveOptions
from impasto.jobs.specs import SWEEP_SIZE, InputPaths, OutputOptions
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.jobs.batch import BatchItem, BatchSpec, ExistingFiles, ItemResult
    from impasto.jobs.runner import PreparedJob
    from impasto.jobs.sweep import SheetPanel, SweepPlan, Variant
    from impasto.pipeline.inputs import PreparedRun
    from impasto.pipeline.stylizer import Event, Stylizer


@functools.partial(add_setting_options, size=SWEEP_SIZE)
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
    common = {"size": str(SWEEP_SIZE), **given}
    common, _ = one.resolve_size(common, SaveOptions(), inputs.content)
    plan = sweeps.plan_sweep(
        vary or [],
        lambda **varied: presets.make_recipe(
            preset,
            known,
            **one.resolve_size({**common, **varied}, SaveOptions(), inputs.content)[0],
        ),
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
    contents: Contents = None,
    *,
    style: OptionalStyles = None,
    each_style: EachStyle = False,
    pairs: Pairs = None,
    region: Regions = None,
    keep: Keep = None,
    output: Folder = Path("painted"),
    ending: Ending = ".png",
    recursive: Recursive = False,
    skip_done: SkipDone = False,
    overwrite: Overwrite = False,
    sheet: SheetFile = None,
    no_sheet: NoSheet = False,
    judged: Judged = False,
    preset: Preset = presets.DEFAULT,
    own_presets: PresetsFile = None,
    recipe: FromResult = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    measure: MeasureAgain = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    saving: SaveOptions,
    extras: OutputOptions,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint many content images, or every pair of a table, and write a contact sheet.

    An image that fails does not stop the others; errors are listed at the end, with exit status 1.
    No file is overwritten without --overwrite or --skip-done. In paths of additional outputs,
    {name} stands for the name of each image. If the file of --resume exists, that image resumes
    from it; the others start from the beginning.
    """
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline.stylizer import parse_workers

    one.check_flags(quiet, verbose, dry_run, measure)
    existing = _existing_files(skip_done, overwrite)
    _check_sources(contents, style, each_style, pairs)
    worker_count = parse_workers(workers)
    fixed, size = _fixed_size(settings)
    stylizer, _ = one.make_stylizer(preset, own_presets, recipe, weights_file, fixed)
    shared_style = [] if each_style else style
    input_paths = InputPaths.parse("", shared_style, region, keep)
    spec = batches.BatchSpec(stylizer.recipe, input_paths, extras, saving, weights_file, size)
    with console.logged_lines(quiet):
        items = (
            _plan_table(pairs, stylizer.recipe, output, ending)
            if pairs is not None
            else batches.plan_batch(
                contents or [], output, ending, recursive, (style or []) if each_style else ()
            )
        )
    _check_styles(spec, items)
    if dry_run:
        return _print_batch_forecast(spec, items, stylizer, existing, quiet, measure)
    sheet_path = None if no_sheet else sheet or output / contact_sheet_name()
    _check_sheet(sheet_path, overwrite, judged, output)
    with console.logged_lines(quiet):
        batches.prepare_folders(spec, items)
        paintable, results = _check_contents(spec, items, stylizer.recipe, existing, quiet)
    try:
        if worker_count and paintable:
            _run_batch_on_workers(spec, paintable, worker_count, quiet, existing, results)
        elif paintable:
            _run_batch_here(spec, paintable, stylizer, quiet, verbose, existing, results)
    finally:  # also after an interruption
        _write_sheet(sheet_path, spec, items, results, judged, quiet)
    _exit_with_failures([each.failure for each in results if each.failure], len(items))


def contact_sheet_name() -> str:
    """Return the default name of the contact sheet."""
    from impasto.jobs import contact_sheet

    return contact_sheet.NAME


def _existing_files(skip_done: bool, overwrite: bool) -> "ExistingFiles":
    from impasto.jobs.batch import ExistingFiles

    if skip_done and overwrite:
        raise SettingError(
            "--skip-done and --overwrite contradict each other: give only one of them"
        )
    if overwrite:
        return ExistingFiles.OVERWRITE
    return ExistingFiles.SKIP_DONE if skip_done else ExistingFiles.KEEP


def _check_sources(
    contents: list[Path] | None, style: list[str] | None, each_style: bool, pairs: Path | None
) -> None:
    """Raise SettingError unless there are content images, or a table that has all images."""
    if pairs is not None and (contents or style):
        raise SettingError("--pairs has all content and style images: omit the others")
    if pairs is None and not contents:
        raise SettingError("no content images: give files or folders, or a table with --pairs")
    for each in contents or ():
        if each.suffix.lower() == ".csv":
            raise SettingError(f"{each} is a table, not an image: give it as --pairs {each}")
    if each_style and not style:
        raise SettingError("--each-style needs style images: give them with --style")


def _fixed_size(
    settings: dict[str, recipes.Value],
) -> tuple[dict[str, recipes.Value], str | None]:
    """Return settings, and the size as text if it depends on each content image."""
    from impasto.jobs import sizes

    text = settings["size"]
    if text is None:
        return settings, None
    if "%" in text or "@" in text:
        sizes.resolve_size(text, lambda: (1, 1))  # fails now for an unknown page
        return {**settings, "size": None}, text
    return {**settings, "size": sizes.resolve_size(text, lambda: (1, 1)).size}, None


def _plan_table(path: Path, recipe: Recipe, output: Path, ending: str) -> "list[BatchItem]":
    """Return the items of a table, whose settings are checked with its lines."""
    from impasto.jobs import batch as batches
    from impasto.jobs import tables

    rows = tables.read_table(path)
    for row in rows:
        given = {name: value for name, value in row.settings if name != "size"}
        try:
            recipes.change_recipe(recipe, **given)
        except SettingError as error:
            raise SettingError(f"{path}, line {row.line}: {error}") from None
    return batches.plan_table(rows, output, ending)


def _check_styles(spec: "BatchSpec", items: "Sequence[BatchItem]") -> None:
    """Raise an error for style images or masks that cannot be used, before the batch starts."""
    from impasto.images.formats import decode
    from impasto.pipeline import inputs

    shared = spec.inputs.styles
    counts = {len(shared if item.styles is None else item.styles) for item in items}
    for count in sorted(counts):
        inputs.check_style_counts(spec.recipe, count, len(spec.inputs.regions))
    own = (path for item in items for path in item.styles or ())
    for path in dict.fromkeys((*spec.inputs.paths(), *own)):
        decode.read_image(path, decode.ANY_SIZE)


def _print_batch_forecast(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    stylizer: "Stylizer",
    existing: "ExistingFiles",
    quiet: bool,
    measure: bool,
) -> None:
    """Print the forecast of the first image that is not painted yet, times their number."""
    from impasto.jobs import batch as batches

    new = [job for job in map(spec.job_spec, items) if batches.is_to_run(job, existing)]
    if not new:
        raise SettingError("nothing to do: all results exist")
    one.print_forecast(new[0], stylizer, quiet, len(new), measure)


def _check_sheet(sheet: Path | None, overwrite: bool, judged: bool, folder: Path) -> None:
    """Raise an error if the sheet cannot be written, or the judges' weights are missing."""
    from impasto.jobs import contact_sheet

    if judged and sheet is None:
        raise SettingError("--judge writes to the contact sheet: omit --no-sheet")
    if sheet is not None:
        if sheet.parent == folder:
            folder.mkdir(parents=True, exist_ok=True)
        contact_sheet.check_sheet(sheet, overwrite)
    if judged:
        from impasto.evaluation import weight_packages

        weight_packages.check_packages()


def _write_sheet(
    path: Path | None,
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    results: "Sequence[ItemResult]",
    judged: bool,
    quiet: bool,
) -> None:
    """Write the contact sheet of the results so far, in the order of the items."""
    from impasto.cli import console
    from impasto.jobs import contact_sheet

    if path is None or all(each.failure for each in results):
        return
    by_item = {each.item: each for each in results}
    entries = [
        contact_sheet.SheetEntry(by_item[item], contact_sheet.styles_of(spec, item))
        for item in items
        if item in by_item
    ]
    if judged:
        from impasto.cli.judge import judge_entries

        if not quiet:
            console.print_line(f"judging {pluralize(len(entries), 'image')}")
        entries = judge_entries(entries)
    contact_sheet.write_sheet(path, entries)
    if not quiet:
        console.print_line(f"contact sheet: {path}")


def _check_contents(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    recipe: Recipe,
    existing: "ExistingFiles",
    quiet: bool,
) -> "tuple[list[BatchItem], list[ItemResult]]":
    """Open the content images; return the valid items, and the results of the others."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import inputs, memory

    if len(items) > 1 and not quiet:
        console.print_line(f"checking {len(items)} images")
    limits = inputs.content_limits(recipe, memory.memory_limit(spec.output_options.memory))
    checked = list(batches.check_items(spec, items, limits, existing))
    valid = [item for item, result in zip(items, checked, strict=True) if result is None]
    failed = [result for result in checked if result is not None]
    if valid:  # otherwise they are listed once, at the end
        _print_failures(result.failure for result in failed)
    return valid, failed


def _run_batch_here(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    stylizer: "Stylizer",
    quiet: bool,
    verbose: bool,
    existing: "ExistingFiles",
    results: "list[ItemResult]",
) -> None:
    """Run the items until Ctrl-C, print the paths of the results, and append to ``results``."""
    from impasto.cli import console
    from impasto.jobs import batch as batches
    from impasto.pipeline import forecast

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
            results.append(result)
            if interrupts.stopped:
                _print_failures(each.failure for each in results if each.failure)
                raise KeyboardInterrupt


def _run_batch_on_workers(
    spec: "BatchSpec",
    items: "Sequence[BatchItem]",
    workers: int | str,
    quiet: bool,
    existing: "ExistingFiles",
    results: "list[ItemResult]",
) -> None:
    """Run the items on workers until Ctrl-C, as :func:`_run_batch_here` does."""
    from impasto.cli import console
    from impasto.cluster.pool import connect
    from impasto.jobs import batch as batches

    with (
        console.logged_lines(quiet),
        connect(workers) as pool,
        console.finish_on_interrupt() as interrupts,
    ):
        started = itertools.takewhile(lambda _: not interrupts.stopped, items)
        for result in interrupts.iterate(
            batches.run_batch_on_workers(spec, started, pool, existing)
        ):
            _print_result(result, quiet)
            results.append(result)
        if interrupts.stopped:
            _print_failures(each.failure for each in results if each.failure)
            raise KeyboardInterrupt


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
