"""What a sweep paints, and the sheet it is laid out on."""

import numpy as np
import pytest

from impasto.errors import SettingError
from impasto.jobs import sweep
from impasto.recipe import presets


def test_all_combinations_row_by_row():
    plan = sweep.plan_sweep(
        ["strength=0.2,0.8", "style_loss=gram,moments,wasserstein"], presets.make_recipe
    )
    assert plan.columns == 3
    assert [(each.recipe.strength, each.recipe.style_loss) for each in plan.variants] == [
        (strength, objective)
        for strength in (0.2, 0.8)
        for objective in ("gram", "moments", "wasserstein")
    ]
    assert plan.variants[1].command(["impasto", "stylize", "a b.jpg"]) == (
        "impasto stylize 'a b.jpg' --strength 0.2 --style-loss moments"
    )


def test_values_with_commas_are_separated_by_semicolons():
    plan = sweep.plan_sweep(["blend=1,0;0,1", "style-scale=1;2"], presets.make_recipe)
    assert [each.recipe.blend for each in plan.variants] == [(1, 0)] * 2 + [(0, 1)] * 2
    assert plan.variants[1].recipe.style_scale == (2.0,)


def test_a_single_row_is_broken_after_four():
    assert sweep.plan_sweep(["seed=1,2,3,4,5"], presets.make_recipe).columns == 4


@pytest.mark.parametrize("text", ["seed", "seed=", "seed=,", "=1", "sed=1"])
def test_text_without_a_setting_and_values_is_rejected(one_line, text):
    with pytest.raises(SettingError) as caught:
        sweep.plan_sweep([text], presets.make_recipe)
    assert one_line(caught).startswith(f"vary {text!r}")


def test_a_sheet_has_each_image_under_its_label():
    red, blue = (np.zeros((40, 60, 3), np.float32) for _ in range(2))
    red[..., 0], blue[..., 2] = 255, 255
    sheet = sweep.make_sheet([("one", red), ("two", blue), ("three", red)], columns=2)
    assert sheet.dtype == np.float32
    height, width = sheet.shape[:2]
    assert width > 100
    reddish = (sheet[..., 0] > 250) & (sheet[..., 2] < 5)
    bluish = (sheet[..., 2] > 250) & (sheet[..., 0] < 5)
    assert reddish.sum() == pytest.approx(2 * bluish.sum(), rel=0.05)
    assert bluish[: height // 2, width // 2 :].sum() == bluish.sum()
