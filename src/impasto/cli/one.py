"""The commands ``stylize`` and ``demo``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.cli import pipes
from impasto.cli.options import (
    Content,
    DryRun,
    Finish,
    FromResult,
    Keep,
    MeasureAgain,
    Preset,
    PresetsFile,
    Quiet,
    Regions,
    Styles,
    Verbose,
    WeightsFile,
    Workers,
    add_output_options,
    add_save_options,
    add_setting_options,
)
from impasto.errors import SettingError
from impasto.jobs.specs import InputPaths, JobSpec, OutputOptions
from impasto.recipe import presets
from impasto.recipe import settings as recipes

if TYPE_CHECKING:
    from impasto.images.formats.save_options import SaveOptions
    from impasto.jobs.runner import PreparedJob
    from impasto.pipeline.forecast import Forecast
    from impasto.pipeline.inputs import PreparedRun
    from impasto.pipeline.provenance import Provenance
    from impasto.pipeline.stylizer import Stylizer

DEMO = ("coffee", "swirls")
"""The content and style samples of ``impasto demo``."""


@add_setting_options
@add_output_options
@add_save_options
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
            help="Result to write; the extension selects the format, and - writes a PNG to "
            "standard output. By default the name is derived from the inputs, and no file is "
            "overwritten.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    preset: Preset = presets.DEFAULT,
    own_presets: PresetsFile = None,
    recipe: FromResult = None,
    finish: Finish = None,
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
    """Paint the content image CONTENT in the style of STYLE."""
    from dataclasses import replace

    from impasto import files
    from impasto.jobs import outputs
    from impasto.pipeline import checkpoints

    check_flags(quiet, verbose, dry_run, measure)
    if extras.resume is not None and recipe is not None:
        raise SettingError("--resume and --recipe both give settings: use only one of them")
    if finish is not None:
        settings = finish_settings(finish, recipe, settings)
    with pipes.piped_paths(InputPaths.parse(content, style, region, keep), output) as (
        inputs,
        output_path,
    ):
        settings, saving = resolve_size(settings, saving, inputs.content)
        stylizer, before = make_stylizer(
            preset, own_presets, finish or recipe, weights_file, settings, workers
        )
        result = output_path.expanduser() if output_path else files.reserve_name(".", inputs.stem())
        spec = replace(extras.job_spec(inputs, result, saving), provenance=before)
        checkpoints.checkpoint_path(extras.checkpoint, extras.resume)
        outputs.check_outputs(
            spec.outputs, (*inputs.paths(), stylizer.recipe.init, *extras.read_paths())
        )
        spec = replace(spec, weights_file=weights_file)
        try:
            if dry_run:
                print_forecast(spec, stylizer, quiet, measure=measure)
            else:
                run_and_write(
                    spec, stylizer, quiet, verbose, to_stdout=pipes.is_standard_stream(output)
                )
        finally:
            stylizer.close_workers()


def check_flags(quiet: bool, verbose: bool, dry_run: bool, measure: bool) -> None:
    """Raise SettingError for contradictory options."""
    if quiet and verbose:
        raise SettingError("--quiet and --verbose contradict each other: give only one of them")
    if measure and not dry_run:
        raise SettingError("--measure needs --dry-run: give both")


def resolve_size(
    settings: dict[str, recipes.Value], saving: "SaveOptions", content: str
) -> "tuple[dict[str, recipes.Value], SaveOptions]":
    """Return settings with a size such as 50% or A4@300 as a number, and its print resolution."""
    from dataclasses import replace

    from impasto.jobs import sizes

    if settings["size"] is None:
        return settings, saving
    size = sizes.resolve_size(settings["size"], lambda: sizes.size_of_file(content))
    return {**settings, "size": size.size}, replace(saving, dpi=saving.dpi or size.dpi)


def finish_settings(
    result: Path, recipe: Path | None, settings: dict[str, recipes.Value]
) -> dict[str, recipes.Value]:
    """Return the settings for ``--finish``: the recipe of the result, and what must change."""
    from impasto.pipeline import provenance

    if recipe is not None:
        raise SettingError("--finish uses the recipe of its image: omit --recipe")
    if settings["init"] is not None:
        raise SettingError("--finish starts from its image: omit --init")
    if settings["size"] is None:
        raise SettingError("--finish needs a larger --size: give one")
    larger = provenance.finish_settings(result)
    return {**settings, **{name: settings[name] or value for name, value in larger.items()}}


def make_stylizer(
    preset: str,
    own_presets: Path | None,
    result: Path | None,
    weights_file: Path | None,
    settings: dict[str, recipes.Value],
    workers: str | None = None,
) -> "tuple[Stylizer, Provenance | None]":
    """Return a stylizer for a preset or the recipe of a result, and the result's provenance."""
    from impasto.jobs import sizes
    from impasto.pipeline import provenance
    from impasto.pipeline.stylizer import Stylizer

    if settings["size"] is not None:  # such as 2k; others are resolved with the content image
        size = sizes.resolve_size(settings["size"], _no_content_size)
        settings = {**settings, "size": size.size}
    if result is None:
        named = presets.preset_settings(preset, presets.available_presets(own_presets), **settings)
        return Stylizer(weights_file=weights_file, workers=workers, **named), None
    if preset != presets.DEFAULT:
        raise SettingError("--recipe and --preset both give settings: use only one of them")
    before = provenance.read_provenance(result)
    if settings["init"] is None and before.recipe.init not in recipes.STARTS:
        # An image must not make impasto read a file that the user did not name.
        raise SettingError(f"{result} had an image file as its initial image: give one with --init")
    changed = recipes.change_recipe(before.recipe, **settings)
    return Stylizer(changed, weights_file=weights_file, workers=workers), before


