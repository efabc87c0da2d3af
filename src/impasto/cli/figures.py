"""``impasto figures``: two figures of Gatys et al. for any pair of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from impasto.cli.judge import ContentImage, StyleImagePath
from impasto.jobs.specs import FIGURE_EVALUATIONS, FIGURE_SIZE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("reconstructions.png", "layers-and-weights.png")
"""The files that the command writes."""


def figures(
    content: ContentImage,
    style: StyleImagePath,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the figures; created if missing.")
    ] = Path("figures"),
    size: Annotated[int, typer.Option(help="Longest side of each image in px.")] = FIGURE_SIZE,
    evaluations: Annotated[
        int, typer.Option(help="Evaluations for each image.")
    ] = FIGURE_EVALUATIONS,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print only the paths of the figures.")
    ] = False,
) -> None:
    """Make two figures of the papers: reconstructions per layer, and layers and weights.

    The first shows what each layer keeps of the content image and of the style image, as figure 1
    of the paper of 2016. The second shows results by the layers of the style loss and by the weight
    of the content loss, as figure 3 of the paper of 2015. Each has many images painted from noise,
    so this takes minutes.
    """
    from impasto import files
    from impasto.cli import console
    from impasto.errors import OutputError
    from impasto.jobs import figures as made

    output.mkdir(parents=True, exist_ok=True)
    paths = [output / name for name in NAMES]
    for path in paths:
        if path.exists() and not overwrite:
            raise OutputError(f"{path} exists: use --overwrite, or another folder")
        files.check_output(path, (".png",))

    def show(name: str) -> None:
        if not quiet:
            console.print_line(name)

    with console.logged_lines(quiet):
        layers = made.reconstruct_layers(content, style, size, evaluations, show)
        _save(made.plot_grid(layers, {"content": content, "style": style}), paths[0])
        grid = made.compare_layers_and_weights(content, style, size, evaluations, progress=show)
        _save(
            made.plot_grid(grid, row_label="style up to ", column_label="content / style "),
            paths[1],
        )


def _save(figure: "Figure", path: Path) -> None:
    from impasto import files

    with files.atomic_replace(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    print(path, flush=True)
