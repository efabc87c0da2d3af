"""The figures of the papers, at tiny sizes."""

import numpy as np
import pytest

from impasto.errors import SettingError
from impasto.jobs import figures
from tests import tiny

pytestmark = [tiny.needs_kernels, pytest.mark.slow]  # fifteen networks
RANDOM = np.random.default_rng(5)
CONTENT, STYLE = (RANDOM.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(2))


@pytest.fixture(scope="module")
def layers():
    named = []
    found = figures.reconstruct_layers(CONTENT, STYLE, 32, 2, named.append, engine="native")
    return found, named


def test_every_layer_is_reconstructed_by_itself_or_with_those_before(layers):
    found, named = layers
    assert list(found) == [
        *(("content", f"block{block}_conv2") for block in range(1, 6)),
        *(("style", f"block{block}_conv1") for block in range(1, 6)),
    ]
    assert named == [" ".join(names) for names in found]
    for (row, layer), result in found.items():
        recipe = result.recipe
        assert (recipe.init, recipe.levels, len(result.history)) == ("noise", 1, 2)
        if row == "content":
            assert recipe.content_layers == ((layer, 1.0),)
            assert recipe.style_weight == 0
        else:
            assert recipe.content_weight == 0
            assert len(recipe.style_layers) == int(layer[len("block")])
            assert recipe.style_layers[-1] == (layer, 1.0)
        assert result.history[1].total < result.history[0].total


def test_the_weights_of_a_grid_increase_along_its_rows():
    grid = figures.compare_layers_and_weights(
        CONTENT, STYLE, 32, 1, (0.1, 1), engine="native", seed=4
    )
    assert list(grid)[:3] == [
        ("block1_conv1", "0.1"),
        ("block1_conv1", "1"),
        ("block2_conv1", "0.1"),
    ]
    for (layer, ratio), result in grid.items():
        recipe = result.recipe
        assert recipe.content_weight / recipe.style_weight == pytest.approx(float(ratio))
        assert recipe.style_layers[-1][0] == layer
        assert recipe.seed == 4


def test_settings_are_checked_before_anything_is_painted():
    named = []
    with pytest.raises(SettingError):
        figures.reconstruct_layers(CONTENT, STYLE, 2, progress=named.append)
    assert named == []


def test_the_plot_has_all_images_with_their_names(layers):
    figure = figures.plot_grid(layers[0], {"content": CONTENT, "style": STYLE}, "of ")
    assert len(figure.axes) == 12
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["content image", "block1_conv2"]
    assert titles[6:8] == ["style image", "block1_conv1"]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == [
        "of content",
        "of style",
    ]
    assert all(len(axes.images) == 1 for axes in figure.axes)