def _no_content_size() -> tuple[int, int]:
    raise SettingError("--size depends on a content image here: give pixels, such as 1280 or 2k")


def run_and_write(
    spec: JobSpec,
    stylizer: "Stylizer",
    quiet: bool,
    verbose: bool = False,
    to_stdout: bool = False,
) -> None:
    """Run, write all outputs, and print the path of the result.

    With ``to_stdout``, write the result itself to standard output.
    """
    from impasto.cli import console
    from impasto.jobs import runner
    from impasto.pipeline import forecast

    with console.logged_lines(quiet):
        job = runner.prepare_job(spec, stylizer)
        with console.terminal_bar(quiet, losses=verbose) as bar:
            if bar is not None:
                warn_if_long(job, stylizer)
                bar.begin("", job.prepared.levels, forecast.expected_seconds(job.prepared))
            result = runner.last_result(console.run_with_progress(job, stylizer, bar))
        runner.write_results(job, result)
        if not stylizer.workers:
            from impasto.pipeline import calibration  # loads the tensor library

            calibration.store_run_speed(job.prepared, result)
        if not quiet:
            console.print_summary(result, spec.outputs)
    pipes.write_out(spec.outputs.result) if to_stdout else print(spec.outputs.result)


def warn_if_long(job: "PreparedJob", stylizer: "Stylizer") -> None:
    """Print the expected time of a long run."""
    from impasto.cli import console
    from impasto.pipeline.progress import total_pixels

    if total_pixels(job.prepared.levels) > LONG_RUN_PIXELS:
        forecast = stylizer.forecast(job.prepared, job.video_bytes)
        console.print_line(forecast.time_line())


LONG_RUN_PIXELS = 6e6
"""Number of evaluated pixels, about a minute on two cores, above which the time is printed."""


def print_forecast(
    spec: JobSpec, stylizer: "Stylizer", quiet: bool, count: int = 1, measure: bool = False
) -> None:
    """Print the recipe and the forecast for ``count`` such images; write no file."""
    from impasto.cli import console
    from impasto.jobs import runner

    with console.logged_lines(quiet):
        job = runner.prepare_job(spec, stylizer)
        forecast = make_forecast(job.prepared, stylizer, quiet, measure, job.video_bytes)
    print("\n".join(forecast.lines(job.prepared.recipe, count)))


def make_forecast(
    prepared: "PreparedRun",
    stylizer: "Stylizer",
    quiet: bool,
    measure: bool,
    video_bytes: float = 0.0,
) -> "Forecast":
    """Return the forecast of a run; print a line before measuring this machine."""
    from impasto.cli import console
    from impasto.pipeline import forecast

    if not quiet and (measure or forecast.known_measurement(prepared) is None):
        console.print_line("measuring this machine")
    return stylizer.forecast(prepared, video_bytes, measure)


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for the images.")] = Path("demo"),
    size: Annotated[
        str | None, typer.Option(help="Longest side of the result in px.", metavar="SIZE")
    ] = None,
    evaluations: Annotated[
        str | None, typer.Option(help="Evaluations at the finest level.", metavar="N")
    ] = None,
    engine: Annotated[
        str | None, typer.Option(help="Engine: native or keras.", metavar="NAME")
    ] = None,
) -> None:
    """Paint a sample image and print the path of the result."""
    from impasto.images import samples
    from impasto.images.formats import encode
    from impasto.jobs import outputs, sizes
    from impasto.pipeline.stylizer import Stylizer

    content_image = samples.load_content(DEMO[0])
    pixels = sizes.resolve_size(size, lambda: content_image.shape[:2]).size if size else None
    stylizer = Stylizer(presets.make_recipe(size=pixels, evaluations=evaluations, engine=engine))
    folder.mkdir(parents=True, exist_ok=True)
    output_paths = outputs.OutputPaths(folder / "demo.png", report=folder / "demo.json")
    outputs.check_outputs(output_paths)
    content, style = folder / f"{DEMO[0]}.png", folder / f"{DEMO[1]}.png"
    encode.write_image(content_image, content)
    encode.write_image(samples.make_style(DEMO[1]), style)
    spec = JobSpec(InputPaths(str(content), [str(style)]), output_paths)
    run_and_write(spec, stylizer, quiet=False)
