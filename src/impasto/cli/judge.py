"""``impasto judge``: distances of results from their content and style images, as a table."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from impasto.evaluation.judges import Judgment, Scores
    from impasto.jobs.contact_sheet import SheetEntry

ContentImage = Annotated[Path, typer.Argument(help="Content image.", show_default=False)]
StyleImagePath = Annotated[Path, typer.Argument(help="Style image.", show_default=False)]
Results = Annotated[
    list[Path] | None,
    typer.Argument(help="Results to rate.", show_default=False),
]


def judge(
    content: ContentImage,
    style: StyleImagePath,
    result: Results = None,
    *,
    size: Annotated[
        int | None,
        typer.Option(help="Longest side in px at which images are compared (default 384)."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, with the values of each network stage.")
    ] = False,
) -> None:
    """Rate results: distances from the style image and from the content image.

    The distances use networks that impasto does not optimize. Smaller is nearer. The table also
    has the content and style images as reference: each has distance zero from itself.
    """
    from impasto.evaluation import judges

    given = {} if size is None else {"size": size}
    judgment = judges.judge(content, style, *(result or []), **given)
    if as_json:
        print(json.dumps(judgment.to_dict(), indent=2))
    else:
        print_scores(judgment)


def print_scores(judgment: "Judgment") -> None:
    """Print a table on stdout: a line per measure, with the nearest result in bold."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from impasto.evaluation.judges import MEASURES

    table = Table(box=None, pad_edge=False, title=f"at {judgment.size} px; smaller is nearer")
    table.title_justify, table.title_style = "left", ""
    table.add_column("distance", no_wrap=True)
    table.add_column("from", no_wrap=True)
    columns = (judgment.content, judgment.style, *judgment.results)
    for each in columns:
        table.add_column(Text(_heading(each), overflow="fold"), justify="right", max_width=20)
    for key, measure in MEASURES.items():
        nearest = min((each.figures[key] for each in judgment.results), default=None)
        table.add_row(
            measure.about,
            measure.reference,
            *(
                _format_score(each.figures[key], each in judgment.results, nearest)
                for each in columns
            ),
        )
    Console(highlight=False).print(table)


def _heading(scores: "Scores") -> str:
    return Path(scores.name).name


def _format_score(value: float, is_result: bool, nearest: float | None) -> str:
    text = f"{value:.1f}" if value >= 10 else f"{value:.3f}"
    return f"[bold]{text}[/bold]" if is_result and value == nearest else text


def judge_entries(entries: "Iterable[SheetEntry]") -> "list[SheetEntry]":
    """Return entries of a contact sheet with the distances of their results.

    Style distances are those from the first style image. Raises WeightsError if the weights of the
    judges are missing.
    """
    from impasto.evaluation import judges

    loaded, judged = judges.Judges(), []
    for entry in entries:
        item = entry.result.item
        scores: dict[str, float] = {}
        if not entry.result.failure and entry.styles:
            images = judges.load_images(item.content, entry.styles[0], (item.result,))
            (found,) = loaded.judge(*images).results
            scores = {about.about: found.figures[name] for name, about in judges.MEASURES.items()}
        judged.append(entry._replace(scores=scores))
    return judged
