"""Options for saving."""

import pytest

from impasto.errors import SettingError
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions


def test_the_default_options_lose_only_the_precision_of_8_bits():
    assert (
        DEFAULT_SAVE_OPTIONS.depth,
        DEFAULT_SAVE_OPTIONS.quality,
        DEFAULT_SAVE_OPTIONS.subsampling,
        DEFAULT_SAVE_OPTIONS.location,
    ) == (
        8,
        95,
        "4:4:4",
        False,
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"depth": 12},
        {"quality": 0},
        {"quality": 101},
        {"subsampling": "x"},
        {"dpi": 1e9},
        {"dpi": 0},
    ],
)
def test_options_out_of_range_are_rejected(one_line, wrong):
    with pytest.raises(SettingError) as caught:
        SaveOptions(**wrong)
    assert one_line(caught).startswith(next(iter(wrong)))


def test_the_words_that_ask_for_it_again():
    assert DEFAULT_SAVE_OPTIONS.as_options() == ()
    assert SaveOptions(16, 80, "4:2:0", 300.0, True).as_options() == (
        *("--depth", "16", "--quality", "80", "--subsampling", "4:2:0", "--dpi", "300"),
        "--keep-location",
    )
