"""Two figures of Gatys et al. for any pair of images, painted from noise.

Reconstructions per layer, figure 1 of "Image Style Transfer Using Convolutional Neural Networks",
2016: what the content loss of one layer keeps of the content image, and what the style loss of the
layers up to one keeps of the style image. Layers and weights, figure 3 of "A Neural Algorithm of
Artistic Style", 2015: results by the layers of the style loss and by the weight of the content
loss relative to that of the style loss.

Departures: VGG16 instead of VGG19; losses are relative to the size of their targets, so that the
weights differ from those of the papers; the noise is weak (``pipeline.run.NOISE_AMPLITUDE``).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from impasto.images import load
from impasto.images.arrays import ImageArray
from impasto.images.load import ImageLike
from impasto.jobs.specs import FIGURE_EVALUATIONS, FIGURE_SIZE
from impasto.pipeline.result import Result
from impasto.pipeline.stylizer import Stylizer
from impasto.recipe import presets
from impasto.recipe.settings import Recipe, Value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLOCKS = (1, 2, 3, 4, 5)

RATIOS = (1e-3, 1e-2, 1e-1, 1.0)
"""Weights of the content loss relative to that of the style loss."""

Progress: TypeAlias = Callable[[str], object]
"""Receives the name of each image before it is painted."""

Grid: TypeAlias = dict[tuple[str, str], Result]
"""Results by names of row and column."""


def reconstruct_layers(
    content: ImageLike,
    style: ImageLike,
    size: int = FIGURE_SIZE,
    evaluations: int = FIGURE_EVALUATIONS,
    progress: Progress = lambda name: None,
    **settings: Value,
) -> Grid:
    """Reconstruct the content image from one layer at a time, and the style image from several.

    Args:
        content: the content image, see :func:`impasto.stylize`
        style: the style image
        size: longest side of each image in pixels
        evaluations: evaluations of loss and gradient for each image
        progress: receives the name of each image before it is painted
        settings: other settings, such as ``seed``

    Returns:
        Ten results by row, "content" or "style", and by layer. The content image is reconstructed
        from the second convolution of each block, the style image from the layers up to the first
        one of each block.

    Raises:
        InputError: for an invalid image or setting
    """
    base = _base_recipe(size, evaluations, settings)
    recipes = {}
    for block in BLOCKS:
        recipes["content", f"block{block}_conv2"] = {
            **{"content_layers": f"block{block}_conv2", "style_layers": "block1_conv1"},
            **{"content_weight": 1, "style_weight": 0},
        }
    for block in BLOCKS:
        recipes["style", f"block{block}_conv1"] = {
            **{"content_layers": "block1_conv1", "style_layers": _style_layers(block)},
            **{"content_weight": 0, "style_weight": 10},
        }
    return _paint(recipes, base, content, style, progress)


def compare_layers_and_weights(
    content: ImageLike,
    style: ImageLike,
    size: int = FIGURE_SIZE,
    evaluations: int = FIGURE_EVALUATIONS,
    ratios: Sequence[float] = RATIOS,
    progress: Progress = lambda name: None,
    **settings: Value,
) -> Grid:
    """Paint a pair by the layers of the style loss and by the weight of the content loss.

    Args:
        content: the content image, see :func:`impasto.stylize`
        style: the style image
        size: longest side of each image in pixels
        evaluations: evaluations of loss and gradient for each image
        ratios: weights of the content loss relative to that of the style loss, at least 0
        progress: receives the name of each image before it is painted
        settings: other settings, such as ``seed``

    Returns:
        Results by row, the last layer of the style loss, and by column, the ratio as text.

    Raises:
        InputError: for an invalid image or setting
    """
    base = _base_recipe(size, evaluations, settings)
    recipes = {
        (f"block{block}_conv1", f"{ratio:g}"): {
            **{"style_layers": _style_layers(block)},
            **{"content_weight": 10 * ratio, "style_weight": 10},
        }
        for block in BLOCKS
        for ratio in ratios
    }
    return _paint(recipes, base, content, style, progress)


def _base_recipe(size: int, evaluations: int, settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return the settings that all images have in common."""
    return {
        **{"size": size, "evaluations": evaluations, "style_loss": "gram", "strips": 1},
        **{"levels": 1, "init": "noise", "tv_weight": 0.1},
        **settings,
    }


def _style_layers(block: int) -> str:
    """Return the first layers of all blocks up to one, with equal weights."""
    return ",".join(f"block{number}_conv1" for number in range(1, block + 1))


def _paint(
    recipes: Mapping[tuple[str, str], Mapping[str, Value]],
    base: Mapping[str, Value],
    content: ImageLike,
    style: ImageLike,
    progress: Progress,
) -> Grid:
    """Paint all images; their recipes are checked before the first."""
    checked: dict[tuple[str, str], Recipe] = {
        names: presets.make_recipe(**{**base, **own}) for names, own in recipes.items()
    }
    results = {}
    with Stylizer() as stylizer:
        for names, recipe in checked.items():
            progress(" ".join(names))
            results[names] = stylizer(content, style, recipe=recipe)
    return results


def plot_grid(
    grid: Grid,
    first_column: Mapping[str, ImageLike] | None = None,
    row_label: str = "",
    column_label: str = "",
) -> "Figure":
    """Plot results by row and column; return a Matplotlib figure.

    Args:
        grid: results by names of row and column; each row may have columns of its own
        first_column: images to show before the first column, by row
        row_label: text before the name of each row, such as "style up to "
        column_label: text before the name of each column
    """
    from matplotlib.figure import Figure

    rows: dict[str, dict[str, ImageArray]] = {
        row: {f"{row} image": load.load_image(image, row).pixels}
        for row, image in (first_column or {}).items()
    }
    for (row, column), result in grid.items():
        rows.setdefault(row, {})[column_label + column] = result.pixels
    columns = max(map(len, rows.values()))
    height, width = next(iter(grid.values())).pixels.shape[:2]
    size = (1.9 * columns + 0.4, (1.9 * height / width + 0.25) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.set_frame_on(False)
    for line, (row, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(f"{row_label}{row}", fontsize=8)
        for ax, (column, image) in zip(line, images.items(), strict=False):
            ax.imshow(image / 255)
            ax.set_title(column, fontsize=8)
    return figure
