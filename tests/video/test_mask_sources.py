"""Masks that stand, move, or are given for each frame."""

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, SettingError
from impasto.video import mask_sources, reader
from impasto.video.mask_sources import MaskClip, MaskClipReader, MovingMask, StandingMask
from tests.video import clips


def disk(number, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    return np.where((x - 12 - 6 * number) ** 2 + (y - 24) ** 2 < 80, 255, 0).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("masks")
    clips.write(path / "clip.mp4", clips.pan(5))
    clips.write(path / "mask.mp4", [np.dstack([disk(n)] * 3) for n in range(5)], options={})
    (path / "images").mkdir()
    for n in range(5):
        Image.fromarray(disk(n)).save(path / "images" / f"m-{n + 8}.png")
    Image.fromarray(disk(3)).save(path / "one.png")
    return path


def load(folder, given):
    return mask_sources.load_source(given, "keep", reader.probe(folder / "clip.mp4"))


@pytest.mark.parametrize("name", ["mask.mp4", "images", "images/m-%d.png"])
def test_a_mask_clip_has_a_mask_for_each_frame(folder, name):
    """Also in the order of numbers that are not padded, and after going back."""
    source = load(folder, folder / name)
    assert isinstance(source, MaskClip)
    assert source.count == 5
    masks = MaskClipReader(source, (48, 64))
    for number in (0, 1, 4, 2):
        assert np.abs(masks.at(number) - disk(number) / 255).mean() < 0.01
    assert masks.at(0)[0, 0] == 0
    assert masks.at(0)[24, 12] == 1
    assert masks.at(1).shape == (48, 64)


def test_masks_are_resampled(folder):
    source = load(folder, str(folder / "images"))
    half = MaskClipReader(source, (24, 32)).at(2)
    assert half.shape == (24, 32)
    assert half.mean() == pytest.approx(disk(2).mean() / 255, rel=0.1)


def test_images_stand_and_numbered_ones_move(folder):
    standing = load(folder, folder / "one.png")
    assert isinstance(standing, StandingMask)
    assert standing.mask.shape == (48, 64)
    moving = load(folder, (3, disk(3)))
    assert isinstance(moving, MovingMask)
    assert moving.frame == 3


def test_a_black_frame_is_a_mask_and_colors_are_not():
    black = np.zeros((8, 8, 3), np.float32)
    assert not mask_sources.to_mask(black, None, "m").any()
    red = black + np.float32([255, 0, 0])
    assert mask_sources.to_mask(red, np.ones((8, 8), np.float32), "m").all()
    with pytest.raises(ImageError, match="an image with colors"):
        mask_sources.to_mask(red, None, "m")


def test_what_is_wrong_is_one_line(folder, tmp_path):
    with pytest.raises(ImageError, match="has no images"):
        load(folder, tmp_path)
    with pytest.raises(SettingError, match="keep is for frame -1"):
        load(folder, (-1, disk(0)))
    with pytest.raises(SettingError, match=r"has masks for 5 frames, and the clip has 6"):
        mask_sources.check_count(load(folder, folder / "images"), "keep", 5)
    with pytest.raises(SettingError, match="keep is for frame 9: the last frame"):
        mask_sources.check_count(load(folder, (9, disk(0))), "keep", 4)
    mask_sources.check_count(load(folder, folder / "mask.mp4"), "keep", 4)
